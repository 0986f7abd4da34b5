"""Lengths, distances and angles of vectors along a dimension."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from .declare import Spec
from .numpy_names import numpy_names
from .products import distance
from .stacking import broadcast_tensors

__all__ = ["cosine_similarity", "pairwise_distance", "pdist"]


def normalize(
    input: Spec, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None
) -> Spec:
    """input divided by its p-norm along `dim`, or by eps where that is larger."""
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)


@numpy_names
def cosine_similarity(x1: Spec, x2: Spec, dim: int = 1, eps: float = 1e-8) -> Spec:
    """The cosine of the angle between vectors along `dim`; lengths below eps count as eps."""
    x1, x2 = broadcast_tensors(x1, x2)
    if x1.dtype is not x2.dtype:
        x1, x2 = x1 + x2 * 0, x2 + x1 * 0
    one = x1.norm(2, dim, keepdim=True).clamp(min=eps)
    two = x2.norm(2, dim, keepdim=True).clamp(min=eps)
    return ((x1 / one) * (x2 / two)).sum(dim)


def pairwise_distance(
    x1: Spec, x2: Spec, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Spec:
    """The p-norm of x1 - x2 + eps over the last dimension."""
    return (x1 - x2 + eps).norm(p, -1, keepdim)


def pdist(input: Spec, p: float = 2.0) -> Spec:
    """Distances of all pairs of rows of (N, M), as N * (N - 1) / 2 elements.

    Raises: RuntimeError for other than two dimensions or a negative p.
    """
    if len(input.shape) != 2 or p < 0:
        raise ShapeError(
            f"pdist: expected a matrix and p of at least 0. Got {tuple(input.shape)}, {p}."
        )
    n = input.shape[0]
    rows = [i for i in range(n) for _ in range(i + 1, n)]
    columns = [j for i in range(n) for j in range(i + 1, n)]
    return distance(input[rows] - input[columns], p)
