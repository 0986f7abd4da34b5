"""Searching: distinct elements, membership, places in sorted sequences, positions of nonzeros."""

from __future__ import annotations

import math
from typing import Any

from ..core import dtypes
from ..core.creation import as_tensor
from ..core.dispatch import guarded, key_of, one_device
from ..core.tensor import Tensor, wrap
from ..errors import DTypeError, ShapeError
from . import arithmetic
from .declare import Spec
from .gather import nonzero
from .shapes import normalized_dim, require_values
from .slicewise import slicewise
from .sorting import sort
from .steps import step

__all__ = [
    "argwhere",
    "bucketize",
    "isin",
    "msort",
    "nonzero_static",
    "searchsorted",
    "unique",
    "unique_consecutive",
    "unravel_index",
    "where",
]


def _results(input: Any, values: Any, inverse: Any, counts: Any, wants: tuple[bool, bool]) -> Any:
    """Bare `values`, and what else is wanted, as tensors beside input."""
    key = key_of(input.device, dtypes.int64)
    extra = [wrap(x, key) for x, want in zip((inverse, counts), wants, strict=True) if want]
    found = wrap(values, input._key)
    return (found, *extra) if extra else found


def _first_of_runs(xp: Any, rows: Any) -> Any:
    """Whether each row differs from the one before."""
    if not len(rows):
        return xp.zeros(0, bool)
    differs = rows[1:] != rows[:-1]
    if differs.ndim > 1:
        differs = differs.any(tuple(range(1, differs.ndim)))
    return xp.concatenate([xp.ones(1, bool), differs])


def _unique_rows(input: Any, rows: Any, order: Any) -> tuple[Any, Any, Any]:
    """Distinct neighbours of `rows` (bare, in the order `order`), the group of each original row,
    and how many there are of each."""
    xp = input._key.backend.xp
    first = _first_of_runs(xp, rows)
    group = xp.cumsum(first) - 1
    inverse = xp.empty(len(rows), xp.int64)
    inverse[order] = group
    return rows[first], inverse, xp.bincount(group, None, int(first.sum()))


