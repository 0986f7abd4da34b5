"""Operations that move elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core import dtypes
from ...export.strided import places, shown_elements
from ..builder import INT64_MAX, Builder, OnnxExporterError, Value
from .registry import rule


@rule("cast")
def cast(b: Builder, x: Value, *, dtype: Any) -> Value:
    """Numbers become truth values where they are not 0."""
    return b.cast(x, dtype)


@rule("view_as_shape", "reshape_like")
def reshape(b: Builder, x: Value, *, shape: Sequence[Any] = (), like: Any = None) -> Value:
    """Sizes that the graph computes are left to it where one alone is open."""
    return b.reshape(x, shape if like is None else like)


@rule("transpose")
def transpose(b: Builder, x: Value, *, dim0: int, dim1: int) -> Value:
    """Two dimensions exchanged."""
    order = list(range(x.ndim))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return b.permuted(x, order)


@rule("permute_dims")
def permute(b: Builder, x: Value, *, dims: Sequence[int]) -> Value:
    """All dimensions in another order."""
    return b.permuted(x, [d % x.ndim for d in dims])


@rule("expand_shape", "expand_to")
def expand(b: Builder, x: Value, *, shape: Sequence[Any] = (), like: Any = None) -> Value:
    """-1 keeps a size."""
    wanted = list(shape if like is None else like)
    missing = len(wanted) - x.ndim
    sizes = [1 if isinstance(n, int) and n == -1 else n for n in wanted]
    sizes = [
        1 if k >= missing and not isinstance(n, int) and x.shape[k - missing] is None else n
        for k, n in enumerate(sizes)
    ]
    return b.Expand(x, b.ints(sizes))


@rule("cat")
def cat(b: Builder, tensors: list[Value], *, dim: int) -> Value:
    """Empty vectors count for nothing."""
    ranks = {t.ndim for t in tensors}
    parts = [t for t in tensors if t.shape != (0,) or len(ranks) == 1]
    return b.Concat(*parts, axis=dim)


@rule("stack")
def stack(b: Builder, tensors: list[Value], *, dim: int) -> Value:
    """Each with a new dimension, joined there."""
    axis = dim % (tensors[0].ndim + 1)
    return b.Concat(*[b.unsqueeze(t, axis) for t in tensors], axis=axis)


@rule("unbind")
def unbind(b: Builder, x: Value, *, dim: int) -> tuple[Value, ...]:
    """One at a time; those that nobody reads are dropped later."""
    axis = dim % x.ndim
    return tuple(b.Gather(x, b.constant(k, dtypes.int64), axis=axis) for k in range(x.size(axis)))


@rule("split_sizes")
def split(b: Builder, x: Value, *, sizes: Sequence[Any], dim: int) -> tuple[Value, ...]:
    """One operator for all parts."""
    if len(sizes) == 1:
        return (b.Identity(x),)
    return b.add("Split", x, b.ints(sizes), outputs=len(sizes), axis=dim)


@rule("narrow")
def narrow(b: Builder, x: Value, *, dim: int, start: Any, length: Any) -> Value:
    """From start on, so many."""
    if isinstance(start, int) and isinstance(length, int):
        reaches_end = start < 0 and start + length == 0
        return b.slice(x, start, INT64_MAX if reaches_end else start + length, dim % x.ndim)
    ends = [n if isinstance(n, Value) else b.constant(n, dtypes.int64) for n in (start, length)]
    return b.slice(x, start, b.Add(*ends), dim % x.ndim)


@rule("select_at")
def select(b: Builder, x: Value, *, dim: int, index: Any) -> Value:
    """One position of a dimension."""
    place = index if isinstance(index, Value) else b.constant(int(index), dtypes.int64)
    return b.Gather(x, place, axis=dim % x.ndim)


@rule("slice_view")
def slice_view(b: Builder, x: Value, *, index: Sequence[Any]) -> Value:
    """Slices first, then the dimensions that ints take out, then new ones."""
    return basic(b, x, index)


def basic(b: Builder, x: Value, index: Sequence[Any]) -> Value:
    """x[index] for ints, slices, None and Ellipsis."""
    items = without_ellipsis(index, x.ndim)
    axis, out, taken, fresh = 0, x, [], []
    starts: list[list[Any]] = [[], [], [], []]
    for item in items:
        if item is None:
            fresh.append(axis - len(taken) + len(fresh))
            continue
        if isinstance(item, slice):
            if item != slice(None) and (item.start, item.stop, item.step) != (None, None, None):
                stop = INT64_MAX if item.stop is None else item.stop
                found = (item.start or 0, stop, axis, item.step or 1)
                for part, value in zip(starts, found, strict=True):
                    part.append(value)
        else:
            taken.append((axis, item))
        axis += 1
    if starts[0]:
        out = b.Slice(x, *[b.ints(part) for part in starts])
    for axis, item in reversed(taken):
        place = item if isinstance(item, Value) else b.constant(int(item), dtypes.int64)
        out = b.Gather(out, place, axis=axis)
    return b.unsqueeze(out, *fresh) if fresh else out


def without_ellipsis(index: Sequence[Any], ndim: int) -> list[Any]:
    """The index with one item for each dimension, and None for new ones."""
    used = sum(_width(i) for i in index)
    items: list[Any] = []
    for item in index:
        items += [slice(None)] * (ndim - used) if item is Ellipsis else [item]
    return items + [slice(None)] * (ndim - sum(_width(i) for i in items))


def _width(item: Any) -> int:
    """How many dimensions an item of an index stands for."""
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if isinstance(item, Value) and item.dtype is dtypes.bool_ else 1


@rule("flip_along")
def flip(b: Builder, x: Value, *, dims: Sequence[int]) -> Value:
    """A slice backwards."""
    axes = [d % x.ndim for d in dims] if x.ndim else []
    if not axes:
        return b.Identity(x)
    count = len(axes)
    ends = [[-1] * count, [-INT64_MAX] * count, axes, [-1] * count]
    return b.Slice(x, *[b.ints(part) for part in ends])


@rule("roll_along")
def roll(b: Builder, x: Value, *, shifts: Any, dims: Any) -> Value:
    """The end in front of the beginning, dimension by dimension."""
    if dims is None or dims == ():
        flat = b.Reshape(x, b.ints([-1]))
        return b.Reshape(
            _rolled(b, flat, shifts if isinstance(shifts, int) else shifts[0], 0), b.Shape(x)
        )
    pairs = [(shifts, dims)] if isinstance(dims, int) else list(zip(shifts, dims, strict=True))
    for shift, dim in pairs:
        n = x.shape[dim]
        x_dims = x.dims
        x = _rolled(b, x, shift % n if n else shift, dim % x.ndim)
        x.dims = x_dims
    return x


def _rolled(b: Builder, x: Value, shift: int, axis: int) -> Value:
    """By a shift below the size of the dimension."""
    if shift == 0:
        return b.Identity(x)
    tail, head = b.slice(x, -shift, INT64_MAX, axis), b.slice(x, 0, -shift, axis)
    return b.Concat(tail, head, axis=axis)


@rule("tril", "triu")
def triangle(b: Builder, x: Value, *, diagonal: int, upper: bool = False) -> Value:
    """By a mask, as ONNX Runtime has the operator for few types."""
    shown = b.triangle(b.Shape(x), diagonal, upper)
    if x.dtype is dtypes.bool_:
        return b.And(shown, x)
    return b.Where(shown, x, b.constant(0, x.dtype))


@rule("triu")
def upper_triangle(b: Builder, x: Value, *, diagonal: int) -> Value:
    """Above the diagonal."""
    return triangle(b, x, diagonal=diagonal, upper=True)


MODES = {"replicate": "edge", "circular": "wrap"}
"""Modes of padding that ONNX calls otherwise."""


@rule("pad_constant", "pad_around")
def pad(
    b: Builder, x: Value, *, pad: Sequence[Any], mode: str = "constant", value: Any = None
) -> Value:
    """All beginnings, then all ends; negative widths cut."""
    count = x.ndim - len(pad) // 2
    pairs = [(0, 0)] * count + [(pad[k], pad[k + 1]) for k in reversed(range(0, len(pad), 2))]
    widths = b.ints([p[0] for p in pairs] + [p[1] for p in pairs])
    kind = MODES.get(mode, mode)
    if kind == "wrap":
        b.require(19, "circular padding")
    if x.dtype is dtypes.bool_:
        return b.cast(
            b.Pad(b.cast(x, dtypes.int32), widths, b.constant(int(value or 0), dtypes.int32)),
            x.dtype,
        )
    numbers = [] if kind != "constant" else [b.constant(0 if value is None else value, x.dtype)]
    return b.Pad(x, widths, *numbers, mode=kind)


@rule("zeros_of", "ones_of", "zeros_as")
def filled(b: Builder, x: Value, *, shape: Any = None, number: int = 0) -> Value:
    """One number everywhere."""
    sizes = b.Shape(x) if shape is None else b.ints(shape)
    return b.Expand(b.constant(number, x.dtype), sizes)


@rule("ones_of")
def ones(b: Builder, x: Value, *, shape: Any) -> Value:
    """Ones."""
    return filled(b, x, shape=shape, number=1)


@rule("strided", "strided_by_element")
def strided(
    b: Builder, x: Value, *, size: Any, stride: Any, offset: int = 0, geometry: Any = None,
    **rest: Any,
) -> Value:  # fmt: skip
    """Elements by their place in memory, of which the sizes must be known."""
    if geometry is None or None in x.shape or any(isinstance(n, Value) for n in size):
        raise OnnxExporterError("ONNX: as_strided needs fixed sizes. Use slices and reshape.")
    chosen = shown_elements(geometry, size, stride, offset)
    return b.Gather(b.Reshape(x, b.ints([-1])), b.constant(chosen), axis=0)


@rule("moved_between")
def moved_between(b: Builder, x: Value, *, source: Any, target: Any) -> Value:
    """Scattered into memory, and read from it."""
    there, here = places(*source), places(*target)
    first = min(int(there.min(initial=0)), int(here.min(initial=0)))
    count = max(int(there.max(initial=0)), int(here.max(initial=0))) - first + 1
    memory = b.Expand(b.constant(0, x.dtype), b.ints([count]))
    flat = b.Reshape(x, b.ints([-1]))
    chosen = b.constant((there - first).reshape(-1))
    written = b.scatter(memory, chosen, flat, reduction="add")
    return b.Gather(written, b.constant(here - first), axis=0)
