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
    if _is_on_gpu(xp) and launch.driver.is_available():
        from .cuda import gathers

        if gathers.add_rows_at(out, index, values):
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
