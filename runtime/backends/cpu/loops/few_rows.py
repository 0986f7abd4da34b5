"""Products of a few rows with a large matrix, as in text that is written token by token: memory is
read once, by all threads.

NumPy's library would take threads of its own for them, which spin on the processors that oneDNN's
need: with two busy cores a model of 135 million numbers took 0.3 s for a token, and takes 0.05.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from .language import SIZES, Position, Program, Value
from .machine import Code
from .maths import Maths
from .rows import Passes, Row
from .threads import pool

CHUNK = 16_384
"""Elements of the matrix that a thread takes at a time."""

BLOCK = 1024
"""Outputs of a matrix that lies column by column that a thread takes at a time: their sums stay in
the nearest cache while its rows pass."""
TOGETHER = 8
"""Rows of such a matrix that are added at a time."""

REAL = "float32"
KINDS = {np.dtype(np.float32): REAL, np.dtype(ml_dtypes.bfloat16): "int16", np.dtype("i1"): "int8"}
"""How programs hold the matrix: bfloat16 by its bits, the upper half of a float32's."""


def product(x: Any, weight: Any, bias: Any = None, scales: Any = None) -> Any:
    """x @ weight.T * scales + bias for contiguous float32 (n, k), (m, k), (m,), (m,) -> (n, m).

    Each row of the matrix is read from memory once, whatever n; it may be bfloat16 or int8, which
    take a half and a quarter of the bytes, and is widened in registers. Without scales it may also
    lie column by column, as the transpose of a contiguous (k, m).
    """
    (rows, columns), outputs = x.shape, len(weight)
    out = np.empty((rows, outputs), x.dtype)
    arrays = [x, weight, out, *[a for a in (bias, scales) if a is not None]]
    words = struct.pack(f"={len(arrays) + 3}q", rows, columns, outputs, *map(id, arrays))
    kind, chunk = KINDS[weight.dtype], max(1, CHUNK // columns)
    if weight.flags.c_contiguous:
        code = _code(kind, bias is not None, scales is not None)
    else:
        code, chunk = _code_by_columns(kind, bias is not None), BLOCK
    pool.run(code, words, outputs, chunk)
    return out


def _widened(value: Value, kind: str) -> Value:
    """Elements of the matrix as float32."""
    if kind == REAL:
        return value
    whole = value.to("int32")
    return whole.to(REAL) if kind == "int8" else (whole << 16).as_float()


@cache
def _code(kind: str, has_bias: bool, has_scales: bool) -> Code:
    program = Program("products_of_few_rows")
    rows, columns, outputs = (program.word(k) for k in range(3))
    x, weight, out = (program.array(k) for k in range(3, 6))
    bias = program.array(6) if has_bias else None
    scales = program.array(6 + has_bias) if has_scales else None
    passes = Passes(program, columns)
    length = columns * SIZES[REAL]
    with program.loop(program.begin, program.end) as output:
        factors = Row(program, weight + output * columns * SIZES[kind], kind)

        def factor(at: Position) -> Value:
            return _widened(factors[at], kind)

        with program.loop(program.constant(0), rows) as n:
            row = Row(program, x + n * length, REAL)
            total = passes.sum(lambda at: row[at] * factor(at))
            if scales is not None:
                total = total * program.load(scales, output, REAL)
            if bias is not None:
                total = total + program.load(bias, output, REAL)
            program.store(total, out, n * outputs + output)
    return Code(program.name, program.text())


@cache
def _code_by_columns(kind: str, has_bias: bool) -> Code:
    program = Program("products_of_few_rows_by_columns")
    rows, columns, outputs = (program.word(k) for k in range(3))
    x, weight, out = (program.array(k) for k in range(3, 6))
    bias = program.array(6) if has_bias else None
    zero, fma = program.constant(0), Maths(program).fma
    nothing = program.constant(0.0, REAL)
    with program.loop(zero, rows) as n:
        sums = Row(program, out + n * outputs * SIZES[REAL], REAL)

        def begin(at: Position) -> None:
            sums[at] = nothing if bias is None else at.load(bias, REAL)

        def add(first: Value, count: int) -> None:
            """`count` rows of the matrix, from `first` on."""
            factors = [program.load(x, n * columns + first + k, REAL) for k in range(count)]
            places = [weight + (first + k) * outputs * SIZES[kind] for k in range(count)]

            def body(at: Position) -> None:
                terms = [_widened(at.load(place, kind), kind) for place in places]
                total = terms[0] * factors[0]
                for factor, term in zip(factors[1:], terms[1:], strict=True):
                    total = fma(factor, term, total)
                sums[at] = sums[at] + total  # of short sums, which round less than one long sum

            program.across(program.begin, program.end, body)

        program.across(program.begin, program.end, begin)
        whole = columns // TOGETHER * TOGETHER
        with program.loop(zero, whole, TOGETHER) as first:
            add(first, TOGETHER)
        with program.loop(whole, columns) as first:
            add(first, 1)
    return Code(program.name, program.text())
