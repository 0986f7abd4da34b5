"""Copies that exchange rows and columns: of images row by row into ones with channels innermost.

Sixteen vectors are loaded from as many rows, turned over in registers and stored as columns, at
about the rate of the memory.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

from llvmlite import ir

from .language import TYPES, Program, Value
from .machine import Code
from .threads import pool

TILE = 16
"""Rows and columns that are turned over at once; a vector of float32 is 64 bytes."""

RUN = 64
"""Columns of one item of work, with all rows of them."""

CHUNK = 32_768
"""Elements that a thread takes at a time, about."""


def transposed_copy(source: Any, target: Any) -> None:
    """target[a, b, s, r] = source[a, b, r, s] for float32 arrays of any strides whose last one is
    an element's; the source's may be that of two elements."""
    outer, inner, rows, columns = source.shape
    items = -(-columns // RUN)
    words = [
        id(source), id(target), inner, rows, columns, items,
        *(s // 4 for s in source.strides[:3]), *(s // 4 for s in target.strides[:3]),
    ]  # fmt: skip
    chunk = max(1, CHUNK // (rows * min(columns, RUN)))
    code = _code(source.strides[3] // 4 if columns > 1 else 1)
    pool.run(code, struct.pack(f"={len(words)}q", *words), outer * inner * items, chunk)


@cache
def _code(step: int) -> Code:
    """The program for columns that lie `step` elements apart."""
    p = Program(f"transposed_copy_{step}")
    source, target = p.array(0), p.array(1)
    inner, rows, columns, items, *strides = (p.word(k) for k in range(2, 12))
    with p.loop(p.begin, p.end) as item:
        matrix, first = item // items, item % items * RUN
        a, b = matrix // inner, matrix % inner
        start = source + (a * strides[0] + b * strides[1]) * 4
        out = target + (a * strides[3] + b * strides[4]) * 4
        last = p.where(first + RUN < columns, first + RUN, columns)
        with p.loop(p.constant(0), rows, TILE) as r, p.loop(first, last, TILE) as s:
            tile = _Tile(
                p, start + (r * strides[2] + s * step) * 4, strides[2], step,
                out + (s * strides[5] + r) * 4, strides[5],
            )  # fmt: skip
            is_whole = ~(rows < r + TILE) & ~(columns < s + TILE)
            with p.builder.if_else(is_whole.ir) as (whole, part):
                with whole:
                    tile.copy()
                with part:
                    tile.copy_part(rows - r, columns - s)
    return Code(p.name, p.text())


class _Tile:
    """Sixteen rows from address `source` on, `from_row` elements apart, to be written as columns
    of the rows from `target` on."""

    def __init__(
        self, p: Program, source: Value, from_row: Value, step: int, target: Value, to_row: Value
    ) -> None:
        self.p, self.source, self.from_row, self.step = p, source, from_row, step
        self.target, self.to_row = target, to_row

    def copy(self) -> None:
        """All of it."""
        rows = [self._row(self.p.constant(k), None) for k in range(TILE)]
        for k, column in enumerate(self._turned(rows)):
            self.p.store(column, self.target, self.to_row * k)

    def copy_part(self, height: Value, width: Value) -> None:
        """Of it `height` rows and `width` columns, neither of which need be below 16. For rows
        that do not exist the last one is read again."""
        p = self.p
        numbers = [p.constant(k) for k in range(TILE)]
        rows = [self._row(p.where(k < height, k, height - 1), width) for k in numbers]
        mask = p.first_lanes(height)
        for k, column in zip(numbers, self._turned(rows), strict=True):
            with p.when(k < width):
                p.store(column, self.target, self.to_row * k, mask)

    def _row(self, k: Value, width: Value | None) -> Value:
        """The first 16 columns, or `width` of them, of row `k`."""
        place, step = k * self.from_row, self.step
        parts = []
        # The second vector of every other column begins one early, so as not to read too far.
        for start in (0, TILE - 1)[:step]:
            mask = None if width is None else self.p.first_lanes(width * step - (step - 1) - start)
            parts.append(self.p.load(self.source, place + start, "float32", TILE, mask))
        if step == 1:
            return parts[0]
        return self._picked(*parts, [*range(0, TILE, 2), *range(TILE + 1, 2 * TILE, 2)])

    def _turned(self, rows: list[Value]) -> list[Value]:
        """The columns of a square of rows: halves are exchanged across, then halves of these."""
        distance = TILE // 2
        while distance:
            lanes = [k for k in range(TILE) if not k & distance]
            low = [k if not k & distance else k - distance + TILE for k in range(TILE)]
            high = [k + distance for k in low]
            for k in lanes:
                a, b = rows[k], rows[k + distance]
                rows[k], rows[k + distance] = self._picked(a, b, low), self._picked(a, b, high)
            distance //= 2
        return rows

    def _picked(self, a: Value, b: Value, lanes: list[int]) -> Value:
        """The vector of those lanes, of b from 16 on."""
        chosen = ir.Constant(ir.VectorType(TYPES["int32"], TILE), lanes)
        return Value(self.p, self.p.builder.shuffle_vector(a.ir, b.ir, chosen))
