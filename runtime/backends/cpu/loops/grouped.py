"""Products with weights of 4 and 8 bits that have a scale, and perhaps an offset, for each group of
16 or 32 columns; see `ops.grouped` for how they lie in memory.

Codes are widened in registers: a product of few rows reads the bytes of the compressed weight.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np

from .language import SIZES, Program, Value, Variable
from .machine import Code
from .maths import Maths
from .threads import pool

CHUNK = 16_384
"""Elements of the weight that a thread takes at a time."""
STEP = 32
"""Columns at a time: two vectors, the low and high halves of one of bytes."""
HALF = STEP // 2
REAL = "float32"
UNROLL = 4
"""Sums that grow in turn, so that none waits for the last."""


def product(x: Any, codes: Any, scales: Any, offsets: Any = None, bias: Any = None) -> Any:
    """x @ weight.T + bias for contiguous float32 x (n, k): (n, m)."""
    outputs, columns = len(codes), x.shape[1]
    out = np.empty((len(x), outputs), np.float32)
    code = _product(*_kind(codes, scales, columns), offsets is not None, bias is not None)
    arrays = [x, codes, scales, out, *[a for a in (offsets, bias) if a is not None]]
    words = struct.pack(f"={len(arrays) + 3}q", len(x), columns, outputs, *map(id, arrays))
    pool.run(code, words, outputs, max(1, CHUNK // columns))
    return out


def decoded(codes: Any, scales: Any, offsets: Any = None) -> Any:
    """The weight (m, k) in float32."""
    columns = codes.shape[1] * (2 if codes.dtype == np.uint8 else 1)
    out = np.empty((len(codes), columns), np.float32)
    code = _decoding(*_kind(codes, scales, columns), offsets is not None)
    arrays = [codes, scales, out, *[a for a in (offsets,) if a is not None]]
    words = struct.pack(f"={len(arrays) + 1}q", columns, *map(id, arrays))
    pool.run(code, words, len(codes), max(1, CHUNK // columns))
    return out


def _kind(codes: Any, scales: Any, columns: int) -> tuple[bool, int]:
    """Whether codes have 4 bits, and the columns of a group."""
    return codes.dtype == np.uint8, columns // scales.shape[1]


class _Row:
    """The row of the weight that a program works on."""

    def __init__(self, program: Program, index: Value, columns: Value, packed: bool, group: int):
        self.program, self.is_packed, self.group = program, packed, group
        self.bytes = index * (columns // 2 if packed else columns)
        self.groups = index * (columns // group) * SIZES[REAL]

    def codes(self, array: Value, chunk: Value) -> list[Value]:
        """The 32 codes of a chunk, as numbers: two vectors."""
        begin, load = array + self.bytes, self.program.load
        if self.is_packed:
            packed = load(begin, chunk * HALF, "int8", HALF)
            halves = [packed & 15, packed.shifted_right(4)]
        else:
            halves = [load(begin, chunk * STEP + k, "int8", HALF) for k in (0, HALF)]
        return [half.to("int32").to(REAL) for half in halves]

    def factors(self, array: Value, chunk: Value) -> list[Value]:
        """The scales (or offsets) of a chunk: one for both vectors, or one for each."""
        count = STEP // self.group
        return [
            self.program.load(array + self.groups, chunk * count + k, REAL) for k in range(count)
        ]


@cache
def _product(packed: bool, group: int, has_offsets: bool, has_bias: bool) -> Code:
    program = Program("products_with_groups")
    rows, columns, outputs = (program.word(k) for k in range(3))
    x, codes, scales, out = (program.array(k) for k in range(3, 7))
    offsets = program.array(7) if has_offsets else None
    bias = program.array(7 + has_offsets) if has_bias else None
    fma = Maths(program).fma
    with program.loop(program.begin, program.end) as output:
        weight = _Row(program, output, columns, packed, group)
        with program.loop(program.constant(0), rows) as n:
            row = x + n * columns * SIZES[REAL]

            def add(chunk: Value, part: Variable, row: Value = row, weight: _Row = weight) -> None:
                inputs = [program.load(row, chunk * STEP + k, REAL, HALF) for k in (0, HALF)]
                low, high = weight.codes(codes, chunk)
                terms, sums = [low * inputs[0], high * inputs[1]], inputs
                if group == STEP:
                    terms, sums = [fma(high, inputs[1], terms[0])], [inputs[0] + inputs[1]]
                for term, scale in zip(terms, weight.factors(scales, chunk), strict=True):
                    part.value = fma(term, scale, part.value)
                if offsets is not None:
                    for term, offset in zip(sums, weight.factors(offsets, chunk), strict=True):
                        part.value = fma(term, offset, part.value)

            total = _summed(program, columns // STEP, add)
            if bias is not None:
                total = total + program.load(bias, output, REAL)
            program.store(total, out, n * outputs + output)
    return Code(program.name, program.text())


def _summed(program: Program, chunks: Value, add: Any) -> Value:
    """The sum of what `add(chunk, part)` adds to vectors, `UNROLL` of them in turn."""
    nothing = program.spread(program.constant(0.0, REAL), program.lanes)
    parts = [program.variable(nothing) for _ in range(UNROLL)]
    whole = chunks // UNROLL * UNROLL
    with program.loop(program.constant(0), whole, UNROLL) as chunk:
        for k, part in enumerate(parts):
            add(chunk + k, part)
    with program.loop(whole, chunks) as chunk:
        add(chunk, parts[0])
    a, b, c, d = (part.value for part in parts)
    return program.combine((a + b) + (c + d), lambda x, y: x + y)


@cache
def _decoding(packed: bool, group: int, has_offsets: bool) -> Code:
    program = Program("weights_of_groups")
    columns = program.word(0)
    codes, scales, out = (program.array(k) for k in range(1, 4))
    offsets = program.array(4) if has_offsets else None
    with program.loop(program.begin, program.end) as index:
        row = _Row(program, index, columns, packed, group)
        with program.loop(program.constant(0), columns // STEP) as chunk:
            factors = row.factors(scales, chunk)
            terms = row.factors(offsets, chunk) if offsets is not None else []
            for k, half in enumerate(row.codes(codes, chunk)):
                value = half * factors[k % len(factors)]
                if terms:
                    value = value + terms[k % len(terms)]
                program.store(value, out, index * columns + chunk * STEP + HALF * k)
    return Code(program.name, program.text())
