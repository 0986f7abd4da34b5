"""Positive and bounded distributions made by powers of simpler variables.

Densities and moments: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions;
Kumaraswamy's: Jones, Kumaraswamy's distribution, Statistical Methodology 6, 2009.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..core.tensor import Tensor
from ..ops.arithmetic import where
from ..ops.special_functions import digamma
from . import constraints
from .distribution import Distribution
from .parameters import broadcast_all, constant, euler_constant, uniform
from .positive import Exponential, Gamma
from .transformed import TransformedDistribution
from .transforms import AffineTransform, ExpTransform, PowerTransform
from .uniform import Uniform

__all__ = ["GeneralizedPareto", "InverseGamma", "Kumaraswamy", "Pareto", "Weibull"]


class _Expandable(TransformedDistribution):
    """A transformed distribution that is expanded by making it anew of expanded parameters."""

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = tuple(batch_shape)
        parameters = [getattr(self, name).expand(shape) for name in self._names]
        new = type(self)(*parameters, validate_args=False)
        new._validate_args = self._validate_args
        return new

    _names: ClassVar[tuple[str, ...]]


class Pareto(_Expandable):
    """alpha * scale**alpha / x**(alpha + 1) for x from `scale`."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "alpha": constraints.positive,
        "scale": constraints.positive,
    }
    _names = ("scale", "alpha")

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(self.alpha, validate_args=validate_args)
        transforms = [ExpTransform(), AffineTransform(loc=0, scale=self.scale)]
        super().__init__(base, transforms, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        finite = self.alpha > 1
        a = where(finite, self.alpha, 2.0)
        return where(finite, a * self.scale / (a - 1), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        finite = self.alpha > 2
        a = where(finite, self.alpha, 3.0)
        return where(finite, self.scale.square() * a / ((a - 1).square() * (a - 2)), math.inf)

    def entropy(self) -> Tensor:
        return (self.scale / self.alpha).log() + 1 + self.alpha.reciprocal()


class Weibull(_Expandable):
    """(c / scale) * z**(c - 1) * exp(-z**c), with z = x / scale and c = `concentration`."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "scale": constraints.positive,
        "concentration": constraints.positive,
    }
    support = constraints.positive
    _names = ("scale", "concentration")

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        base = Exponential(constant(self.scale, 1.0), validate_args=validate_args)
        power = PowerTransform(exponent=self.concentration.reciprocal())
        transforms = [power, AffineTransform(loc=0, scale=self.scale)]
        super().__init__(base, transforms, validate_args=validate_args)

    def _moment(self, n: int) -> Tensor:
        """E[(x / scale)**n]."""
        return (1 + n / self.concentration).lgamma().exp()

    @property
    def mean(self) -> Tensor:
        return self.scale * self._moment(1)

    @property
    def mode(self) -> Tensor:
        c = self.concentration
        return self.scale * ((c - 1) / c) ** c.reciprocal()

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * (self._moment(2) - self._moment(1).square())

    def entropy(self) -> Tensor:
        spread = (self.scale / self.concentration).log()
        return euler_constant * (1 - self.concentration.reciprocal()) + spread + 1


class Kumaraswamy(_Expandable):
    """a * b * x**(a - 1) * (1 - x**a)**(b - 1) for x in (0, 1): a is `concentration1`, b
    `concentration0`."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    _names = ("concentration1", "concentration0")

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        base = Uniform(
            constant(self.concentration0, 0.0),
            constant(self.concentration0, 1.0),
            validate_args=validate_args,
        )
        transforms = [
            PowerTransform(exponent=self.concentration0.reciprocal()),
            AffineTransform(loc=1.0, scale=-1.0),
            PowerTransform(exponent=self.concentration1.reciprocal()),
        ]
        super().__init__(base, transforms, validate_args=validate_args)

    def _moment(self, n: int) -> Tensor:
        """E[x**n] = b * B(1 + n / a, b)."""
        b, first = self.concentration0, 1 + n / self.concentration1
        return b * (first.lgamma() + b.lgamma() - (first + b).lgamma()).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        inner = (a - 1) / (a * b - 1)
        return where((a < 1) | (b < 1), math.nan, inner ** a.reciprocal())

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1).square()

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        harmonic = digamma(b + 1) + euler_constant
        return (1 - b.reciprocal()) + (1 - a.reciprocal()) * harmonic - a.log() - b.log()


class InverseGamma(TransformedDistribution):
    """1 / x for x of a Gamma(concentration, rate)."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.positive
    base_dist: Gamma

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        base = Gamma(concentration, rate, validate_args=validate_args)
        power = PowerTransform(constant(base.rate, -1.0))
        super().__init__(base, power, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = tuple(batch_shape)
        new = InverseGamma(self.concentration.expand(shape), self.rate.expand(shape), False)
        new._validate_args = self._validate_args
        return new

    @property
    def concentration(self) -> Tensor:
        """The gamma variable's."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Tensor:
        """The gamma variable's."""
        return self.base_dist.rate

    @property
    def mean(self) -> Tensor:
        finite = self.concentration > 1
        return where(finite, self.rate / (self.concentration - 1), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        c = self.concentration
        found = self.rate.square() / ((c - 1).square() * (c - 2))
        return where(c > 2, found, math.inf)

    def entropy(self) -> Tensor:
        c = self.concentration
        return c + self.rate.log() + c.lgamma() - (1 + c) * digamma(c)


class GeneralizedPareto(Distribution):
    """(1 + c * z)**(-1 / c - 1) / scale, with z = (x - loc) / scale from 0 and c = `concentration`;
    exp(-z) / scale for c = 0: the law of what exceeds a high threshold."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True

    def __init__(
        self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        c = self._safe
        above = where(self.concentration < 0, self.loc - self.scale / c, math.inf)
        return constraints.interval(self.loc, above)

    @property
    def _is_zero(self) -> Tensor:
        return self.concentration == 0

    @property
    def _safe(self) -> Tensor:
        """The concentration, with 1 for 0, so that no branch divides by it."""
        return where(self._is_zero, 1.0, self.concentration)

    @property
    def mean(self) -> Tensor:
        c = where(self.concentration < 1, self.concentration, 0.0)
        return where(self.concentration < 1, self.loc + self.scale / (1 - c), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        finite = self.concentration < 0.5
        c = where(finite, self.concentration, 0.0)
        found = self.scale.square() / ((1 - c).square() * (1 - 2 * c))
        return where(finite, found, math.inf)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.icdf(uniform(self._extended_shape(sample_shape), self.loc))

    def _survival_log(self, value: Tensor) -> Tensor:
        """log P(x > value)."""
        z = (value - self.loc) / self.scale
        return where(self._is_zero, -z, -(self._safe * z).log1p() / self._safe)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return (1 + self.concentration) * self._survival_log(value) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -self._survival_log(value).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        depth = -(-value).log1p()
        z = where(self._is_zero, depth, (self._safe * depth).expm1() / self._safe)
        return self.loc + self.scale * z

    def entropy(self) -> Tensor:
        return self.scale.log() + self.concentration + 1
