"""Adding to arrays at places that may repeat: `add.at`, and much faster for large real arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .cpu import loops
from .cuda import launch

LARGE = 1_024
"""Elements from which on a loop pays."""
REALS = (np.dtype(np.float32), np.dtype(np.float64))


def add_at(xp: Any, out: Any, index: Any, values: Any) -> None:
    """out[index] += values, repeated places repeatedly; `values` broadcast to the indexed shape.

    Raises: IndexError for places that are not there.
    """
    if _is_on_gpu(xp) and launch.driver.is_available() and _launched(xp, out, index, values):
        return
    if not (
        xp is np
        and values.dtype in REALS
        and out.dtype == values.dtype
        and values.size >= LARGE
        and out.flags.c_contiguous
        and loops.is_available()
    ):
        xp.add.at(out, index, values)
        return
    from .cpu.loops import scattering

    arrays = index if isinstance(index, tuple) else (index,)
    if len(arrays) > out.ndim or not all(_is_integers(a) for a in arrays):
        xp.add.at(out, index, values)
        return
    places = _rows(arrays, out.shape)
    columns = math.prod(out.shape[len(arrays) :])
    values = np.broadcast_to(values, (*places.shape, *out.shape[len(arrays) :]))
    rows = np.ascontiguousarray(values).reshape(-1, columns)
    scattering.add_rows(out.reshape(-1, columns), places.reshape(-1), rows)


def _is_on_gpu(xp: Any) -> bool:
    return getattr(xp, "__name__", "") == "cupy"


def _launched(xp: Any, out: Any, index: Any, values: Any) -> bool:
    """Add on the GPU, if the index is arrays of the first dimensions. Places that are not there get
    nothing: to look for them would make the program wait for the GPU."""
    from ..settings import are_deterministic_algorithms_enabled
    from .cuda import segments

    arrays = index if isinstance(index, tuple) else (index,)
    is_fit = (
        out.dtype == values.dtype
        and (out.dtype.name in segments.NUMBERS or out.dtype.kind == "c")
        and out.flags.c_contiguous
        and len(arrays) <= out.ndim
        and all(getattr(getattr(a, "dtype", None), "kind", "") == "i" for a in arrays)
    )
    if not is_fit:
        return False
    places = xp.zeros((), xp.int64)
    for array, size in zip(arrays, out.shape, strict=False):
        # -1 stays what is not there, also in the dimensions after it.
        inside = xp.where(array < 0, array + size, array)
        is_there = (inside >= 0) & (inside < size) & (places >= 0)
        places = xp.where(is_there, places * size + inside, -1)
    rest = out.shape[len(arrays) :]
    rows = xp.broadcast_to(values, (*places.shape, *rest)).reshape(-1, math.prod(rest))
    table = out.reshape(-1, math.prod(rest))
    if out.dtype.kind == "c":
        table, rows = table.view(out.real.dtype), xp.ascontiguousarray(rows).view(out.real.dtype)
    segments.add_rows(
        table,
        places.reshape(-1).astype(xp.int64, copy=False),
        rows,
        is_ordered=are_deterministic_algorithms_enabled(),
    )
    return True


def _is_integers(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype.kind == "i"


def _rows(arrays: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """The numbers of the rows that index arrays of the first dimensions name."""
    places: Any = np.zeros((), np.int64)
    for array, size in zip(arrays, shape, strict=False):
        if array.size and not -size <= array.min() <= array.max() < size:
            raise IndexError(
                f"Expected indices from {-size} to {size - 1}. Got {array.min()} to {array.max()}."
            )
        places = places * size + np.where(array < 0, array + size, array)
    return np.ascontiguousarray(places, np.int64)
