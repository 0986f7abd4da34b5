"""Invertible maps of vectors and matrices: onto simplices, triangular and definite matrices."""

from __future__ import annotations

import math
from typing import Any

from ..core.ranges import arange
from ..core.tensor import Size, Tensor
from ..ops.padding import pad
from . import constraints
from .parameters import (
    epsilon,
    smallest,
    softplus,
    sum_rightmost,
    tril_matrix_to_vec,
    vec_to_tril_matrix,
)
from .scalar_transforms import Transform

__all__ = [
    "CorrCholeskyTransform", "LowerCholeskyTransform", "PositiveDefiniteTransform",
    "SoftmaxTransform", "StickBreakingTransform",
]  # fmt: skip


class SoftmaxTransform(Transform):
    """y = softmax(x) over the last dimension; not invertible, as a constant added to x is lost."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Tensor) -> Tensor:
        return x.softmax(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def forward_shape(self, shape: Any) -> Any:
        return _with_dimensions(self, shape, 1)

    inverse_shape = forward_shape


class StickBreakingTransform(Transform):
    """n numbers to n + 1 shares: each number says which part of the rest of a stick is broken off.

    The parts are sigmoid(x_k - log(n - k)) for k from 0, so that x = 0 gives equal shares.
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        part = (x - _log_rest(x, x.shape[-1])).sigmoid()
        part = part.clamp(min=smallest(part), max=1 - epsilon(part))
        rest = (1 - part).cumprod(-1)
        return pad(part, (0, 1), value=1) * pad(rest, (1, 0), value=1)

    def _inverse(self, y: Tensor) -> Tensor:
        shares = y[..., :-1]
        rest = (1 - shares.cumsum(-1)).clamp(min=smallest(y))
        return shares.log() - rest.log() + _log_rest(y, shares.shape[-1])

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        x = x - _log_rest(x, x.shape[-1])
        # log(part * (1 - part) * rest before it), and part * rest is the share y.
        return (-x - softplus(-x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        shape = _with_dimensions(self, shape, 1)
        return Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape: Any) -> Any:
        shape = _with_dimensions(self, shape, 1)
        return Size((*shape[:-1], shape[-1] - 1))


def _log_rest(like: Tensor, count: int) -> Tensor:
    """log n, log(n - 1), ..., log 1, for n = count."""
    return arange(count, 0, -1, dtype=like.dtype, device=like.device).log()


def _with_dimensions(transform: Transform, shape: Any, least: int) -> Any:
    """`shape`. Raises: ValueError for fewer than `least` dimensions."""
    if len(shape) < least:
        raise ValueError(
            f"{type(transform).__name__}: expected at least {least} dimensions. Got shape "
            f"{tuple(shape)}."
        )
    return shape


class LowerCholeskyTransform(Transform):
    """Square matrices to lower triangular ones, with exp of the diagonal."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """Square matrices to positive definite ones, by their Cholesky factor."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Tensor) -> Tensor:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Tensor) -> Tensor:
        from ..linalg import cholesky

        return LowerCholeskyTransform().inv(cholesky(y))


class CorrCholeskyTransform(Transform):
    """n * (n - 1) / 2 numbers to the lower Cholesky factor of an n by n correlation matrix.

    tanh of the numbers are partial correlations; each row is broken like a stick of squared length
    1. Source: Lewandowski, Kurowicka and Joe, Journal of Multivariate Analysis 100, 2009.
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        eps = epsilon(x)
        partial = vec_to_tril_matrix(x.tanh().clamp(min=-1 + eps, max=1 - eps), -1)
        rest = (1 - partial.square()).sqrt().cumprod(-1)
        identity = partial.new_ones((partial.shape[-1],)).diag_embed()
        return (partial + identity) * pad(rest[..., :-1], (1, 0), value=1)

    def _inverse(self, y: Tensor) -> Tensor:
        rest = pad((1 - y.square().cumsum(-1))[..., :-1], (1, 0), value=1)
        partial = tril_matrix_to_vec(y, -1) / tril_matrix_to_vec(rest, -1).sqrt()
        return (partial.log1p() - (-partial).log1p()) / 2

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        rest = 1 - y.square().cumsum(-1)
        sticks = 0.5 * tril_matrix_to_vec(rest, -2).log().sum(-1)
        slopes = -2 * (x + softplus(-2 * x) - math.log(2))
        return sticks + sum_rightmost(slopes, 1)

    def forward_shape(self, shape: Any) -> Any:
        count = _with_dimensions(self, shape, 1)[-1]
        n = round((0.25 + 2 * count) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != count:
            raise ValueError(
                f"{type(self).__name__}: expected n * (n - 1) / 2 numbers. Got {count}."
            )
        return Size((*shape[:-1], n, n))

    def inverse_shape(self, shape: Any) -> Any:
        shape = _with_dimensions(self, shape, 2)
        if shape[-1] != shape[-2]:
            raise ValueError(
                f"{type(self).__name__}: expected square matrices. Got shape {tuple(shape)}."
            )
        n = shape[-1]
        return Size((*shape[:-2], n * (n - 1) // 2))
