"""Reductions of segments: stretches of one dimension, one after the other."""

from __future__ import annotations

import math
from typing import Any

from ..core import dtypes
from ..core.ranges import arange
from ..errors import DTypeError, ShapeError
from .declare import Spec
from .shapes import normalized_dim

__all__ = ["segment_reduce"]

METHODS = {
    "sum": "sum", "mean": "sum", "prod": "prod", "max": "amax", "amax": "amax", "min": "amin",
    "amin": "amin",
}  # fmt: skip
"""The reduction of a padded segment, by the name of the segment reduction."""

NEUTRAL = {"sum": 0.0, "prod": 1.0, "amax": -math.inf, "amin": math.inf}


def segment_reduce(
    data: Spec,
    reduce: str,
    *,
    lengths: Spec | None = None,
    indices: Spec | None = None,
    offsets: Spec | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: Any = None,
) -> Spec:
    """The sum, mean, prod, max or min of each segment of dimension `axis`:
    (*rows, n, ...) -> (*rows, segments, ...).

    The segments follow each other with `lengths` (*rows, segments), or begin and end where
    `offsets` (*rows, segments + 1) say; `rows` are the dimensions before `axis`. `initial` takes
    part in each segment (a mean divides by the number of elements alone); without it an empty one
    gives the reduction's neutral element, a mean NaN. `unsafe` skips the check that lengths fill
    the dimension.
    Raises: RuntimeError for another reduction, or lengths that are negative or do not fit.
    """
    if reduce not in METHODS:
        raise RuntimeError(
            f"segment_reduce: expected sum, mean, prod, max or min. Got reduce {reduce!r}."
        )
    if not data.dtype.is_floating_point:
        raise DTypeError(f"segment_reduce: expected floating-point numbers. Got {data.dtype}.")
    d = normalized_dim(axis, len(data.shape), "segment_reduce")
    starts, counts = _segments(data, d, lengths, indices, offsets, unsafe)
    method = METHODS[reduce]
    out = getattr(_padded(data, d, starts, counts, NEUTRAL[method]), method)(d + 1)
    sizes = counts.reshape(*counts.shape, *[1] * (data.ndim - d - 1))
    if reduce == "mean":
        total = out if initial is None else out + initial
        empty = math.nan if initial is None else initial
        return (total / sizes.clamp(min=1).to(data.dtype)).masked_fill(sizes == 0, empty)
    if initial is None:
        return out
    if method in ("sum", "prod"):
        return out + initial if method == "sum" else out * initial
    beaten = out < initial if method == "amax" else out > initial
    return out.masked_fill(beaten, initial)


def _segments(
    data: Any, d: int, lengths: Any, indices: Any, offsets: Any, unsafe: bool
) -> tuple[Any, Any]:
    """The first place and the length of each segment, int64."""
    if indices is not None:
        raise RuntimeError("segment_reduce: expected lengths or offsets. Got indices.")
    given = offsets if lengths is None else lengths
    if given is None:
        raise RuntimeError("segment_reduce: expected lengths or offsets. Got neither.")
    if given.dtype not in (dtypes.int64, dtypes.int32):
        raise DTypeError(f"segment_reduce: expected int64 or int32 numbers. Got {given.dtype}.")
    if given.ndim != d + 1 or tuple(given.shape[:d]) != tuple(data.shape[:d]):
        raise ShapeError(
            f"segment_reduce: expected lengths or offsets with {d + 1} dimensions, the first as "
            f"those of data {tuple(data.shape)}. Got shape {tuple(given.shape)}."
        )
    given = given.to(dtypes.int64)
    if lengths is None:
        counts = given.diff(dim=-1)
        return given.narrow(-1, 0, counts.shape[-1]), counts
    if not (unsafe or given.is_meta):
        if bool((given < 0).any()):
            raise RuntimeError("segment_reduce: expected lengths of at least 0. Got negative ones.")
        if bool((given.sum(-1) != data.shape[d]).any()):
            raise RuntimeError(
                f"segment_reduce: expected lengths that add up to {data.shape[d]}, the size of "
                f"dimension {d}. Got {given.sum(-1).tolist()}."
            )
    return given.cumsum(-1) - given, given


def _padded(data: Any, d: int, starts: Any, counts: Any, neutral: float) -> Any:
    """Each segment as a row of dimension d + 1, filled up with `neutral` at its end."""
    if counts.is_meta:
        longest = 1  # which no shape of a reduction depends on
    else:
        longest = max(int(counts.max()) if counts.numel() else 0, 1)
    steps = arange(longest, device=data.device)
    places = starts.unsqueeze(-1) + steps
    missing = steps >= counts.unsqueeze(-1)
    rest = [1] * (data.ndim - d - 1)
    wide = (*data.shape[:d], counts.shape[-1] * longest, *data.shape[d + 1 :])
    rows = (*data.shape[:d], counts.shape[-1], longest, *data.shape[d + 1 :])
    if not data.shape[d]:
        return data.new_full(rows, neutral)
    places = places.masked_fill(missing, 0).reshape(*wide[: d + 1], *rest).expand(wide)
    found = data.gather(d, places).reshape(rows)
    return found.masked_fill(missing.reshape(*missing.shape, *rest), neutral)
