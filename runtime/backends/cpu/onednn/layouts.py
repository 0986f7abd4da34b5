"""Where images lie in memory: channels innermost, as oneDNN's convolutions like them best.

Such an array is an ordinary NumPy array (N, C, *sizes) with other strides, which any kernel reads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .. import loops
from .library import Library, library
from .primitives import DST, SRC, Description, Descriptor, Primitive, kept

FLOAT32 = np.dtype(np.float32)
LEAST = 1 << 14
"""Elements from which on a copy into another layout is not NumPy's."""

LEAST_TURNED = 8
"""Rows and columns from which on a copy that exchanges them is a loop of ours: 0.6 to 1.2 ms where
oneDNN takes 1.8 to 2.5, but for 3 channels 1.3 ms instead of 0.4."""


@lru_cache(maxsize=16)
def channel_axes(rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of (N, C, *sizes) as (N, *sizes, C), and the way back."""
    return (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))


def is_channels_last(array: Any) -> bool:
    """Whether the channels of `array` (N, C, *sizes) lie innermost, without gaps."""
    return bool(array.transpose(channel_axes(array.ndim)[0]).flags.c_contiguous)


def empty_channels_last(shape: Any) -> Any:
    """An uninitialized float32 array (N, C, *sizes) with its channels innermost."""
    batch, channels, *sizes = shape
    return np.empty((batch, *sizes, channels), FLOAT32).transpose(channel_axes(len(shape))[1])


def steps(array: Any) -> list[int]:
    """Strides in elements."""
    return [s // array.itemsize for s in array.strides]


def channels_last(array: Any) -> Any:
    """`array` itself if its channels lie innermost, else a copy in which they do."""
    if is_channels_last(array):
        return array
    return copied(array, empty_channels_last(array.shape))


def row_major(array: Any) -> Any:
    """`array` itself if it lies row by row, else a copy that does."""
    if array.flags.c_contiguous:
        return array
    return copied(array, np.empty(array.shape, array.dtype))


def copied(array: Any, out: Any) -> Any:
    """`out`, with the values of `array`, which has its shape and dtype."""
    is_large = array.size >= LEAST and array.dtype == FLOAT32 == out.dtype
    if is_large and _turned(array, out):
        return out
    found = library() if is_large else None
    if found is not None and min(array.strides) > 0:
        identity = ("copy", array.shape, array.strides, out.strides)
        copy = kept(identity, lambda: _copy(found, array, out))
        if copy is not None:
            copy.run(array, out)
            return out
    out[...] = array
    return out


def _turned(array: Any, out: Any) -> bool:
    """Write images that lie row by row (or a part of such) to `out` with channels innermost, or
    back; whether they lie so, and there are loops for it."""
    found = _rows_and_columns(array, out)
    if found is None or min(found[0].shape[2:]) < LEAST_TURNED or not loops.is_available():
        return False
    from ..loops.transposition import transposed_copy

    transposed_copy(*found)
    return True


def _rows_and_columns(array: Any, out: Any) -> tuple[Any, Any] | None:
    """Both as batches of matrices of which one is to be the transposed other, if they are that."""
    if array.ndim < 3:
        return None
    batch, channels = array.shape[:2]
    planes, pixels = (batch, 1, channels, -1), (batch, 1, -1, channels)
    if is_channels_last(out):
        target = out.transpose(channel_axes(out.ndim)[0])
        if array.flags.c_contiguous:
            return array.reshape(planes), target.reshape(pixels)
        if array.ndim == 4 and min(array.strides) > 0 and array.strides[3] in (4, 8):
            return array.transpose(0, 2, 1, 3), target
    elif out.flags.c_contiguous and is_channels_last(array):
        return array.transpose(channel_axes(array.ndim)[0]).reshape(pixels), out.reshape(planes)
    return None


def _copy(found: Library, array: Any, out: Any) -> Primitive:
    layouts = [Descriptor(found, a.shape, steps(a)) for a in (array, out)]
    return reorder(found, *layouts)


def reorder(found: Library, source: Any, target: Any) -> Primitive:
    """The primitive that copies from one layout into another."""
    engine = found.engine
    return Primitive(Description(found, "reorder", source, engine, target, engine), (SRC, DST))
