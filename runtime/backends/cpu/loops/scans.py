"""Running sums: along rows, a vector at a time, or from row to row."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from .language import SIZES, TYPES, Position, Program, Value
from .machine import Code
from .threads import pool

CHUNK = 16_384
"""Elements that a thread takes at a time."""
BLOCK = 256
"""Columns that a thread adds up from row to row: 1 KiB of each row, enough for the prefetchers."""


def _running(program: Program, vector: Value) -> Value:
    """The sums of the first 1, 2, ... lanes, in log2(lanes) additions of shifted vectors."""
    i32 = TYPES["int32"]
    zeros = program.spread(program.constant(0.0, program.real), vector.lanes)
    shift = 1
    while shift < vector.lanes:
        picked = [vector.lanes + k - shift if k >= shift else 0 for k in range(vector.lanes)]
        mask = ir.Constant(ir.VectorType(i32, vector.lanes), picked)
        moved = program.builder.shuffle_vector(zeros.ir, vector.ir, mask)
        vector = vector + Value(program, moved)
        shift *= 2
    return vector


@cache
def _along_rows(real: str) -> Code:
    program = Program("running_sums", real)
    x, out = program.array(0), program.array(1)
    columns = program.word(2)
    nothing = program.constant(0.0, "float64")
    total = program.variable(nothing)
    with program.loop(program.begin, program.end) as row:
        start = row * columns * SIZES[real]
        total.value = nothing

        def body(at: Position) -> None:
            sums = _running(program, at.load(x + start, real))
            at.store(out + start, sums + total.value.to(real))
            total.value = total.value + sums.lane(sums.lanes - 1).to("float64")

        program.across(program.constant(0), columns, body)
    return Code(program.name, program.text())


@cache
def _from_row_to_row(real: str) -> Code:
    program = Program("running_rows", real)
    x, out = program.array(0), program.array(1)
    rows, columns, blocks = (program.word(k) for k in (2, 3, 4))
    width = columns * SIZES[real]
    with program.loop(program.begin, program.end) as item:
        begin = item % blocks * BLOCK
        rest = columns - begin
        end = begin + program.where(rest < BLOCK, rest, program.constant(BLOCK))
        start = item // blocks * rows * width

        def first(at: Position) -> None:
            at.store(out + start, at.load(x + start, real))

        program.across(begin, end, first)
        with program.loop(program.constant(1), rows) as row:
            here = start + row * width

            def body(at: Position) -> None:
                at.store(out + here, at.load(x + here, real) + at.load(out + here - width, real))

            program.across(begin, end, body)
    return Code(program.name, program.text())


def running_sums(x: Any, dim: int) -> Any:
    """The sums of the elements up to each one along `dim` of the contiguous array x.

    Rows are added up in vectors, those in float64.
    """
    out = np.empty_like(x)
    real, length = x.dtype.name, x.shape[dim]
    columns = int(np.prod(x.shape[dim + 1 :]))
    if columns == 1:
        words = struct.pack("=3q", id(x), id(out), length)
        pool.run(_along_rows(real), words, x.size // length, max(1, CHUNK // length))
        return out
    blocks = -(-columns // BLOCK)
    words = struct.pack("=5q", id(x), id(out), length, columns, blocks)
    items = x.size // (length * columns) * blocks
    chunk = max(1, CHUNK // (length * min(columns, BLOCK)))
    pool.run(_from_row_to_row(real), words, items, chunk)
    return out
