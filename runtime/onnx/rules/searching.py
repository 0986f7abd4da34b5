"""Functions whose results are places, counts and choices, of which some have as many elements as
values say."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import dtypes
from ..builder import Builder, OnnxExporterError, Value
from .registry import rule


@rule("nonzero")
def nonzero(b: Builder, x: Value, *, as_tuple: bool = False) -> Value:
    """(n, ndim) int64."""
    rows = x if x.ndim else b.unsqueeze(x, 0)
    places = b.Transpose(b.NonZero(rows), perm=[1, 0])
    return places if x.ndim else b.slice(places, 0, 0, 1)


@rule("nonzero.parts")
def nonzero_parts(b: Builder, x: Value, *, as_tuple: bool = True) -> tuple[Value, ...]:
    """One row of places for each dimension."""
    rows = x if x.ndim else b.unsqueeze(x, 0)
    places = b.NonZero(rows)
    return tuple(
        b.Gather(places, b.constant(k, dtypes.int64), axis=0) for k in range(max(x.ndim, 1))
    )


WITH_UNIQUE = (dtypes.float32, dtypes.float64, dtypes.int64, dtypes.int8)
"""Types for which onnxruntime has the operator."""


def _unique(b: Builder, x: Value, dim: int | None) -> tuple[Value, Value, Value]:
    """Values, inverse and counts."""
    wide = x if x.dtype in WITH_UNIQUE else b.cast(x, dtypes.int64)
    options = {} if dim is None else {"axis": dim % x.ndim}
    found, _, inverse, counts = b.add("Unique", wide, outputs=4, sorted=1, **options)
    for indices in (inverse, counts):
        indices.dtype = b.dtypes[indices.name] = dtypes.int64
    return b.cast(found, x.dtype), inverse, counts


@rule("unique")
def unique(b: Builder, x: Value, *, dim: int | None = None, **rest: Any) -> Value:
    """The values in ascending order."""
    return _unique(b, x, dim)[0]


@rule("unique.parts")
def unique_parts(
    b: Builder, x: Value, *, sorted: bool, return_inverse: bool, return_counts: bool,
    dim: int | None,
) -> tuple[Value, ...]:  # fmt: skip
    """With where each element went, and how often each occurs."""
    values, inverse, counts = _unique(b, x, dim)
    inverse = inverse if dim is not None else b.Reshape(inverse, b.Shape(x))
    return (values, *[inverse][: int(return_inverse)], *[counts][: int(return_counts)])


@rule("searchsorted")
def searchsorted(
    b: Builder, sequence: Value, x: Any, *, out_int32: bool, right: bool, side: str | None,
    sorter: Any,
) -> Value:  # fmt: skip
    """How many elements of the sequence are less (or, from the right, not greater)."""
    if sorter is not None:
        sequence = b.GatherElements(sequence, sorter, axis=-1)
    x = x if isinstance(x, Value) else b.constant(x, sequence.dtype)
    wanted = b.Unsqueeze(x, b.ints([-1]))
    rows = sequence if sequence.ndim == 1 else b.unsqueeze(sequence, sequence.ndim - 1)
    common = dtypes.promote_types(sequence.dtype, x.dtype)
    pair = b.cast(rows, common), b.cast(wanted, common)
    passed = (b.LessOrEqual if right or side == "right" else b.Less)(*pair)
    dtype = dtypes.int32 if out_int32 else dtypes.int64
    return b.reduce("ReduceSum", b.cast(passed, dtype), [-1], False)


@rule("isin")
def isin(b: Builder, elements: Value, tests: Any, *, assume_unique: bool, invert: bool) -> Value:
    """Equal to any of them."""
    tests = tests if isinstance(tests, Value) else b.constant(tests, elements.dtype)
    flat = b.cast(b.Reshape(tests, b.ints([-1])), elements.dtype)
    equal = b.cast(b.Equal(b.Unsqueeze(elements, b.ints([-1])), flat), dtypes.int32)
    found = b.cast(b.reduce("ReduceMax", equal, [-1], False), dtypes.bool_)
    return b.Not(found) if invert else found


@rule("bincount")
def bincount(b: Builder, x: Value, weights: Value | None, *, minlength: int) -> Value:
    """Ones, or weights, added up in as many places as the largest number wants."""
    places = b.cast(x, dtypes.int64)
    largest = b.reduce("ReduceMax", places, None, False)
    count = b.Max(b.Add(largest, 1), b.constant(minlength, dtypes.int64))
    parts = b.Expand(b.constant(1, dtypes.int64), b.Shape(x))
    if weights is not None:
        parts = b.cast(weights, b.node.meta["vals"][0].dtype)
    zeros = b.Expand(b.constant(0, parts.dtype), b.ints([count]))
    return b.scatter(zeros, places, parts, reduction="add")


@rule("histc")
def histc(b: Builder, x: Value, *, bins: int, min: float, max: float) -> Value:
    """Counts between fixed ends; what is outside goes to a place that is cut off."""
    if min == max:
        raise OnnxExporterError("ONNX: histc wants min and max, fixed ends of the intervals.")
    flat = b.cast(b.Reshape(x, b.ints([-1])), dtypes.float64)
    whole = b.Floor(b.Mul(b.Div(b.Sub(flat, float(min)), float(max - min)), float(bins)))
    place = b.cast(b.Min(whole, b.constant(bins - 1.0, dtypes.float64)), dtypes.int64)
    is_outside = b.Or(b.Less(flat, float(min)), b.Greater(flat, float(max)))
    place = b.Where(is_outside, b.constant(bins, dtypes.int64), place)
    ones = b.Expand(b.constant(1, x.dtype), b.Shape(place))
    zeros = b.constant(np.zeros(bins + 1, x.dtype.numpy))
    counts = b.scatter(zeros, place, ones, reduction="add")
    return b.slice(counts, 0, bins, 0)


@rule("masked_scatter")
def masked_scatter(b: Builder, x: Value, mask: Value, source: Value) -> Value:
    """The n-th place of the mask takes the n-th element of the source."""
    shape = b.Shape(b.Where(mask, x, x))
    flags = b.Expand(mask, shape)
    numbers = b.CumSum(
        b.cast(b.Reshape(flags, b.ints([-1])), dtypes.int64), b.constant(0, dtypes.int64)
    )
    first = b.constant(0, dtypes.int64)
    chosen = b.Gather(b.Reshape(source, b.ints([-1])), b.Max(b.Sub(numbers, 1), first), axis=0)
    return b.Where(flags, b.Reshape(chosen, shape), x)


@rule("nms")
def nms(b: Builder, boxes: Value, scores: Value, *, iou_threshold: float) -> Value:
    """The places of the boxes that stay, best first."""
    limit = b.constant(float(iou_threshold), dtypes.float32)
    whole = b.unsqueeze(b.cast(boxes, dtypes.float32), 0)
    rated = b.unsqueeze(b.cast(scores, dtypes.float32), 0, 1)
    found = b.add("NonMaxSuppression", whole, rated, b.Size(scores), limit, dtype=dtypes.int64)
    return b.Gather(found, b.constant(2, dtypes.int64), axis=1)


@rule("bag_numbers")
def bag_numbers(b: Builder, offsets: Value, *, count: Any) -> Value:
    """How many bags have begun up to each position, less one."""
    stop = count if isinstance(count, Value) else b.constant(count, dtypes.int64)
    zero, one = b.constant(0, dtypes.int64), b.constant(1, dtypes.int64)
    positions = b.unsqueeze(b.Range(zero, stop, one), 1)
    begun = b.LessOrEqual(b.cast(offsets, dtypes.int64), positions)
    counts = b.reduce("ReduceSum", b.cast(begun, dtypes.int64), [-1], False)
    return b.cast(b.Sub(counts, 1), offsets.dtype)
