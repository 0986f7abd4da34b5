"""Indexing by tensors, gathering and scattering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core import dtypes
from ..builder import Builder, OnnxExporterError, Value
from .movement import basic, without_ellipsis
from .registry import rule


@rule("index_elements")
def getitem(b: Builder, x: Value, *, index: Sequence[Any]) -> Value:
    """x[index] with tensors of positions, or one mask, in the index."""
    items = without_ellipsis(index, x.ndim)
    masks = [k for k, i in enumerate(items) if _is_array(i) and i.dtype is dtypes.bool_]
    if masks:
        return _masked(b, x, items)
    arrays = [k for k, i in enumerate(items) if _is_array(i)]
    plain = [slice(None) if k in arrays else i for k, i in enumerate(items)]
    if any(isinstance(i, int) for i in plain):  # with arrays about, an int is an array
        plain = [slice(None) if isinstance(i, int) else i for i in plain]
        arrays = [k for k, i in enumerate(items) if _is_array(i) or isinstance(i, int)]
    fresh = [i is None for i in items]
    places = [k - sum(fresh[:k]) for k in arrays]
    before = [k - sum(fresh[:k]) for k, i in enumerate(items) if i is not None]
    rest = [i for i in plain if i is not None]
    out = basic(b, x, rest) if any(i != slice(None) for i in rest) else x
    found = [
        items[k] if _is_array(items[k]) else b.constant(items[k], dtypes.int64) for k in arrays
    ]
    out, at, width = _gathered(b, out, places, found, len(before), arrays)
    if any(fresh):
        news = _new_axes(fresh, arrays, at, width)
        out = b.unsqueeze(out, *news)
    return out


def _is_array(item: Any) -> bool:
    return isinstance(item, Value) and not (item.ndim == 0 and item.dtype is not dtypes.bool_)


def _gathered(
    b: Builder, x: Value, places: list[int], index: list[Value], ndim: int, among: list[int]
) -> tuple[Value, int, int]:
    """x at positions `index` of the dimensions `places`; where the new dimensions stand, and how
    many they are. Source: NumPy, "Combining advanced and basic indexing"."""
    width = max(i.ndim for i in index)
    if len(places) == 1:
        return b.Gather(x, index[0], axis=places[0]), places[0], width
    order = [*places, *(k for k in range(ndim) if k not in places)]
    shape = index[0]
    for other in index[1:]:
        shape = b.Add(b.Mul(other, 0), b.Add(b.Mul(shape, 0), 0))
    whole = b.Shape(shape)
    columns = [b.Unsqueeze(b.Expand(b.cast(i, dtypes.int64), whole), b.ints([-1])) for i in index]
    coordinates = b.Concat(*columns, axis=-1)
    out = b.GatherND(b.permuted(x, order), coordinates)
    are_adjacent = among == list(range(among[0], among[-1] + 1))
    at = places[0] if are_adjacent else 0
    if at == 0:
        return out, 0, width
    final = width + ndim - len(places)
    back = [*range(width, width + at), *range(width), *range(width + at, final)]
    return b.permuted(out, back), at, width


def _new_axes(fresh: list[bool], arrays: list[int], at: int, width: int) -> list[int]:
    """Where the dimensions for None come in the result."""
    found, position = [], 0
    placed = at == 0 and not (arrays and arrays == [*range(arrays[0], arrays[-1] + 1)])
    position = width if placed else 0
    for k, is_new in enumerate(fresh):
        if is_new:
            found.append(position)
            position += 1
        elif k in arrays:
            if not placed:
                position, placed = position + width, True
        else:
            position += 1
    return found


def _masked(b: Builder, x: Value, items: list[Any]) -> Value:
    """The elements where a mask holds: their number is known only when the model runs."""
    (mask,) = [i for i in items if _is_array(i)] if sum(map(_is_array, items)) == 1 else [None]
    if mask is None or mask.dtype is not dtypes.bool_ or items[0] is not mask:
        raise OnnxExporterError(
            "ONNX: an index with a mask must begin with it, and hold no other tensor. Index in two "
            "steps."
        )
    if any(i != slice(None) for i in items[1:]):
        raise OnnxExporterError("ONNX: index by the mask first, and then by the rest.")
    places = b.Transpose(b.NonZero(mask), perm=[1, 0])
    return b.GatherND(x, places)


@rule("index_put_values")
def put(b: Builder, x: Value, values: Value, *, index: Sequence[Any], accumulate: bool) -> Value:
    """Scattered by the numbers that the index picks out of all positions: any index will do."""
    flat, shape = b.ints([-1]), b.Shape(x)
    count = b.Size(x)
    zero, one = b.constant(0, dtypes.int64), b.constant(1, dtypes.int64)
    numbers = b.Reshape(b.Range(zero, count, one), shape)
    numbers.dims = x.dims
    has_arrays = any(_is_array(i) for i in without_ellipsis(index, x.ndim))
    places = getitem(b, numbers, index=index) if has_arrays else basic(b, numbers, index)
    spread = b.Reshape(b.Expand(values, b.Shape(places)), flat)
    is_flag = x.dtype is dtypes.bool_
    data = b.cast(x, dtypes.int32) if is_flag else x
    spread = b.cast(spread, dtypes.int32) if is_flag else spread
    kind = "add" if accumulate else "none"
    out = b.scatter(b.Reshape(data, flat), b.Reshape(places, flat), spread, reduction=kind)
    out = b.Reshape(out, shape)
    return b.cast(out, dtypes.bool_) if is_flag else out


@rule("gather")
def gather(b: Builder, x: Value, index: Value, *, dim: int, **options: Any) -> Value:
    """x[.., index, ..] element by element."""
    if x.ndim == 0:
        return b.Identity(x)
    return b.GatherElements(x, index, axis=dim)


@rule("scatter_values", "scatter_reduced", "scatter_add_zeros")
def scatter(b: Builder, x: Value, index: Value, src: Value, *, dim: int, reduce: str = "") -> Value:
    """A copy with elements of src at, or combined into, the index."""
    kinds = {"": "none", "prod": "mul", "amax": "max", "amin": "min"}
    source = src
    if src.dims is not None and index.dims is not None and src.dims != index.dims:
        ends = [index.size(k) for k in range(index.ndim)]
        source = b.Slice(src, b.ints([0] * len(ends)), b.ints(ends))
    return b.scatter(x, index, source, dim, kinds[reduce])


@rule("scatter_add_zeros")
def scatter_add(b: Builder, g: Value, index: Value, *, like: Sequence[Any], dim: int) -> Value:
    """Zeros of shape `like`, with g added at the index."""
    zeros = b.Expand(b.constant(0, g.dtype), b.ints(like))
    return b.scatter(zeros, index, g, dim, "add")