@step("input")
@guarded
def unique(
    input: Spec,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in ascending order, or the distinct slices along `dim`; on request
    where each element went (`return_inverse`) and how often each occurs (`return_counts`)."""
    require_values("unique", input)
    xp = input._key.backend.xp
    wants = (return_inverse, return_counts)
    array = input.detach()._array
    if dim is None:
        flat = array.reshape(-1)
        order = xp.argsort(flat)
        values, inverse, counts = _unique_rows(input, flat[order], order)
        inverse = inverse.reshape(array.shape)
        return _results(input, values, inverse, counts, wants)
    d = normalized_dim(dim, array.ndim, "unique")
    rows = xp.moveaxis(array, d, 0)
    flat = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    order = xp.lexsort(flat.T[::-1]) if flat.shape[1] else xp.arange(len(flat))
    values, inverse, counts = _unique_rows(input, rows[order], order)
    values = xp.ascontiguousarray(xp.moveaxis(values, 0, d))
    return _results(input, values, inverse, counts, wants)


@step("input")
@guarded
def unique_consecutive(
    input: Spec, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements (or slices along `dim`) unlike the one before them; the rest as `unique`."""
    require_values("unique_consecutive", input)
    xp = input._key.backend.xp
    array = input.detach()._array
    d = 0 if dim is None else normalized_dim(dim, array.ndim, "unique_consecutive")
    rows = array.reshape(-1) if dim is None else xp.moveaxis(array, d, 0)
    values, inverse, counts = _unique_rows(input, rows, xp.arange(len(rows)))
    if dim is None:
        inverse = inverse.reshape(array.shape)
    else:
        values = xp.ascontiguousarray(xp.moveaxis(values, 0, d))
    wants = (return_inverse, return_counts)
    return _results(input, values, inverse, counts, wants)


@step("sorted_sequence", "input")
@slicewise
@guarded
def searchsorted(
    sorted_sequence: Spec,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Spec:
    """For each element of input (a tensor or number) the place in the ascending last dimension of
    `sorted_sequence` before which it belongs; after equal ones if `right`.

    Raises: RuntimeError if the leading dimensions differ.
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise RuntimeError(
            f"searchsorted: expected side left or right. Got {side!r}, right={right}."
        )
    is_number = not hasattr(input, "shape")
    values = as_tensor(input, device=sorted_sequence.device) if is_number else input
    dtype = dtypes.int32 if out_int32 else dtypes.int64
    if values.is_meta:
        return values.new_empty(values.shape, dtype=dtype)
    xp = values._key.backend.xp
    sequence = sorted_sequence if sorter is None else sorted_sequence.gather(-1, sorter)
    rows, wanted = sequence.detach()._array, values.detach()._array
    after = "right" if right or side == "right" else "left"
    if rows.ndim == 1:
        found = xp.searchsorted(rows, wanted, after)
    else:
        if rows.shape[:-1] != wanted.shape[:-1]:
            raise ShapeError(
                f"searchsorted: expected the leading dimensions {rows.shape[:-1]}. Got "
                f"{wanted.shape}."
            )
        count = math.prod(rows.shape[:-1])
        pairs = zip(
            rows.reshape(count, rows.shape[-1]),
            wanted.reshape(count, wanted.shape[-1]),
            strict=True,
        )
        parts = [xp.searchsorted(row, some, after) for row, some in pairs]
        found = xp.stack(parts).reshape(wanted.shape) if parts else xp.zeros(wanted.shape, xp.int64)
    return wrap(xp.asarray(found, dtype.numpy), key_of(values.device, dtype))


def bucketize(
    input: Any, boundaries: Spec, *, out_int32: bool = False, right: bool = False
) -> Spec:
    """The number of the interval between ascending `boundaries` that each element lies in."""
    if len(boundaries.shape) != 1:
        raise ShapeError(
            f"bucketize: expected a vector of boundaries. Got {tuple(boundaries.shape)}."
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@step("elements", "test_elements")
@slicewise
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Spec:
    """Whether each element is among `test_elements`; one of both may be a number."""
    tensors = [x for x in (elements, test_elements) if hasattr(x, "shape")]
    place = tensors[0].device
    a, b = (
        x if hasattr(x, "shape") else as_tensor(x, device=place) for x in (elements, test_elements)
    )
    if a.is_meta:
        return a == a
    one_device("isin", [a, b])
    xp = a._key.backend.xp
    with a._key.guard:
        found = xp.asarray(xp.isin(a.detach()._array, b.detach()._array, invert=invert))
    return wrap(found, key_of(a.device, dtypes.bool_))


def msort(input: Spec) -> Spec:
    """input sorted along its first dimension."""
    return sort(input, 0).values if len(input.shape) else input.clone()


def where(condition: Spec, input: Any = None, other: Any = None) -> Any:
    """input where `condition` (bool) holds, else other; tensors or numbers, which broadcast.

    Without them the positions where it holds, as one index tensor for each dimension.
    Raises: RuntimeError for a condition of another dtype.
    """
    if isinstance(condition, Tensor):
        if input is None and other is None:
            return nonzero(condition, as_tuple=True)
        if condition.dtype is dtypes.uint8:
            condition = condition.to(dtypes.bool_)
        if condition.dtype.category:
            raise DTypeError(
                f"where: expected condition of torch.bool. Got {condition.dtype}, shape "
                f"{tuple(condition.shape)}. Compare it first, as in condition != 0."
            )
    if input is None or other is None:
        raise TypeError("where: expected input and other, or neither. Got one of them.")
    return arithmetic.where(condition, input, other)


def argwhere(input: Spec) -> Spec:
    """The positions of the nonzero elements, as rows."""
    return nonzero(input)


def nonzero_static(input: Spec, *, size: int, fill_value: int = -1) -> Spec:
    """The first `size` positions of nonzero elements, missing rows filled with `fill_value`."""
    if input.is_meta:
        return input.new_empty((size, input.ndim), dtype=dtypes.int64)
    found = nonzero(input)[:size]
    out = found.new_full((size, input.ndim), fill_value)
    out[: found.shape[0]] = found
    return out


def unravel_index(indices: Spec, shape: Any) -> tuple[Spec, ...]:
    """The coordinates, one tensor per dimension, of places in a flat tensor of `shape`.

    Raises: IndexError for a place outside.
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if indices.dtype.category != dtypes.INTEGER or any(n < 0 for n in sizes):
        raise RuntimeError(
            f"unravel_index: expected integers and no negative sizes. Got {indices.dtype}, {sizes}."
        )
    found = []
    rest = indices
    for n in reversed(sizes):
        found.append(rest % n)
        rest = rest.div(n, rounding_mode="floor")
    return tuple(reversed(found))
