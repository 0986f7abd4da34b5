"""The norm of many arrays together, summed always in the same order."""

from __future__ import annotations

import math
from typing import Any

from .launch import Template
from .registry import FLOATS
from .rows import empty
from .tables import TABLE, THREADS, chunk_length, tables

KINDS = {
    2.0: ("Squares", "Sum"),
    1.0: ("Sizes<Sum>", "Sum"),
    math.inf: ("Sizes<Maximum>", "Maximum"),
    -math.inf: ("Sizes<Minimum>", "Minimum"),
}
"""The orders that there are kernels for, with what they add up and how."""

CHUNKS = Template(
    "norms", "norm_of_chunks", TABLE + "Pqqq", T=FLOATS, NORM=tuple(n for n, _ in KINDS.values())
)
PARTS = Template("norms", "join_parts", "PPqq", T=FLOATS, JOIN=("Sum", "Maximum", "Minimum"))


def total_norm(arrays: list[Any], order: float) -> Any:
    """The norm of an order in KINDS of all elements of contiguous arrays of one dtype, in that
    dtype: a 0-d array."""
    norm, join = KINDS[order]
    dtype = arrays[0].dtype
    groups = [[array] for array in arrays]
    length = chunk_length(groups)
    parts = sum([-(-array.size // length) for array in arrays])
    partial = empty((parts,), "float64")
    chunks, first = CHUNKS[dtype.name, norm], 0
    for table in tables(groups, length):
        place = partial.data.ptr
        chunks(table.chunks, THREADS, table.words, place, first, table.records, length)
        first += table.chunks
    out = empty((), dtype)
    PARTS[dtype.name, join](1, 1024, partial.data.ptr, out.data.ptr, parts, int(order == 2.0))
    return out
