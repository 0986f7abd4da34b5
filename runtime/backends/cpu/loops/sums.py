"""Sums, and squares about the mean, over the last dimensions or over everything: of pieces of rows,
then of those.

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


_REALS = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}


@cache
def _code(real: str, kind: str) -> Code:
    program = Program("sums", real)
    x, sums, squares = (program.array(k) for k in range(3))
    columns, pieces = program.word(3), program.word(4)
    with program.loop(program.begin, program.end) as item:
        first = item % pieces * PIECE
        rest = columns - first
        length = program.where(rest < PIECE, rest, program.constant(PIECE))
        row = Row(program, x + (item // pieces * columns + first) * SIZES[real], real)
        passes = Passes(program, length)
        square = passes.m.square
        if kind == "squares":
            total = passes.sum(lambda at: square(row[at]))
        else:
            total = passes.sum(lambda at: row[at])
        program.store(total.to("float64"), sums, item)
        if kind == "spread":
            mean = total / passes.count
            spread = passes.sum(lambda at: square(row[at] - mean))
            program.store(spread.to("float64"), squares, item)
    return Code(program.name, program.text())


def _of_pieces(x: Any, columns: int, kind: str) -> tuple[Any, Any]:
    """For the pieces of rows of `columns` elements of the contiguous array x, as float64 (rows,
    pieces): their sums, or those of their squares, or, of the kind "spread", their sums and their
    squares about the mean of each piece."""
    pieces = -(-columns // PIECE)
    rows = x.size // columns
    sums = np.empty((rows, pieces))
    squares = np.empty((rows, pieces)) if kind == "spread" else sums
    words = struct.pack("=5q", id(x), id(sums), id(squares), columns, pieces)
    code = _code(_REALS[x.dtype], kind)
    pool.run(code, words, rows * pieces, max(1, CHUNK // min(columns, PIECE)))
    return sums, squares


def sum_rows(x: Any, columns: int, kind: str = "sums") -> Any:
    """The sums (rows,) of rows of `columns` elements of the contiguous array x, as float64; with
    `kind` "squares" those of their squares."""
    sums, _ = _of_pieces(x, columns, kind)
    return sums.reshape(-1) if columns <= PIECE else np.add.reduce(sums, 1)


def squares_about_means(x: Any, columns: int) -> Any:
    """sum((x - mean)**2) (rows,) for rows of `columns` elements of the contiguous array x, as
    float64: those of each piece about its own mean, and those of these means.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances" (1979), equation 2.1.
    """
    sums, squares = _of_pieces(x, columns, "spread")
    if columns <= PIECE:
        return squares.reshape(-1)
    counts = np.full(sums.shape[1], float(PIECE))
    counts[-1] = columns - PIECE * (len(counts) - 1)
    apart = sums / counts - sums.sum(1, keepdims=True) / columns
    return squares.sum(1) + (counts * apart * apart).sum(1)
