"""Distributions over the classes of a last dimension."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..core.creation import eye
from ..core.dtypes import int64
from ..core.ranges import arange
from ..core.tensor import Size, Tensor
from ..ops.arithmetic import where
from ..ops.sampling import multinomial
from . import constraints
from .discrete import Binomial
from .distribution import Distribution
from .parameters import (
    common_shape,
    floating,
    lazy_property,
    log_factorial,
    logits_to_probs,
    lowest,
    one_of_two,
    probs_to_logits,
)

__all__ = ["Categorical", "Multinomial", "OneHotCategorical"]

CLASSES = {"probs": constraints.simplex, "logits": constraints.real_vector}


class Categorical(Distribution):
    """The number k of a class, with probability `probs[..., k]`.

    `probs` (..., K) are weights, which are divided by their sum; `logits` their logarithms.
    Raises: ValueError for both or neither, or a 0-d tensor.
    """

    arg_constraints: ClassVar[dict[str, Any]] = CLASSES
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        one_of_two("Categorical", probs, logits)
        name, given = ("probs", probs) if logits is None else ("logits", logits)
        if given.ndim < 1:
            raise ValueError(
                f"Categorical: expected {name} (..., K), of one dimension at least. Got a 0-d "
                "tensor."
            )
        if name == "probs":
            given = given / given.sum(-1, keepdim=True)
        else:
            given = given - given.logsumexp(-1, keepdim=True)
        vars(self)[name] = self._param = given
        self._num_events = given.shape[-1]
        super().__init__(Size(given.shape[:-1]), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self) -> Tensor:
        """Probabilities of the classes."""
        return logits_to_probs(self.logits)

    @property
    def param_shape(self) -> Any:
        """The shape of the probabilities."""
        return self._param.size()

    @property
    def mean(self) -> Tensor:
        return self._param.new_full(tuple(self.batch_shape), math.nan)

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        return self.mean

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        count = Size(sample_shape).numel()
        rows = self.probs.detach().reshape((-1, self._num_events))
        # PyTorch draws single samples in the manner of those without replacement.
        drawn = multinomial(rows, count, count > 1) if count else rows[:, :0].to(int64)
        return drawn.t().reshape(tuple(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        shape = common_shape(value.shape, self.batch_shape)
        index = value.to(int64).expand(shape).unsqueeze(-1)
        return self.logits.expand((*shape, self._num_events)).gather(-1, index).squeeze(-1)

    def entropy(self) -> Tensor:
        # Classes of probability 0 count nothing.
        logits = self.logits.clamp(min=lowest(self.logits))
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        batch = self.batch_shape
        values = arange(self._num_events, dtype=int64, device=self._param.device)
        values = values.reshape((-1, *[1] * len(batch)))
        return values.expand((-1, *batch)) if expand else values


class _Classes(Distribution):
    """What is built on a Categorical, whose parameters it shows."""

    arg_constraints: ClassVar[dict[str, Any]] = CLASSES
    _categorical: Categorical

    @property
    def probs(self) -> Tensor:
        """Probabilities of the classes."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Any:
        """The shape of the probabilities."""
        return self._categorical.param_shape


class OneHotCategorical(_Classes):
    """A vector of zeros with a 1 at class k, which has probability `probs[..., k]`."""

    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args=validate_args)
        event = self._categorical.param_shape[-1:]
        super().__init__(self._categorical.batch_shape, Size(event), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return self._one_hot(self._categorical.mode)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def _one_hot(self, index: Tensor) -> Tensor:
        parameter = self._categorical._param
        zeros = parameter.detach().new_zeros((*index.shape, *self.event_shape))
        return zeros.scatter(-1, index.unsqueeze(-1), 1.0)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self._one_hot(self._categorical.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        n = self.event_shape[0]
        values = eye(n, **floating(self._categorical._param))
        values = values.reshape((n, *[1] * len(self.batch_shape), n))
        return values.expand((n, *self.batch_shape, n)) if expand else values


class Multinomial(_Classes):
    """How often each class is drawn in `total_count` draws, one number for the whole batch."""

    def __init__(
        self,
        total_count: int = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError(
                "Multinomial: expected one Python integer as total_count. Got "
                f"{type(total_count).__name__}."
            )
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args=validate_args)
        event = self._categorical.param_shape[-1:]
        super().__init__(self._categorical.batch_shape, Size(event), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        drawn = self._categorical.sample((self.total_count, *sample_shape))
        index = drawn.movedim(0, -1)
        counts = self.probs.detach().new_zeros(tuple(self._extended_shape(sample_shape)))
        return counts.scatter_add(-1, index, counts.new_ones(tuple(index.shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        ways = log_factorial(value.sum(-1)) - log_factorial(value).sum(-1)
        # A class of probability 0 that was not drawn counts nothing.
        logits = where((value == 0) & (self.logits == -math.inf), 0.0, self.logits)
        return ways + (logits * value).sum(-1)

    def entropy(self) -> Tensor:
        """n draws' entropy, less what their order holds: log n! - sum of E[log count!]."""
        count = self.total_count
        each = Binomial(count, probs=self.probs, validate_args=False)
        counts = each.enumerate_support(expand=False)
        lost = (each.log_prob(counts).exp() * log_factorial(counts)).sum(0).sum(-1)
        return count * self._categorical.entropy() - math.lgamma(count + 1) + lost
