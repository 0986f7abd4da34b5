"""The largest or smallest elements of rows, and those of a rank, without sorting all."""

from __future__ import annotations

from typing import Any

from . import launch
from .launch import Template
from .registry import FLOATS, kernel
from .rows import empty

THREADS = 512
MOST_SELECTED = 1024
LONG_ROW = 1 << 18
"""Elements of a row that many blocks sort together sooner than one goes through it."""
NUMBERS = (*FLOATS, "int32", "int64")

SELECT = Template("selection", "select_rows", "PPqqqq", T=NUMBERS)


def _selected(input: Any, dim: int, k: int, is_largest: bool, is_rank: bool) -> Any:
    import cupy

    if not input.ndim:
        return None
    rows = cupy.ascontiguousarray(cupy.moveaxis(input, dim, -1))
    n = rows.shape[-1]
    count = rows.size // max(n, 1)
    is_narrow = n > LONG_ROW and 4 * count < launch.driver.multiprocessors()
    if not k or not rows.size or is_narrow or (k > MOST_SELECTED and not is_rank):
        return None
    out = empty((*rows.shape[:-1], 1 if is_rank else k), "int64")
    chosen = SELECT[rows.dtype.name]
    options = n, k, int(is_largest), int(is_rank)
    chosen(count, THREADS, rows.data.ptr, out.data.ptr, *options)
    return cupy.moveaxis(out, -1, dim)


@kernel("top_positions", NUMBERS)
def top_positions(input: Any, dim: int, k: int, largest: bool) -> Any:
    """Up to 1024 of each row."""
    return _selected(input, dim, k, largest, False)


@kernel("rank_positions", NUMBERS)
def rank_positions(input: Any, dim: int, rank: int) -> Any:
    """That of one rank."""
    return _selected(input, dim, rank + 1, False, True)
