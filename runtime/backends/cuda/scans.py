"""Running sums, products, logarithmic sums and extremes along a dimension."""

from __future__ import annotations

import math
from typing import Any

from . import launch
from .launch import Template
from .registry import FLOATS, kernel
from .rows import empty

THREADS = 256
ITEMS = 4
LEAST_ROW_SEGMENT = 4 * THREADS * ITEMS
"""Elements of a row from which on several blocks share it."""
LEAST_COLUMN_SEGMENT = 64
BLOCKS_PER_MULTIPROCESSOR = 4
NUMBERS = (*FLOATS, "int64")
KINDS = ("RunningSum", "RunningProduct", "RunningLargest", "RunningSmallest")
LOG_SUM = "RunningLogSum"
PLACES = ("RunningLargest", "RunningSmallest")
"""Kinds of which the results are places."""

ROWS = Template("scans", "scan_rows", "PPPqqq", T=NUMBERS, RUNNING=KINDS)
COLUMNS = Template("scans", "scan_columns", "PPPqqqqq", T=NUMBERS, RUNNING=KINDS)
TOTALS = Template("scans", "scan_totals", "Pqq", T=NUMBERS, RUNNING=KINDS)
LOG_ROWS = Template("scans", "scan_rows", "PPPqqq", T=FLOATS, RUNNING=(LOG_SUM,))
LOG_COLUMNS = Template("scans", "scan_columns", "PPPqqqqq", T=FLOATS, RUNNING=(LOG_SUM,))
LOG_TOTALS = Template("scans", "scan_totals", "Pqq", T=FLOATS, RUNNING=(LOG_SUM,))


def _segments(n: int, groups: int, least: int) -> tuple[int, int]:
    """The length and the number of the segments of a line, of which there are so many groups that
    keep a block busy."""
    wanted = -(-BLOCKS_PER_MULTIPROCESSOR * launch.driver.multiprocessors() // groups)
    count = max(1, min(wanted, n // least))
    length = -(-n // count)
    return length, -(-n // length)


def scan(kind: str, x: Any, dim: int, out_dtype: Any) -> Any:
    """The results of a kind of scan along `dim`; of an array without dimensions its element, or
    place 0."""
    import cupy

    if not x.ndim:
        return cupy.zeros((), "int64") if kind in PLACES else x.copy()
    x = cupy.ascontiguousarray(x)
    dim %= x.ndim
    n, inner, outer = x.shape[dim], math.prod(x.shape[dim + 1 :]), math.prod(x.shape[:dim])
    out = empty(x.shape, out_dtype)
    if not x.size:
        return out
    name = x.dtype.name
    is_log = kind == LOG_SUM
    rows, columns = (LOG_ROWS, LOG_COLUMNS) if is_log else (ROWS, COLUMNS)
    if inner == 1:
        length, segments = _segments(n, outer, LEAST_ROW_SEGMENT)
        chosen, grid, sizes = rows[name, kind], outer * segments, (n, length, segments)
    else:
        groups = -(-outer * inner // THREADS)
        length, segments = _segments(n, groups, LEAST_COLUMN_SEGMENT)
        grid = -(-outer * inner * segments // THREADS)
        chosen, sizes = columns[name, kind], (n, length, segments, outer, inner)
    place = 0
    if segments > 1:
        lines = outer * inner
        totals = empty((lines * segments, 2), "float64")  # room for a number and its place
        place = totals.data.ptr
        chosen(grid, THREADS, x.data.ptr, 0, place, *sizes)
        before = (LOG_TOTALS if is_log else TOTALS)[name, kind]
        before(-(-lines // THREADS), THREADS, place, lines, segments)
    chosen(grid, THREADS, x.data.ptr, out.data.ptr, place, *sizes)
    return out


@kernel("cumsum_along", NUMBERS)
def cumsum(input: Any, dim: int) -> Any:
    """Sums in the type that its elements are computed in."""
    return scan("RunningSum", input, dim, input.dtype)


@kernel("cumprod_along", NUMBERS)
def cumprod(input: Any, dim: int) -> Any:
    """Products likewise."""
    return scan("RunningProduct", input, dim, input.dtype)


@kernel("real_logcumsumexp")
def logcumsumexp(input: Any, dim: int) -> Any:
    """log(exp(a) + exp(b)) of what has come and what comes."""
    return scan(LOG_SUM, input, dim, input.dtype)


@kernel("cummax_positions", NUMBERS)
def cummax_positions(input: Any, dim: int) -> Any:
    """The last of the largest so far."""
    return scan("RunningLargest", input, dim, "int64")


@kernel("cummin_positions", NUMBERS)
def cummin_positions(input: Any, dim: int) -> Any:
    """The last of the smallest so far."""
    return scan("RunningSmallest", input, dim, "int64")
