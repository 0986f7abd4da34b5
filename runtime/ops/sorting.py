"""Sorting and selection by size."""

from __future__ import annotations

from typing import Any

from ..autograd.node import named
from ..core import dtypes
from ..core.dispatch import guarded, key_of
from ..core.tensor import wrap
from ..errors import ShapeError
from .declare import Spec, primitive
from .gather import gather
from .numpy_names import numpy_names
from .return_types import SELECTIONS
from .shapes import normalized_dim
from .slicewise import slicewise

__all__ = ["allclose", "argsort", "equal", "isclose", "sort", "topk"]


@primitive(node_name="Sort", refuses="complex")
def sort_order(input: Spec, *, dim: int, descending: bool, stable: bool) -> Spec:
    """The positions along `dim` that sort input; int64."""
    normalized_dim(dim, len(input.shape), "sort")
    return Spec(input.shape, dtypes.int64)


@sort_order.array
def sort_order_array(xp: Any, input: Any, dim: int, descending: bool, stable: bool) -> Any:
    """Descending order keeps equal elements in their order too; NaN counts as the largest."""
    if input.ndim == 0:
        return xp.zeros((), xp.int64)
    kind = {"kind": "stable"} if xp.__name__ == "numpy" else {}
    if not descending:
        return xp.argsort(input, dim, **kind).astype(xp.int64, copy=False)
    backwards = xp.flip(xp.argsort(xp.flip(input, dim), dim, **kind), dim)
    return (input.shape[dim] - 1 - backwards).astype(xp.int64, copy=False)


@primitive(node_name="Topk", refuses="complex")
def top_positions(input: Spec, *, dim: int, k: int, largest: bool) -> Spec:
    """The positions along `dim`, which has at least k, of its k largest or smallest elements in
    order; int64. NaN counts as the largest, and of equal elements the first come first."""
    shape = list(input.shape)
    if shape:
        shape[normalized_dim(dim, len(shape), "topk")] = k
    return Spec(tuple(shape), dtypes.int64)


@top_positions.array
def top_positions_array(xp: Any, input: Any, dim: int, k: int, largest: bool) -> Any:
    """All sorted."""
    order = sort_order_array(xp, input, dim, largest, True)
    return xp.moveaxis(xp.moveaxis(order, dim, -1)[..., :k], -1, dim) if input.ndim else order


@primitive(node_name="Kthvalue", refuses="complex")
def rank_positions(input: Spec, *, dim: int, rank: int) -> Spec:
    """The position along `dim`, of which 1 is left, of the element that `rank` (from 0) smaller
    ones, or equal ones before it, precede; int64."""
    shape = list(input.shape)
    if shape:
        shape[normalized_dim(dim, len(shape), "kthvalue")] = 1
    return Spec(tuple(shape), dtypes.int64)


@rank_positions.array
def rank_positions_array(xp: Any, input: Any, dim: int, rank: int) -> Any:
    """All sorted."""
    order = sort_order_array(xp, input, dim, False, True)
    if not input.ndim:
        return order
    return xp.moveaxis(xp.moveaxis(order, dim, -1)[..., rank : rank + 1], -1, dim)


@numpy_names
def argsort(input: Spec, dim: int = -1, descending: bool = False, stable: bool = False) -> Spec:
    """The positions along `dim` that sort input; int64, same shape."""
    return sort_order(input, dim=dim, descending=descending, stable=stable)


@numpy_names
def sort(input: Spec, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """input sorted along `dim`: named tuple of values (with gradient) and int64 indices."""
    order = sort_order(input, dim=dim, descending=descending, stable=stable)
    return SELECTIONS["sort"](named(gather(input, dim, order), "Sort"), order)


@numpy_names
def topk(input: Spec, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The k largest (or smallest) elements along `dim`: named tuple of values and int64 indices.

    Raises: RuntimeError if the dimension has fewer than k elements.
    """
    d = normalized_dim(dim, input.ndim, "topk")
    n = input.shape[d] if input.ndim else 1
    if not 0 <= k <= n:
        raise ShapeError(
            f"topk: expected k from 0 to {n}, the size of dimension {d} of shape "
            f"{tuple(input.shape)}. Got "
            f"{k}."
        )
    chosen = top_positions(input, dim=d, k=k, largest=largest)
    return SELECTIONS["topk"](named(gather(input, d, chosen), "Topk"), chosen)


@slicewise
@guarded
def isclose(
    input: Spec, other: Spec, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Spec:
    """Whether |input - other| <= atol + rtol * |other|, element by element."""
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose: expected rtol and atol not below 0. Got {rtol} and {atol}.")
    if input.is_meta:
        return input == other
    xp = input._key.backend.xp
    close = xp.isclose(input._array, other._array, rtol, atol, equal_nan)
    return wrap(xp.asarray(close), key_of(input.device, dtypes.bool_))


def allclose(
    input: Spec, other: Spec, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close, see `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input: Spec, other: Spec) -> bool:
    """Whether shapes and all elements are equal."""
    if tuple(input.shape) != tuple(other.shape):
        return False
    return bool((input == other).all())
