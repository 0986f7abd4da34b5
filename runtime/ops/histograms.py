"""Histograms: counts of elements in intervals, of one variable or several."""

from __future__ import annotations

import builtins
import math
from typing import Any

from ..core.dispatch import guarded
from ..core.ranges import linspace
from ..core.tensor import wrap
from ..errors import DTypeError, ShapeError
from .declare import Spec
from .return_types import return_type
from .slicewise import slicewise
from .steps import step

__all__ = ["histc", "histogram", "histogramdd"]


def _range_of(
    name: str, input: Any, low: float, high: float, margin: float = 1
) -> tuple[float, float]:
    """`low` and `high`, or the data's own bounds where they are equal, apart by 2 * margin at
    least."""
    if low > high:
        raise RuntimeError(f"{name}: expected min not above max. Got {low} and {high}.")
    if low == high and input.numel():
        low, high = float(input.min()), float(input.max())
    if low == high:
        low, high = (low - margin, high + margin) if input.numel() else (low, high + 1)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"{name}: expected a finite range. Got {low} to {high}.")
    return low, high


@step("input")
@slicewise
@guarded
def histc(input: Spec, bins: int = 100, min: float = 0, max: float = 0) -> Spec:
    """Counts of elements in `bins` equal intervals from min to max (the data's own if equal), in
    input's dtype; elements outside are ignored."""
    if bins <= 0:
        raise RuntimeError(f"histc: expected at least one bin. Got {bins}.")
    if input.is_meta:
        return input.new_empty((bins,))
    low, high = _range_of("histc", input, min, max)
    xp = input._key.backend.xp
    values = input.detach()._array.reshape(-1)
    values = values[(values >= low) & (values <= high)]
    place = ((values.astype(xp.float64) - low) / (high - low) * bins).astype(xp.int64)
    counts = xp.bincount(xp.minimum(place, bins - 1), None, bins)
    return wrap(xp.asarray(counts, input.dtype.numpy), input._key)


Histogram = return_type("histogram", "hist", "bin_edges")
HistogramOfSeveral = return_type("histogramdd", "hist", "bin_edges")


@slicewise
def histogram(
    input: Spec, bins: Any = 100, *, range: Any = None, weight: Any = None, density: bool = False
) -> Any:
    """Counts (or sums of `weight`, or densities) in intervals: `bins` of them, or between the
    edges that the tensor `bins` holds; a named tuple of hist and bin_edges.

    Raises: as `histogramdd`; TypeError for other bins.
    """
    if not (isinstance(bins, int) or hasattr(bins, "shape")):
        raise TypeError(
            f"histogram: expected bins as an int or a tensor of edges. Got {type(bins).__name__}."
        )
    if weight is not None and tuple(weight.shape) != tuple(input.shape):
        raise ShapeError(
            f"histogram: expected weight of input's shape {tuple(input.shape)}. Got "
            f"{tuple(weight.shape)}."
        )
    flat = None if weight is None else weight.reshape(-1)
    points = input.reshape(-1, 1)
    hist, edges = histogramdd(points, [bins], range=range, weight=flat, density=density)
    return Histogram(hist, edges[0])


@slicewise
def histogramdd(
    input: Spec, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False
) -> Any:
    """Counts of points (..., d) in the cells of a grid: hist with d dimensions and the tuple
    bin_edges of d vectors, a named tuple.

    `bins`: how many intervals for all dimensions or for each, or tensors of ascending edges.
    `range`: from and to of each dimension, in a row; the data's own without. `weight` (...) counts
    a point more than once; with `density` the integral over all cells is 1.
    Raises: DTypeError for other than floating-point numbers or mixed dtypes, ShapeError for sizes
    that do not fit, RuntimeError for a range that is none.
    """
    if not input.dtype.is_floating_point:
        raise DTypeError(f"histogramdd: expected floating-point numbers. Got {input.dtype}.")
    if len(input.shape) < 2:
        raise ShapeError(
            f"histogramdd: expected points in rows, at least 2 dimensions. Got shape "
            f"{tuple(input.shape)}."
        )
    count = input.shape[-1]
    if weight is not None:
        _check_weight(input, weight)
    points = input.detach().reshape(-1, count)
    edges = _edges(points, bins, range)
    hist = _counted_cells(points, edges, weight)
    if density:
        hist = hist / hist.sum()
        for k, e in enumerate(edges):
            hist = hist / e.diff().reshape([-1 if j == k else 1 for j in builtins.range(count)])
    return HistogramOfSeveral(hist, tuple(edges))


@guarded
def _counted_cells(points: Any, edges: list[Any], weight: Any) -> Any:
    """The sum of weights, or the number, of the points (n, d) in each cell. A cell has its lower
    edges, the last of each dimension its upper one too."""
    shape = [e.shape[0] - 1 for e in edges]
    if points.is_meta:
        return points.new_empty(shape)
    xp = points._key.backend.xp
    place: Any = 0
    inside: Any = True
    for values, line in zip(points._array.T, (e._array for e in edges), strict=True):
        inside = inside & (values >= line[0]) & (values <= line[-1])
        cell = xp.searchsorted(line, values, "right") - 1
        place = place * (len(line) - 1) + xp.clip(cell, 0, max(len(line) - 2, 0))
    given = None if weight is None else weight.detach()._array.reshape(-1)[inside]
    counts = xp.bincount(place[inside], given, math.prod(shape))
    return wrap(xp.asarray(counts.reshape(shape), points.dtype.numpy), points._key)


def _check_weight(input: Any, weight: Any) -> None:
    if weight.dtype is not input.dtype:
        raise DTypeError(
            f"histogramdd: expected weight of input's dtype {input.dtype}. Got {weight.dtype}."
        )
    if tuple(weight.shape) != tuple(input.shape[:-1]):
        raise ShapeError(
            f"histogramdd: expected a weight for each point, shape {tuple(input.shape[:-1])}. Got "
            f"{tuple(weight.shape)}."
        )


def _edges(points: Any, bins: Any, limits: Any) -> list[Any]:
    """The edges along each dimension of `points` (n, d)."""
    count = points.shape[1]
    each = [bins] * count if isinstance(bins, int) else list(bins)
    if len(each) != count:
        raise ShapeError(f"histogramdd: expected bins for {count} dimensions. Got {len(each)}.")
    if limits is not None and len(limits) != 2 * count:
        raise ShapeError(
            f"histogramdd: expected a range of {2 * count} numbers, two for each dimension. Got "
            f"{len(limits)}."
        )
    found = []
    for k, given in enumerate(each):
        if hasattr(given, "shape"):
            found.append(_checked_edges(points, given))
            continue
        if given <= 0:
            raise RuntimeError(f"histogramdd: expected at least one bin. Got {given}.")
        low, high = (0.0, 0.0) if limits is None else limits[2 * k : 2 * k + 2]
        if not points.is_meta:
            low, high = _range_of("histogramdd", points[:, k], low, high, 0.5)
        found.append(linspace(low, high, given + 1, dtype=points.dtype, device=points.device))
    return found


def _checked_edges(points: Any, edges: Any) -> Any:
    if edges.dtype is not points.dtype or len(edges.shape) != 1 or not edges.numel():
        raise DTypeError(
            f"histogramdd: expected vectors of edges of {points.dtype}. Got {edges.dtype}, shape "
            f"{tuple(edges.shape)}."
        )
    return edges
