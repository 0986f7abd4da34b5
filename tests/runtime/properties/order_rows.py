"""Cumulative functions, sorting, selection, searching and counting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from flambeau import int64

from .calls import REAL, Arguments, In, Row, Type, axis, scan, widened
from .drawing import shapes
from .reduction_rows import whole

# -- cumulative ------------------------------------------------------------------------------------


def along(draw: Any, **bounds: Any) -> Arguments:
    shape = draw(shapes())
    return (In(shape, **bounds), axis(draw, len(shape))), {}


def in_double(draw: Any) -> Arguments:
    args, _ = along(draw)
    return args, {"dtype": Type("float64")}


def running(better: Callable[..., Any]) -> Callable[..., Any]:
    """The best so far along dim, the last of equal ones, and its index."""

    def reference(x: Any, dim: int) -> Any:
        moved = np.moveaxis(np.atleast_1d(x), dim, 0)
        best, index = moved.copy(), np.zeros(moved.shape, np.int64)
        for k in range(1, len(moved)):
            at_least = better(moved[k], best[k - 1])
            at_least = (at_least & ~np.isnan(best[k - 1])) | np.isnan(moved[k])
            best[k] = np.where(at_least, moved[k], best[k - 1])
            index[k] = np.where(at_least, k, index[k - 1])
        return [np.moveaxis(a, 0, dim).reshape(x.shape) for a in (best, index)]

    return reference


def log_of_sums(x: Any, axis: int) -> Any:
    return np.log(np.cumsum(np.exp(x), axis))


def differences(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1))
    return (In(shape),), {"n": draw(st.integers(0, 3)), "dim": axis(draw, len(shape))}


def spaced(draw: Any) -> Arguments:
    """y and perhaps x, or dx, along a dimension."""
    shape = draw(shapes(min_dims=1, min_side=1))
    dim = axis(draw, len(shape))
    form = draw(st.sampled_from(["none", "step", "places"]))
    args = (In(shape), In((shape[dim],), 0, 3, np.sort)) if form == "places" else (In(shape),)
    return args, {"dim": dim, **({"dx": 0.5} if form == "step" else {})}


def cumulative_trapezoid(y: Any, x: Any = None, *, dim: int, dx: float = 1.0) -> Any:
    moved = np.moveaxis(y, dim, -1)
    widths = np.full(max(moved.shape[-1] - 1, 0), dx) if x is None else np.diff(x)
    panels = widths * (moved[..., 1:] + moved[..., :-1]) / 2
    return np.moveaxis(np.cumsum(panels, -1), -1, dim)


def trapezoid(y: Any, x: Any = None, *, dim: int, dx: float = 1.0) -> Any:
    return np.trapezoid(y, x, dx, dim)


# -- sorting and selection -------------------------------------------------------------------------


def sorting(draw: Any) -> Arguments:
    shape = draw(shapes())
    return (In(shape),), {
        "dim": axis(draw, len(shape)),
        "descending": draw(st.booleans()),
        "stable": True,
    }


def order(x: Any, dim: int, descending: bool) -> Any:
    """Indices of a stable sort."""
    if not descending:
        return np.argsort(x, dim, kind="stable")
    last = x.shape[dim] - 1
    return last - np.flip(np.argsort(np.flip(x, dim), dim, kind="stable"), dim)


def sort(x: Any, dim: int, descending: bool, stable: bool) -> Any:
    index = order(np.atleast_1d(x), dim, descending)
    return [np.take_along_axis(np.atleast_1d(x), index, dim).reshape(x.shape),
            index.reshape(x.shape)]  # fmt: skip


def picking(draw: Any) -> Arguments:
    shape = draw(shapes(min_side=1))
    dim = axis(draw, len(shape))
    k = draw(st.integers(0, shape[dim])) if shape else 1
    return (In(shape), k, dim), {"largest": draw(st.booleans()), "sorted": True}


def _same(a: Any, b: Any) -> bool:
    return np.array_equal(widened(a), widened(b), equal_nan=True)


def points_at(x: Any, dim: int) -> Callable[[Any], bool]:
    """Whether the indices of a result point at its values; which of equal ones is free."""

    def right(found: Any) -> bool:
        value, index = found
        at = np.take_along_axis(np.atleast_1d(x), np.atleast_1d(index), dim)
        return index.dtype == np.int64 and _same(at.reshape(value.shape), value)

    return right


def topk(x: Any, k: int, dim: int, largest: bool, sorted: bool) -> Any:
    rows = np.sort(np.atleast_1d(x), dim)
    picked = (np.flip(rows, dim) if largest else rows).take(range(k), dim)
    return picked.reshape(x.shape) if not x.ndim and k else picked, points_at(x, dim)


def ranked(draw: Any) -> Arguments:
    shape = draw(shapes(min_side=1))
    dim = axis(draw, len(shape))
    k = draw(st.integers(1, shape[dim] if shape else 1))
    return (In(shape), k, dim), {"keepdim": draw(st.booleans())}


def kthvalue(x: Any, k: int, dim: int, keepdim: bool) -> Any:
    found = np.sort(np.atleast_1d(x), dim).take([k - 1], dim)
    if not x.ndim:
        return found.reshape(()), points_at(x, 0)

    def right(both: Any) -> bool:
        value, index = both if keepdim else [np.expand_dims(a, dim) for a in both]
        return _same(np.take_along_axis(x, index, dim), value)

    return found if keepdim else found.squeeze(dim), right


# -- searching and counting ------------------------------------------------------------------------


def distinct(draw: Any) -> Arguments:
    shape = draw(shapes(max_dims=3))
    flags = {f: draw(st.booleans()) for f in ("return_inverse", "return_counts")}
    dim = axis(draw, len(shape)) if shape and 0 not in shape and draw(st.booleans()) else None
    return (In(shape, 0, 2, np.round),), {**flags, "dim": dim}


def unique(x: Any, return_inverse: bool, return_counts: bool, dim: Any) -> Any:
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, axis=dim)
    inverse = inverse.reshape(x.shape if dim is None else (-1,))
    return [values, *[inverse] * return_inverse, *[counts] * return_counts]


def unique_consecutive(x: Any, return_inverse: bool, return_counts: bool, dim: Any) -> Any:
    rows = x.reshape(-1) if dim is None else np.moveaxis(x, dim, 0)
    flat = rows.reshape(len(rows), int(np.prod(rows.shape[1:], dtype=int)))
    starts = np.ones(len(rows), bool)
    starts[1:] = (flat[1:] != flat[:-1]).any(1)
    values, group = rows[starts], np.cumsum(starts) - 1
    counts = np.bincount(group, minlength=int(starts.sum())) if len(rows) else group
    values = values if dim is None else np.moveaxis(values, 0, dim)
    inverse = group.reshape(x.shape) if dim is None else group
    return [values, *[inverse] * return_inverse, *[counts] * return_counts]


def looking_up(draw: Any) -> Arguments:
    """Ascending rows, values to find in them, the side that equal ones fall on."""
    lead = draw(shapes(max_dims=2))
    rows = In((*lead, draw(st.integers(0, 4))), made=lambda a: np.sort(np.round(a), -1))
    found = In((*lead, draw(st.integers(0, 4))), made=np.round)
    return (rows, found), {"right": draw(st.booleans()), "out_int32": False}


def searchsorted(rows: Any, found: Any, right: bool, out_int32: bool) -> Any:
    side = "right" if right else "left"
    flat = rows.reshape(int(np.prod(rows.shape[:-1], dtype=int)), rows.shape[-1])
    wanted = found.reshape(len(flat), found.shape[-1])
    places = [np.searchsorted(a, v, side) for a, v in zip(flat, wanted, strict=True)]
    return np.asarray(places, np.int64).reshape(found.shape)


def in_buckets(draw: Any) -> Arguments:
    edges = In((draw(st.integers(0, 4)),), made=lambda a: np.sort(np.round(a)))
    found = In(draw(shapes()), made=np.round)
    return (found, edges), {"right": draw(st.booleans()), "out_int32": True}


def bucketize(x: Any, edges: Any, right: bool, out_int32: bool) -> Any:
    return np.searchsorted(edges, x, "right" if right else "left")


def counting(draw: Any) -> Arguments:
    """Whole numbers, which the drawn type may weigh, and a least number of counts."""
    size = draw(st.integers(1, 6))
    weights = {"weights": In((size,), 0, 3)}
    return (In((size,), 0, 4, dtype=int64),), {**weights, "minlength": draw(st.integers(0, 6))}


def histogram_range(draw: Any) -> Arguments:
    limits = draw(st.sampled_from([{}, {"min": -2, "max": 2}]))
    return (In(draw(shapes(min_side=1))),), {"bins": draw(st.integers(1, 5)), **limits}


def histc(x: Any, bins: int, min: float = 0, max: float = 0) -> Any:
    low, high = (min, max) if min < max else (x.min(), x.max())
    if low == high:
        low, high = low - 1, high + 1
    return np.histogram(x, bins, (low, high))[0]


def by_edges(draw: Any) -> Arguments:
    edges = In((draw(st.integers(2, 5)),), made=lambda a: np.sort(a) + np.arange(a.size))
    x = In(draw(shapes()))
    weight = {"weight": In(x.shape, 0, 2)} if draw(st.booleans()) else {}
    return (x, edges), {**weight, "density": draw(st.booleans())}


def histogram(x: Any, edges: Any, weight: Any = None, density: bool = False) -> Any:
    flat = None if weight is None else weight.reshape(-1)
    return np.histogram(x.reshape(-1), edges, weights=flat, density=density)


def among(draw: Any) -> Arguments:
    x, y = In(draw(shapes()), 0, 4, np.round), In(draw(shapes(max_dims=2)), 0, 3, np.round)
    return (x, y), {"invert": draw(st.booleans()), "assume_unique": False}


ROWS = [
    Row("cumsum", along, scan(np.cumsum)),
    Row("cumsum", in_double, scan(np.cumsum), "dtype"),
    # Second derivatives are left out until they are right at zeros.
    Row("cumprod", along, scan(np.cumprod), second=False),
    Row("cumprod", in_double, scan(np.cumprod), "dtype", second=False),
    Row("cummax", along, running(np.greater_equal), only=REAL),
    Row("cummin", along, running(np.less_equal), only=REAL),
    Row("logcumsumexp", along, scan(log_of_sums), only=REAL),
    Row("diff", differences, lambda x, n, dim: x if n == 0 else _diff(x, n, dim)),
    Row("trapezoid", spaced, trapezoid),
    Row("trapz", spaced, trapezoid),
    Row("cumulative_trapezoid", spaced, cumulative_trapezoid),
    Row("sort", sorting, sort),
    Row("argsort", sorting, lambda x, **options: sort(x, **options)[1]),
    Row("msort", whole, lambda x: np.sort(x, 0) if x.ndim else x),
    Row("topk", picking, topk),
    Row("kthvalue", ranked, kthvalue, only=REAL),
    Row("unique", distinct, unique, gradient=False, on_meta=False),
    Row("unique_consecutive", distinct, unique_consecutive, gradient=False, on_meta=False),
    Row("searchsorted", looking_up, searchsorted, gradient=False),
    Row("bucketize", in_buckets, bucketize, gradient=False),
    Row("bincount", counting, lambda x, weights, minlength: np.bincount(x, weights, minlength),
        only=REAL, gradient=False, on_meta=False),
    Row("histc", histogram_range, histc, gradient=False),
    Row("histogram", by_edges, histogram, gradient=False, on_meta=False),
    Row("isin", among, lambda x, y, invert, assume_unique: np.isin(x, y, invert=invert),
        gradient=False, on_meta=False),
    Row("nonzero", whole, np.argwhere, gradient=False, on_meta=False),
    Row("argwhere", whole, np.argwhere, gradient=False, on_meta=False),
]  # fmt: skip


def _diff(x: Any, n: int, dim: int) -> Any:
    """NumPy's differences; of bools exclusive or, of too few elements none."""
    for _ in range(n):
        x = np.diff(x, axis=dim)
    return x
