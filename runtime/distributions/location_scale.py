"""Distributions on the whole line or an interval, moved by a location and stretched by a scale.

Densities and entropies: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..core import dtypes
from ..core.tensor import Size, Tensor
from ..ops.arithmetic import where
from ..ops.sampling import rand
from ..ops.special_functions import digamma
from . import constraints
from .distribution import Distribution
from .parameters import (
    LOG_SQRT_2PI,
    SQRT_2,
    broadcast_all,
    constant,
    epsilon,
    euler_constant,
    smallest,
    standard_normal,
    uniform,
)
from .positive import Chi2
from .transformed import TransformedDistribution
from .transforms import AffineTransform, ExpTransform
from .uniform import Uniform

__all__ = ["Cauchy", "Gumbel", "Laplace", "Normal", "StudentT"]

LOCATION_SCALE = {"loc": constraints.real, "scale": constraints.positive}


class _LocationScale(Distribution):
    """A distribution of `loc` + `scale` times a standard variable."""

    arg_constraints: ClassVar[dict[str, Any]] = LOCATION_SCALE
    support = constraints.real
    has_rsample = True
    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.stddev.square()

    def _standard(self, shape: Size) -> Tensor:
        """Samples with location 0 and scale 1."""
        raise NotImplementedError

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.loc + self._standard(self._extended_shape(sample_shape)) * self.scale

    def _standardized(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return (value - self.loc) / self.scale


class Normal(_LocationScale):
    """exp(-z**2 / 2) / (scale * sqrt(2 pi)), with z = (x - loc) / scale.

    Example:
        >>> torch.distributions.Normal(0.0, 1.0).entropy()
        tensor(1.4189)
    """

    @property
    def stddev(self) -> Tensor:
        return self.scale

    def _standard(self, shape: Size) -> Tensor:
        return standard_normal(shape, self.loc)

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * self._standardized(value).square() - self.scale.log() - LOG_SQRT_2PI

    def cdf(self, value: Tensor) -> Tensor:
        return 0.5 * (1 + (self._standardized(value) / SQRT_2).erf())

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * SQRT_2 * (2 * value - 1).erfinv()

    def entropy(self) -> Tensor:
        return 0.5 + LOG_SQRT_2PI + self.scale.log()


class Laplace(_LocationScale):
    """exp(-|z|) / (2 scale), with z = (x - loc) / scale."""

    @property
    def stddev(self) -> Tensor:
        return SQRT_2 * self.scale

    def _standard(self, shape: Size) -> Tensor:
        # Open at -1, whose logarithm would be infinite.
        low = epsilon(self.loc) - 1
        u = uniform(shape, self.loc) * (1 - low) + low
        return -u.sign() * (-u.abs()).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        return -self._standardized(value).abs() - (2 * self.scale).log()

    def cdf(self, value: Tensor) -> Tensor:
        z = self._standardized(value)
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        off_centre = value - 0.5
        return self.loc - self.scale * off_centre.sign() * (-2 * off_centre.abs()).log1p()

    def entropy(self) -> Tensor:
        return 1 + (2 * self.scale).log()


class Cauchy(_LocationScale):
    """1 / (pi * scale * (1 + z**2)), with z = (x - loc) / scale; without mean and variance."""

    @property
    def mean(self) -> Tensor:
        return constant(self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        return constant(self.loc, math.inf)

    @property
    def stddev(self) -> Tensor:
        return constant(self.loc, math.inf)

    def _standard(self, shape: Size) -> Tensor:
        # In double precision, as the tails magnify rounding.
        u = rand(tuple(shape), dtype=dtypes.float64, device=self.loc.device)
        return (math.pi * (u - 0.5)).tan().to(self.loc.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        return -self._standardized(value).square().log1p() - self.scale.log() - math.log(math.pi)

    def cdf(self, value: Tensor) -> Tensor:
        return self._standardized(value).atan() / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * (math.pi * (value - 0.5)).tan()

    def entropy(self) -> Tensor:
        return math.log(4 * math.pi) + self.scale.log()


class StudentT(_LocationScale):
    """Student's t of `df` degrees of freedom: a normal variable divided by the root of a
    chi-squared one over df."""

    arg_constraints: ClassVar[dict[str, Any]] = {"df": constraints.positive, **LOCATION_SCALE}

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df, loc, scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df, validate_args=False)
        super().__init__(loc, scale, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return where(self.df > 1, self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        finite = self.scale.square() * self.df / (self.df - 2)
        infinite = where(self.df > 1, constant(self.df, math.inf), math.nan)
        return where(self.df > 2, finite, infinite)

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    def _standard(self, shape: Size) -> Tensor:
        normal = standard_normal(shape, self.loc)
        sample_shape = shape[: len(shape) - len(self.batch_shape)]
        return normal * (self._chi2.rsample(sample_shape) / self.df).rsqrt()

    def _log_normalizer(self) -> Tensor:
        half = 0.5 * self.df
        halves = half.lgamma() - (half + 0.5).lgamma()
        return self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + halves

    def log_prob(self, value: Tensor) -> Tensor:
        z = self._standardized(value)
        return -0.5 * (self.df + 1) * (z.square() / self.df).log1p() - self._log_normalizer()

    def entropy(self) -> Tensor:
        half = 0.5 * self.df
        return (half + 0.5) * (digamma(half + 0.5) - digamma(half)) + self._log_normalizer()


class Gumbel(TransformedDistribution):
    """exp(-z - exp(-z)) / scale, with z = (x - loc) / scale: the law of maxima."""

    arg_constraints: ClassVar[dict[str, Any]] = LOCATION_SCALE
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        low = constant(self.loc, smallest(self.loc))
        base = Uniform(low, constant(self.loc, 1 - epsilon(self.loc)), validate_args=validate_args)
        minus_log = [ExpTransform().inv, AffineTransform(loc=0, scale=-1.0)]
        to_scale = AffineTransform(loc=self.loc, scale=-self.scale)
        transforms = [*minus_log, ExpTransform().inv, to_scale]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Gumbel:
        shape = tuple(batch_shape)
        return type(self)(
            self.loc.expand(shape), self.scale.expand(shape), validate_args=self._validate_args
        )

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * euler_constant

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Tensor:
        return self.stddev.square()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        minus_z = (self.loc - value) / self.scale
        return minus_z - minus_z.exp() - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return (-((self.loc - value) / self.scale).exp()).exp()

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Tensor:
        return self.scale.log() + (1 + euler_constant)
