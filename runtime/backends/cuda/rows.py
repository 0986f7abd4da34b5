"""How rows are spread over threads and blocks, for the kernels that include `rows.cuh`."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import memory
from .registry import FLOATS

VECTOR_BYTES = 16
WARP = 32
BLOCK = 128
"""Threads of a block that has several rows: 4 warps, of which 16 blocks fill a multiprocessor."""
MOST_ROW_THREADS = 512
SCALARS = 4
"""Elements that are one piece of a thread's work where columns do not fill vectors."""

ROW_PARAMETERS: dict[str, Any] = {"T": FLOATS, "IS_VECTOR": (True, False), "PIECES": (0, 1, 4)}
"""The template parameters of kernels on rows."""


class Geometry(NamedTuple):
    """The launch of a kernel on rows."""

    is_vector: bool
    pieces: int
    threads_per_row: int
    blocks: int
    threads: int


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array whose memory no kernel has written yet."""
    sort = np.dtype(dtype)
    return memory.current.empty(shape, sort, math.prod(shape) * sort.itemsize)


def wide(array: Any) -> Any:
    """The dtype that kernels compute in on elements of the array."""
    return "float32" if array.itemsize == 2 else array.dtype


def aligned(array: Any) -> Any:
    """`array`, or a copy that lies row by row and begins at a multiple of 16 bytes."""
    if not array.flags.c_contiguous or array.data.ptr % VECTOR_BYTES:
        return array.copy()
    return array


def geometry(rows: int, columns: int, itemsize: int) -> Geometry:
    """How rows are kept in registers; with 0 pieces, they are read again in each pass."""
    lanes = VECTOR_BYTES // itemsize
    is_vector = columns % lanes == 0
    parts = columns // lanes if is_vector else -(-columns // SCALARS)
    pieces = 1 if parts <= WARP else 4
    threads = -(-parts // pieces)
    if threads > MOST_ROW_THREADS:
        return Geometry(is_vector, 0, MOST_ROW_THREADS, rows, MOST_ROW_THREADS)
    if threads <= WARP:
        per_row = 1 << (threads - 1).bit_length()
        return Geometry(is_vector, pieces, per_row, -(-rows * per_row // BLOCK), BLOCK)
    per_row = -(-threads // WARP) * WARP
    return Geometry(is_vector, pieces, per_row, rows, per_row)


class Rows(NamedTuple):
    """Arrays of one shape and dtype, contiguous and aligned, as rows of some last dimensions."""

    arrays: list[Any]
    rows: int
    columns: int
    how: Geometry


def as_rows(arrays: list[Any], dims: tuple[int, ...]) -> Rows | None:
    """None if `dims` are not the last ones, or there are no elements."""
    first = arrays[0]
    last = range(first.ndim - len(dims), first.ndim)
    if not dims or not first.size or sorted([d % first.ndim for d in dims]) != list(last):
        return None
    columns = math.prod(first.shape[last.start :])
    rows = first.size // columns
    how = geometry(rows, columns, first.itemsize)
    return Rows([aligned(a) for a in arrays], rows, columns, how)
