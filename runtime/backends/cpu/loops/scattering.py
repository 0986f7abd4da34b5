"""Rows taken from an array by their numbers, and rows added to it at places that may repeat.

For sums every thread goes through all places and adds its own columns, so that nothing has to be
sorted and sums come out in one order.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np

from .language import LEAST_STREAMED, SIZES, Position, Program
from .machine import Code
from .threads import pool

CHUNK = 16_384
"""Elements that a thread takes at a time."""
LEAST_COLUMNS = 64
"""Columns of a thread: fewer would waste the cache lines of the rows."""

LEAST_STREAMED_COLUMNS = 128
"""Columns from which on whole cache lines outweigh the parts of them at both ends of a row."""


@cache
def _code(real: str) -> Code:
    program = Program(f"add_rows_{real}", real)
    out, places, values = (program.array(k) for k in range(3))
    rows, columns = program.word(3), program.word(4)
    width = columns * SIZES[real]
    with program.loop(program.constant(0), rows) as row:
        target = out + program.load(places, row, "int64") * width
        source = values + row * width

        def body(at: Position) -> None:
            at.store(target, at.load(target, real) + at.load(source, real))

        program.across(program.begin, program.end, body)
    return Code(program.name, program.text())


@cache
def _element_code(real: str) -> Code:
    program = Program(f"add_elements_{real}", real)
    out, places, values = (program.array(k) for k in range(3))
    with program.loop(program.constant(0), program.word(3)) as row:
        place = program.load(places, row, "int64")
        total = program.load(out, place, real) + program.load(values, row, real)
        program.store(total, out, place)
    return Code(program.name, program.text())


def add_rows(out: Any, places: Any, values: Any) -> None:
    """out[places[i]] += values[i] for contiguous `out` (n, columns) and `values` (rows, columns);
    `places` are int64 within [0, n)."""
    columns = out.shape[1]
    words = struct.pack("=5q", id(out), id(places), id(values), len(places), columns)
    if columns == 1:
        _element_code(out.dtype.name).call(words, 0, 1)
        return
    share = max(LEAST_COLUMNS, -(-columns // (16 * pool.limit)) * 16)
    pool.run(_code(out.dtype.name), words, columns, share)


@cache
def _taking_code(real: str, streams: bool) -> Code:
    program = Program("take_rows", real)
    table, places, out = (program.array(k) for k in range(3))
    columns = program.word(3)
    width = columns * SIZES[real]
    with program.loop(program.begin, program.end) as row:
        source = table + program.load(places, row, "int64") * width
        target = out + row * width

        def body(at: Position) -> None:
            at.store(target, at.load(source, real), streams)

        zero = program.constant(0)
        if streams:
            program.across_aligned(zero, columns, body, target, SIZES[real])
        else:
            program.across(zero, columns, body)
    return Code(program.name, program.text())


def take_rows(table: Any, places: Any) -> Any:
    """table[places] for contiguous `table` (n, columns) and int64 `places` (rows,) in [0, n)."""
    columns = table.shape[1]
    out = np.empty((len(places), columns), table.dtype)
    words = struct.pack("=4q", id(table), id(places), id(out), columns)
    streams = out.nbytes >= LEAST_STREAMED and columns >= LEAST_STREAMED_COLUMNS
    code = _taking_code(table.dtype.name, streams)
    pool.run(code, words, len(places), max(1, CHUNK // columns))
    return out
