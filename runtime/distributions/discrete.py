"""Distributions of counts.

Probabilities and moments: Johnson, Kemp and Kotz, Univariate Discrete Distributions.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..autograd.grad_mode import no_grad
from ..core.ranges import arange
from ..core.tensor import Tensor
from ..ops.arithmetic import where
from ..ops.gamma import binomial, poisson, standard_gamma
from ..ops.sampling import bernoulli
from ..ops.special_functions import xlogy
from . import constraints
from .distribution import Distribution
from .parameters import (
    broadcast_all,
    constant,
    floating,
    lazy_property,
    log_factorial,
    logits_to_probs,
    one_of_two,
    probs_to_logits,
    smallest,
    softplus,
    uniform,
)

__all__ = ["Bernoulli", "Binomial", "Geometric", "NegativeBinomial", "Poisson"]


class _Chance(Distribution):
    """A distribution of a success's probability, given as `probs` or as `logits`, its log-odds."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }

    @lazy_property
    def logits(self) -> Tensor:
        """log(probs / (1 - probs))."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:
        """The probability of success."""
        return logits_to_probs(self.logits, is_binary=True)

    def _take(self, probs: Any, logits: Any, *others: Any) -> tuple[Tensor, ...]:
        """Keep what is given of the two, broadcast with `others`, which are returned."""
        one_of_two(type(self).__name__, probs, logits)
        name = "logits" if probs is None else "probs"
        given, *rest = broadcast_all(logits if probs is None else probs, *others)
        vars(self)[name] = self._param = given
        return tuple(rest)

    @property
    def param_shape(self) -> Any:
        """The shape of the probabilities."""
        return self._param.size()

    def _probs_for(self, sample_shape: Any) -> Tensor:
        return self.probs.detach().expand(tuple(self._extended_shape(sample_shape)))

    def _trial_entropy(self) -> Tensor:
        """The entropy of one trial."""
        return softplus(self.logits) - self.probs * self.logits


def _enumerated(values: Tensor, batch_shape: Any, expand: bool) -> Tensor:
    values = values.reshape((-1, *[1] * len(batch_shape)))
    return values.expand((-1, *batch_shape)) if expand else values


class Bernoulli(_Chance):
    """1 with probability `probs`, else 0.

    Example:
        >>> torch.distributions.Bernoulli(0.3).mean
        tensor(0.3000)
    """

    support = constraints.boolean
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._take(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        likelier = (self.probs >= 0.5).to(self.probs.dtype)
        return where(self.probs == 0.5, math.nan, likelier)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return bernoulli(self._probs_for(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value * self.logits - softplus(self.logits)

    def entropy(self) -> Tensor:
        return self._trial_entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = arange(2, **floating(self._param))
        return _enumerated(values, self.batch_shape, expand)


class Geometric(_Chance):
    """The number of failures before the first success.

    Raises: ValueError for probs of 0, when arguments are checked.
    """

    support = constraints.nonnegative_integer

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._take(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)
        given: Any = vars(self).get("probs")
        checked = self._validate_args and given is not None and not given.is_meta
        if checked and not bool((given > 0).all()):
            raise ValueError(
                "Geometric: expected probs above 0, as success would never come. Got "
                f"{given.tolist()}."
            )

    @property
    def mean(self) -> Tensor:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        return constant(self.probs, 0.0)

    @property
    def variance(self) -> Tensor:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            u = uniform(self._extended_shape(sample_shape), self.probs)
            return (u.clamp(min=smallest(u)).log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return xlogy(value.to(self.probs.dtype), 1 - self.probs) + self.probs.log()

    def entropy(self) -> Tensor:
        return self._trial_entropy() / self.probs


class Binomial(_Chance):
    """Successes in `total_count` trials, a number or a tensor."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "total_count": constraints.nonnegative_integer,
        **_Chance.arg_constraints,
    }
    has_enumerate_support = True

    def __init__(
        self,
        total_count: Any = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        (count,) = self._take(probs, logits, total_count)
        self.total_count = count.to(self._param.dtype)
        super().__init__(self._param.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        probs = self._probs_for(sample_shape)
        return binomial(self.total_count.expand(tuple(probs.shape)), probs)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        ways = log_factorial(n) - log_factorial(value) - log_factorial(n - value)
        return ways + value * self.logits - n * softplus(self.logits)

    def entropy(self) -> Tensor:
        """By summing over the support, which must be the same all over the batch."""
        log_prob = self.log_prob(self.enumerate_support(expand=False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        counts = int(self.total_count.max().item())
        if int(self.total_count.min().item()) != counts:
            raise NotImplementedError(
                "Binomial: expected one total_count all over the batch to enumerate the support. "
                f"Got {self.total_count.tolist()}."
            )
        values = arange(1 + counts, **floating(self._param))
        return _enumerated(values, self.batch_shape, expand)


class Poisson(Distribution):
    """The number of events in a unit of time in which `rate` are expected."""

    arg_constraints: ClassVar[dict[str, Any]] = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    rate: Tensor

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return poisson(self.rate.detach().expand(tuple(self._extended_shape(sample_shape))))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return xlogy(value.to(self.rate.dtype), self.rate) - self.rate - log_factorial(value)


class NegativeBinomial(_Chance):
    """The number of successes before `total_count` failures (any number above 0), in trials that
    succeed with probability `probs`."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        (count,) = self._take(probs, logits, total_count)
        self.total_count = count.to(self._param.dtype)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """A Poisson variable whose rate is a gamma variable."""
        with no_grad():
            shape = tuple(self._extended_shape(sample_shape))
            rate = standard_gamma(self.total_count.expand(shape)) / (-self.logits).exp()
            return poisson(rate)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        chance = n * -softplus(self.logits) + value * -softplus(-self.logits)
        ways = (n + value).lgamma() - log_factorial(value) - n.lgamma()
        return chance + where(n + value == 0, 0.0, ways)
