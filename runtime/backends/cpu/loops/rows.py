"""Work row by row: softmax, normalization and what else takes a row several times.

A row stays in the cache between its passes, so that memory is read once. `RowLoop` is made of a
function that writes the program of one row; what lies in memory row by row comes as `Row`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from .language import LEAST_STREAMED, SIZES, Position, Program, Value
from .machine import Code
from .maths import Maths
from .threads import pool

CHUNK = 16_384
"""Elements of the rows that a thread takes at a time."""

_REALS = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}


class Row:
    """The row of one array that the program works on, `columns` elements from address `start`."""

    def __init__(self, program: Program, start: Value, kind: str) -> None:
        self.program, self.start, self.kind = program, start, kind

    def __getitem__(self, at: Position) -> Value:
        return at.load(self.start, self.kind)

    def __setitem__(self, at: Position, value: Value) -> None:
        at.store(self.start, value)

    def parts(self, columns: Value, count: int) -> list[Row]:
        """The row cut into `count` rows of `columns` elements."""
        size = SIZES[self.kind]
        return [
            Row(self.program, self.start + columns * (k * size), self.kind) for k in range(count)
        ]

    def element(self, index: Value) -> Value:
        """The element at `index`."""
        return self.program.load(self.start, index, self.kind)

    def set_element(self, index: Value, value: Value) -> None:
        """Write the element at `index`."""
        self.program.store(value, self.start, index)


class Passes:
    """What a program does over the columns of a row: sums, extremes, maps."""

    def __init__(self, program: Program, columns: Value, streams: bool = False) -> None:
        self.program, self.columns, self.streams = program, columns, streams
        self.zero = program.constant(0)
        self.m = Maths(program)
        self.count = columns.to(program.real)

    def each(self, body: Callable[[Position], None]) -> None:
        """Run `body` over the row."""
        self.program.across(self.zero, self.columns, body)

    def map(self, out: Row, value: Callable[[Position], Value], is_last: bool = False) -> None:
        """Write the values to the row `out`; `is_last`: which the program doesn't touch else."""
        streams = self.streams and is_last

        def body(at: Position) -> None:
            at.store(out.start, value(at), streams)

        self.program.across_aligned(self.zero, self.columns, body, out.start, SIZES[out.kind])

    def reduce(
        self,
        value: Callable[[Position], Value],
        first: float,
        operation: Callable[[Value, Value], Value],
        unroll: int = 4,
    ) -> Value:
        """All values over the row in one number; `first` changes nothing. Lane by lane, in `unroll`
        parts, and those in pairs: always in the same order."""
        program = self.program
        start = program.spread(program.constant(first, program.real), program.lanes)
        parts = [program.variable(start) for _ in range(unroll)]
        turn = count()

        def body(at: Position) -> None:
            part = parts[next(turn) % unroll]
            part.value = operation(part.value, at.filled(value(at), first))

        program.across(self.zero, self.columns, body, unroll)
        values = [part.value for part in parts]
        while len(values) > 1:
            values = [operation(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
        return program.combine(values[0], operation)

    def sum(self, value: Callable[[Position], Value]) -> Value:
        """The sum of the values over the row."""
        return self.reduce(value, 0.0, self.m.add)

    def mean(self, value: Callable[[Position], Value]) -> Value:
        """Their mean."""
        return self.sum(value) / self.count

    def max(self, value: Callable[[Position], Value]) -> Value:
        """The largest one; NaN if one is."""
        return self.reduce(value, -np.inf, self.m.maximum)


Writer = Callable[..., None]
"""`writer(passes, index, *rows, *numbers)`: the program of the row of number `index`."""


class RowLoop:
    """A program for rows.

    `kinds` says of each array what it holds, "real" or a type, and before that how: "shared" is an
    array of one row, the same for all; "one" has one number a row; "part" one row for each chunk of
    rows, to add up in; "two", "three" and "four" have rows of so many times the columns.
    """

    def __init__(self, writer: Writer, *kinds: str, numbers: int = 0) -> None:
        self.writer, self.kinds, self.numbers = writer, kinds, numbers
        self._pack = struct.Struct(f"={len(kinds) + 2}q{numbers}d").pack
        self._codes: dict[tuple[str, bool], Code] = {}

    def __call__(self, arrays: list[Any], rows: int, columns: int, *numbers: float) -> None:
        """Run on contiguous arrays, of which the first has the type to compute in."""
        real = _REALS[arrays[0].dtype]
        streams = arrays[0].nbytes >= LEAST_STREAMED
        code = self._codes.get((real, streams))
        if code is None:
            code = self._codes[real, streams] = self._compiled(real, streams)
        chunk = max(1, CHUNK // columns)
        pool.run(code, self._pack(*map(id, arrays), columns, chunk, *numbers), rows, chunk)

    def _compiled(self, real: str, streams: bool) -> Code:
        program = Program(self.writer.__name__.strip("_"), real)
        n = len(self.kinds)
        places = [program.array(k) for k in range(n)]
        columns, chunk = program.word(n), program.word(n + 1)
        numbers = [program.number(n + 2 + k) for k in range(self.numbers)]
        passes = Passes(program, columns, streams)
        lengths: dict[str, Value | int] = {"": columns, "one": 1, "shared": 0, "part": columns}
        lengths.update({"two": columns * 2, "three": columns * 3, "four": columns * 4})
        with program.loop(program.begin, program.end) as row:
            rows = []
            for place, kind in zip(places, self.kinds, strict=True):
                where, _, name = kind.rpartition(" ")
                name = real if name == "real" else name
                number = program.begin // chunk if where == "part" else row
                length = lengths[where]
                rows.append(Row(program, place + number * length * SIZES[name], name))
            self.writer(passes, row, *rows, *numbers)
        return Code(program.name, program.text())
