"""Continuous relaxations of discrete choices, and samples of these with straight-through gradients.

Source: Maddison, Mnih and Teh, The Concrete distribution, arXiv:1611.00712; Jang, Gu and Poole,
Categorical reparameterization with Gumbel-softmax, arXiv:1611.01144; of a coin that shows any
share, Loaiza-Ganem and Cunningham, The continuous Bernoulli, arXiv:1907.06845.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..core.tensor import Size, Tensor
from ..nn.functional import binary_cross_entropy_with_logits
from ..ops.arithmetic import where
from . import constraints
from .categorical import Categorical, OneHotCategorical
from .discrete import _Chance
from .distribution import Distribution
from .parameters import clamp_probs, softplus, uniform
from .transformed import TransformedDistribution
from .transforms import ExpTransform, SigmoidTransform

__all__ = [
    "ContinuousBernoulli", "ExpRelaxedCategorical", "LogitRelaxedBernoulli",
    "OneHotCategoricalStraightThrough", "RelaxedBernoulli", "RelaxedOneHotCategorical",
]  # fmt: skip


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """A one-hot vector whose `rsample` has the gradient of the probabilities."""

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        probs = self.probs
        return self.sample(sample_shape) + (probs - probs.detach())


class LogitRelaxedBernoulli(_Chance):
    """(logits + a logistic variable) / temperature: the log-odds of a `RelaxedBernoulli`."""

    support = constraints.real
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        self._take(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.temperature = self.temperature
        return new

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(tuple(shape)))
        u = clamp_probs(uniform(shape, probs))
        logistic = u.log() - (-u).log1p()
        return (logistic + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        rest = self.logits - value * self.temperature
        return self.temperature.log() + rest - 2 * softplus(rest)


class RelaxedBernoulli(TransformedDistribution):
    """A number in (0, 1), near 0 or 1 for a low `temperature`, by the odds of `probs`."""

    arg_constraints: ClassVar[dict[str, Any]] = _Chance.arg_constraints
    support = constraints.unit_interval
    has_rsample: Any = True
    base_dist: LogitRelaxedBernoulli

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    @property
    def temperature(self) -> Any:
        """How far from 0 and 1 samples are."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """The log-odds."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """The odds as probabilities."""
        return self.base_dist.probs


class ExpRelaxedCategorical(Distribution):
    """Logarithms of a `RelaxedOneHotCategorical`: log_softmax of (logits + Gumbel variables) /
    temperature."""

    arg_constraints: ClassVar[dict[str, Any]] = Categorical.arg_constraints
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits)
        self.temperature = temperature
        event = self._categorical.param_shape[-1:]
        super().__init__(self._categorical.batch_shape, Size(event), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.temperature = self.temperature
        return new

    @property
    def param_shape(self) -> Any:
        """The shape of the probabilities."""
        return self._categorical.param_shape

    @property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Tensor:
        """Probabilities of the classes."""
        return self._categorical.probs

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        u = clamp_probs(uniform(shape, self.logits))
        scores = (self.logits - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        count = self.event_shape[0]
        scores = self.logits - value * self.temperature
        relative = (scores - scores.logsumexp(-1, keepdim=True)).sum(-1)
        return relative + math.lgamma(count) + (count - 1) * self.temperature.log()


class RelaxedOneHotCategorical(TransformedDistribution):
    """A point of the simplex, near a corner for a low `temperature`, by `probs` or `logits`."""

    arg_constraints: ClassVar[dict[str, Any]] = Categorical.arg_constraints
    support = constraints.simplex
    has_rsample: Any = True
    base_dist: ExpRelaxedCategorical

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    @property
    def temperature(self) -> Any:
        """How far from the corners samples are."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """Probabilities of the classes."""
        return self.base_dist.probs


class ContinuousBernoulli(_Chance):
    """probs**x * (1 - probs)**(1 - x) for x in [0, 1], made to integrate to 1.

    Where probs is within `lims`, about 1/2, Taylor's series stand for quotients of zeros.
    """

    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        self._lims = lims
        self._take(probs, logits)
        if "probs" in vars(self):
            if validate_args and not bool(constraints.unit_interval.check(self.probs).all()):
                raise ValueError("ContinuousBernoulli: expected probs between 0 and 1.")
            vars(self)["probs"] = self._param = clamp_probs(self.probs)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def _is_far(self) -> Tensor:
        """Where probs is not about 1/2."""
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    @property
    def _far(self) -> Tensor:
        """probs where it is not about 1/2; elsewhere a number that does no harm."""
        return where(self._is_far, self.probs, self._lims[0])

    def _log_normalizer(self) -> Tensor:
        p = self._far
        low = where(p <= 0.5, p, 0.0)
        high = where(p >= 0.5, p, 1.0)
        width = where(p <= 0.5, (-2 * low).log1p(), (2 * high - 1).log())
        far = ((-p).log1p() - p.log()).abs().log() - width
        squared = (self.probs - 0.5).square()
        near = math.log(2) + (4 / 3 + 104 / 45 * squared) * squared
        return where(self._is_far, far, near)

    @property
    def mean(self) -> Tensor:
        p, off = self._far, self.probs - 0.5
        far = p / (2 * p - 1) + 1 / ((-p).log1p() - p.log())
        return where(self._is_far, far, 0.5 + (1 / 3 + 16 / 45 * off.square()) * off)

    @property
    def variance(self) -> Tensor:
        p, squared = self._far, (self.probs - 0.5).square()
        far = p * (p - 1) / (1 - 2 * p).square() + 1 / ((-p).log1p() - p.log()).square()
        return where(self._is_far, far, 1 / 12 - (1 / 15 - 128 / 945 * squared) * squared)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.icdf(uniform(self._extended_shape(sample_shape), self.probs))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        shape = (value + self.logits).shape
        logits, value = self.logits.expand(tuple(shape)), value.expand(tuple(shape))
        fit = -binary_cross_entropy_with_logits(logits, value, reduction="none")
        return fit + self._log_normalizer()

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        p = self._far
        far = (p**value * (1 - p) ** (1 - value) + p - 1) / (2 * p - 1)
        inside = where(self._is_far, far, value)
        return where(value <= 0, 0.0, where(value >= 1, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        p = self._far
        rise = (-p + value * (2 * p - 1)).log1p() - (-p).log1p()
        return where(self._is_far, rise / (p.log() - (-p).log1p()), value)

    def entropy(self) -> Tensor:
        miss = (-self.probs).log1p()
        return self.mean * (miss - self.probs.log()) - self._log_normalizer() - miss
