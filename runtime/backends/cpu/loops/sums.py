"""Sums over the last dimensions, or over everything: pieces of rows, then the sums of those.

A piece is added up lane by lane in the array's own type, pieces in float64: more exact than one sum
of all, and the same for any number of threads.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np

from .language import SIZES, Program
from .machine import Code
from .rows import Passes, Row
from .threads import pool

PIECE = 2_048
"""Elements of a piece: 32 in a row of additions, which keeps rounding as small as NumPy's pairs."""
CHUNK = 16_384
"""Elements that a thread takes at a time."""


@cache
def _code(real: str) -> Code:
    program = Program(f"sums_{real}", real)
    x, sums = program.array(0), program.array(1)
    columns, pieces = program.word(2), program.word(3)
    with program.loop(program.begin, program.end) as item:
        first = item % pieces * PIECE
        rest = columns - first
        length = program.where(rest < PIECE, rest, program.constant(PIECE))
        place = x + (item // pieces * columns + first) * SIZES[real]
        row = Row(program, place, real)
        total = Passes(program, length).sum(lambda at: row[at])
        program.store(total.to("float64"), sums, item)
    return Code(program.name, program.text())


def sum_rows(x: Any, columns: int) -> Any:
    """The sums (rows,) of rows of `columns` elements of the contiguous array x, as float64."""
    pieces = -(-columns // PIECE)
    rows = x.size // columns
    sums = np.empty((rows, pieces))
    words = struct.pack("=4q", id(x), id(sums), columns, pieces)
    pool.run(_code(x.dtype.name), words, rows * pieces, max(1, CHUNK // min(columns, PIECE)))
    return sums.reshape(rows) if pieces == 1 else sums.sum(1)
