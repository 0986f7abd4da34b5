"""Normal vectors whose covariance is a diagonal and a few directions."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..core.creation import eye
from ..core.tensor import Size, Tensor
from . import constraints
from .distribution import Distribution
from .multivariate import _solved, half_log_det
from .parameters import common_shape, floating, lazy_property, standard_normal

__all__ = ["LowRankMultivariateNormal"]


class LowRankMultivariateNormal(Distribution):
    """Normal vectors with mean `loc` (..., n) and covariance W @ W.mT + diag(d), with W =
    `cov_factor` (..., n, k) and d = `cov_diag` (..., n).

    Only k by k systems are solved: by Woodbury's identity, with the capacitance matrix
    I + W.mT @ diag(1 / d) @ W.
    Raises: ValueError for shapes that do not fit.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        cov_factor: Tensor,
        cov_diag: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        n = tuple(loc.shape[-1:])
        fits = loc.ndim and cov_factor.ndim > 1 and tuple(cov_factor.shape[-2:-1]) == n
        if not fits or tuple(cov_diag.shape[-1:]) != n:
            raise ValueError(
                "LowRankMultivariateNormal: expected loc (..., n), cov_factor (..., n, k) and "
                f"cov_diag (..., n). Got {tuple(loc.shape)}, {tuple(cov_factor.shape)} and "
                f"{tuple(cov_diag.shape)}."
            )
        batch = common_shape(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        self.loc = loc.expand((*batch, *n))
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self.cov_factor = cov_factor.expand((*batch, *cov_factor.shape[-2:]))
        self.cov_diag = cov_diag.expand((*batch, *n))
        self._capacitance = _capacitance_factor(cov_factor, cov_diag)
        super().__init__(Size(batch), Size(n), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = tuple(batch_shape)
        new = type(self)(
            self.loc.expand((*shape, *self.event_shape)),
            self._unbroadcasted_cov_factor,
            self._unbroadcasted_cov_diag,
            validate_args=False,
        )
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:
        return self.cov_factor.square().sum(-1) + self.cov_diag

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """E[(x - loc) (x - loc).T]."""
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The covariance's lower Cholesky factor."""
        from ..linalg import cholesky

        root = self.cov_diag.sqrt()
        scaled = self.cov_factor / root.unsqueeze(-1)
        identity = eye(self.event_shape[0], **floating(self.loc))
        return root.unsqueeze(-1) * cholesky(scaled @ scaled.mT + identity)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        weighted = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        inner = _solved(self._capacitance, weighted)
        return self.cov_diag.reciprocal().diag_embed() - inner.mT @ inner

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        along = standard_normal((*shape[:-1], self.cov_factor.shape[-1]), self.loc)
        each = standard_normal(shape, self.loc)
        moved = (self.cov_factor @ along.unsqueeze(-1)).squeeze(-1)
        return self.loc + moved + self.cov_diag.sqrt() * each

    def _log_det(self) -> Tensor:
        """Of the covariance, by the determinant lemma."""
        return 2 * half_log_det(self._capacitance) + self.cov_diag.log().sum(-1)

    def _mahalanobis(self, apart: Tensor) -> Tensor:
        """apart @ precision @ apart."""
        weighted = (self.cov_factor.mT @ (apart / self.cov_diag).unsqueeze(-1)).squeeze(-1)
        inner = _solved(self._capacitance, weighted.unsqueeze(-1)).squeeze(-1)
        return (apart.square() / self.cov_diag).sum(-1) - inner.square().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        constant = self.event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + self._log_det() + self._mahalanobis(value - self.loc))

    def entropy(self) -> Tensor:
        found = 0.5 * (self.event_shape[0] * (1 + math.log(2 * math.pi)) + self._log_det())
        return found.expand(tuple(self.batch_shape))


def _capacitance_factor(factor: Tensor, diagonal: Tensor) -> Tensor:
    """The lower Cholesky factor of I + W.mT @ diag(1 / d) @ W."""
    from ..linalg import cholesky

    weighted = factor.mT / diagonal.unsqueeze(-2)
    return cholesky(weighted @ factor + eye(factor.shape[-1], **floating(factor)))
