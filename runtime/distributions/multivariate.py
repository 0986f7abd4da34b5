"""The normal distribution of vectors."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..core.creation import eye
from ..core.tensor import Size, Tensor
from . import constraints
from .distribution import Distribution
from .parameters import common_shape, floating, lazy_property, standard_normal

__all__ = ["MultivariateNormal"]


class MultivariateNormal(Distribution):
    """Normal vectors with mean `loc` (..., n), and one of covariance_matrix, precision_matrix (its
    inverse) and scale_tril (its lower Cholesky factor), each (..., n, n).

    Raises: ValueError unless exactly one is given, or for shapes that do not fit.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        matrices = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        given = {n: m for n, m in matrices.items() if m is not None}
        if len(given) != 1:
            raise ValueError(
                f"MultivariateNormal: expected exactly one of {', '.join(matrices)}. Got "
                f"{', '.join(given) or 'none'}."
            )
        ((name, matrix),) = given.items()
        if loc.ndim < 1 or matrix.ndim < 2 or tuple(matrix.shape[-2:]) != (loc.shape[-1],) * 2:
            raise ValueError(
                f"MultivariateNormal: expected loc (..., n) and {name} (..., n, n). Got "
                f"{tuple(loc.shape)} and {tuple(matrix.shape)}."
            )
        batch = common_shape(matrix.shape[:-2], loc.shape[:-1])
        event = tuple(loc.shape[-1:])
        self.loc = loc.expand((*batch, *event))
        vars(self)[name] = matrix.expand((*batch, *event, *event))
        super().__init__(Size(batch), Size(event), validate_args=validate_args)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower triangular L with L @ L.mT = covariance."""
        from ..linalg import cholesky

        if "covariance_matrix" in vars(self):
            return cholesky(self.covariance_matrix)
        # Turned about, the precision's factor U becomes upper triangular: P = U @ U.mT. So its
        # inverse transposed is lower triangular, and the covariance's factor.
        turned = cholesky(self.precision_matrix.flip((-2, -1))).flip((-2, -1))
        return _solved(turned.mT, self._identity())

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """E[(x - loc) (x - loc).T]."""
        return self.scale_tril @ self.scale_tril.mT

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        inverse = _solved(self.scale_tril, self._identity())
        return inverse.mT @ inverse

    def _identity(self) -> Tensor:
        n = self.event_shape[0]
        return eye(n, **floating(self.loc)).expand((*self.batch_shape, n, n))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale_tril.square().sum(-1)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        noise = standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        standard = _solved(self.scale_tril, (value - self.loc).unsqueeze(-1)).squeeze(-1)
        return -0.5 * standard.square().sum(-1) - self._log_normalizer()

    def _log_normalizer(self) -> Tensor:
        return half_log_det(self.scale_tril) + 0.5 * self.event_shape[0] * math.log(2 * math.pi)

    def entropy(self) -> Tensor:
        return self._log_normalizer() + 0.5 * self.event_shape[0]


def half_log_det(factor: Tensor) -> Tensor:
    """Half the log-determinant of the matrix whose lower Cholesky factor is `factor`."""
    identity = eye(factor.shape[-1], **floating(factor))
    return (factor * identity).sum(-1).log().sum(-1)


def _solved(lower: Tensor, right: Tensor) -> Tensor:
    """x with lower @ x = right: (..., n, n) and (..., n, k), batches broadcast."""
    from ..linalg import solve_triangular

    shape = common_shape(lower.shape[:-2], right.shape[:-2])
    lower = lower.expand((*shape, *lower.shape[-2:]))
    right = right.expand((*shape, *right.shape[-2:]))
    return solve_triangular(lower, right, upper=False)
