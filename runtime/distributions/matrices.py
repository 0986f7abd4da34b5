"""Distributions of matrices: covariances, and Cholesky factors of correlations."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

from ..core.ranges import arange
from ..core.tensor import Size, Tensor
from ..ops.arithmetic import where
from ..ops.special_functions import digamma, mvlgamma
from . import constraints
from .distribution import Distribution
from .multivariate import MultivariateNormal, _solved, half_log_det
from .parameters import broadcast_all, smallest, standard_normal
from .positive import Beta, Chi2

__all__ = ["LKJCholesky", "Wishart"]

MOST_TRIES = 3
"""How often a singular sample is drawn anew."""


class Wishart(Distribution):
    """The law of sum_k x_k @ x_k.T for `df` normal vectors of mean 0 and the covariance V, given as
    covariance_matrix, precision_matrix or scale_tril: matrices (..., n, n).

    Sampled by Bartlett's decomposition. Raises: ValueError for a df of n - 1 or less.
    Source: Anderson, An Introduction to Multivariate Statistical Analysis, chapter 7.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
        "df": constraints.greater_than(0),
    }
    support = constraints.positive_definite
    has_rsample = True

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1:
            raise ValueError(
                "Wishart: expected exactly one of covariance_matrix, precision_matrix and "
                f"scale_tril. Got {len(given)}."
            )
        (matrix,) = given
        if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
            raise ValueError(
                f"Wishart: expected matrices (..., n, n). Got shape {tuple(matrix.shape)}."
            )
        n = matrix.shape[-1]
        if not isinstance(df, Tensor):
            df = matrix.new_full((), float(df))
        self.df = (df + matrix.new_zeros(tuple(matrix.shape[:-2]))).to(matrix.dtype)
        if not self.df.is_meta and bool((self.df <= n - 1).any()):
            raise ValueError(
                f"Wishart: expected df above {n - 1}, one less than the matrices have rows. Got "
                f"{df.tolist()}."
            )
        batch = tuple(self.df.shape)
        zeros = matrix.new_zeros((*batch, n))
        # Its zero-mean normal distribution keeps the three forms of V and computes one by another.
        self._normal = MultivariateNormal(
            zeros, covariance_matrix, precision_matrix, scale_tril, validate_args=False
        )
        self._given = next(
            name
            for name, m in (
                ("covariance_matrix", covariance_matrix),
                ("precision_matrix", precision_matrix),
                ("scale_tril", scale_tril),
            )
            if m is not None
        )
        vars(self)[self._given] = getattr(self._normal, self._given)
        super().__init__(Size(batch), Size((n, n)), validate_args=validate_args)
        if self._validate_args and not self.df.is_meta and bool((self.df < n).any()):
            warnings.warn(
                f"Wishart: df below the {n} rows of its matrices gives singular samples.",
                stacklevel=2,
            )

    def __getattr__(self, name: str) -> Any:
        if name in ("covariance_matrix", "precision_matrix", "scale_tril"):
            return getattr(self._normal, name)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = tuple(batch_shape)
        matrix = getattr(self, self._given).expand((*shape, *self.event_shape))
        new = type(self)(self.df.expand(shape), **{self._given: matrix}, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Tensor:
        return self._df * self.covariance_matrix

    @property
    def _df(self) -> Tensor:
        return self.df.reshape((*self.batch_shape, 1, 1))

    @property
    def mode(self) -> Tensor:
        factor = self._df - self.event_shape[-1] - 1
        return where(factor <= 0, math.nan, factor) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        return self._df * (v.square() + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _bartlett(self, sample_shape: Any) -> Tensor:
        n = self.event_shape[-1]
        places = arange(n, dtype=self.df.dtype, device=self.df.device)
        diagonal = Chi2(self.df.unsqueeze(-1) - places, validate_args=False)
        noise = diagonal.rsample(sample_shape).clamp(min=smallest(self.df)).sqrt().diag_embed()
        below = standard_normal(self._extended_shape(sample_shape), self.df).tril(-1)
        factor = self.scale_tril @ (noise + below)
        return factor @ factor.mT

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Random matrices; those that rounding made singular are drawn anew, a few times."""
        sample = self._bartlett(sample_shape)
        for _ in range(MOST_TRIES):
            singular = ~self.support.check(sample)
            if not bool(singular.any()):
                break
            again = self._bartlett(sample_shape)
            sample = where(singular.unsqueeze(-1).unsqueeze(-1), again, sample)
        return sample

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        from ..linalg import cholesky

        n = self.event_shape[-1]
        solved = _solved(self.scale_tril, cholesky(value))
        trace = solved.square().sum((-2, -1))
        log_det = 2 * half_log_det(cholesky(value))
        return 0.5 * ((self.df - n - 1) * log_det - trace) - self._log_normalizer()

    def _log_normalizer(self) -> Tensor:
        n, half = self.event_shape[-1], 0.5 * self.df
        log_volume = n * math.log(2) / 2 + half_log_det(self.scale_tril)
        return self.df * log_volume + mvlgamma(half, n)

    def entropy(self) -> Tensor:
        n, half = self.event_shape[-1], 0.5 * self.df
        steps = 0.5 * arange(n, dtype=self.df.dtype, device=self.df.device)
        digammas = digamma(half.unsqueeze(-1) - steps).sum(-1)
        mean_log_det = digammas + n * math.log(2) + 2 * half_log_det(self.scale_tril)
        return self._log_normalizer() - 0.5 * (self.df - n - 1) * mean_log_det + half * n


class LKJCholesky(Distribution):
    """Lower Cholesky factors L of `dim` by `dim` correlation matrices with density of the matrix
    proportional to det(L @ L.T)**(concentration - 1).

    Sampled by the onion method. Raises: ValueError for a dim below 2.
    Source: Lewandowski, Kurowicka and Joe, Journal of Multivariate Analysis 100, 2009.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(
        self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ValueError(f"LKJCholesky: expected a dim of at least 2. Got {dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        c = self.concentration
        # The squared length of row k's k elements before the diagonal is a Beta variable of k / 2
        # and c + (dim - 1 - k) / 2; row 0, which has none, takes row 1's, and drops it.
        row = arange(dim, dtype=c.dtype, device=c.device).clamp(min=1)
        self._beta = Beta(row / 2, c.unsqueeze(-1) + (dim - 1 - row) / 2, validate_args=False)
        super().__init__(c.shape, Size((dim, dim)), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = type(self)(self.dim, self.concentration.expand(tuple(batch_shape)), False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Any = ()) -> Tensor:
        squared = self._beta.sample(sample_shape).unsqueeze(-1)
        noise = standard_normal(self._extended_shape(sample_shape), self.concentration).tril(-1)
        direction = noise / where(noise == 0, 1.0, noise.square().sum(-1, keepdim=True).sqrt())
        below = squared.sqrt() * direction.tril(-1)
        least = smallest(below)
        diagonal = (1 - below.square().sum(-1)).clamp(min=least).sqrt()
        return below + diagonal.diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        row = arange(2, self.dim + 1, dtype=value.dtype, device=value.device)
        power = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - row
        rest = self.dim - 1
        alpha = self.concentration + 0.5 * rest
        normalizer = mvlgamma(alpha - 0.5, rest) - alpha.lgamma() * rest
        normalizer = normalizer + 0.5 * rest * math.log(math.pi)
        return (power * diagonal.log()).sum(-1) - normalizer
