"""Weights of 4 bits: products of a few rows with them, and their values in float32.

A row of a weight is cut into groups. The codes of a group of G columns lie in G / 2 bytes: byte i
holds that of column i in its lower half and that of column i + G / 2 in its upper one, so that a
vector of bytes is two vectors of neighbouring columns.
"""

from __future__ import annotations

import struct
from functools import cache, partial
from typing import Any

import numpy as np

from .language import SIZES, Position, Program, Value
from .machine import Code
from .maths import Maths
from .rows import Passes, Row, RowLoop
from .threads import pool

CHUNK = 16_384
"""Bytes of the weight that a thread takes at a time."""
REAL = "float32"
LOWER, UPPER = 0x0F, 0xF0
SHIFT = 16
"""The halves of a byte, and what the upper one counts."""


def product(x: Any, codes: Any, scale: Any, least: Any, bias: Any = None) -> Any:
    """x @ weight.T + bias for contiguous float32 x (n, k), (m,) and the weight's codes
    (m, groups, G / 2), uint8, and scale and least (m, groups) -> (n, m). Each row of the weight is
    read from memory once."""
    outputs, groups, half = codes.shape
    out = np.empty((len(x), outputs), x.dtype)
    sums = x.reshape(len(x), groups, 2 * half).sum(2)
    arrays = [x, sums, codes, scale, least, out, *([] if bias is None else [bias])]
    words = struct.pack(f"={len(arrays) + 4}q", len(x), outputs, groups, half, *map(id, arrays))
    pool.run(_product(bias is not None), words, outputs, max(1, CHUNK // (groups * half)))
    return out


def _halves(bytes_: Value) -> tuple[Value, Value]:
    """The codes in the halves of bytes, as numbers; the upper ones 16 times as large."""
    whole = bytes_.to("int32")
    return (whole & LOWER).to(REAL), (whole & UPPER).to(REAL)


@cache
def _product(has_bias: bool) -> Code:
    program = Program("products_with_four_bits")
    rows, outputs, groups, half = (program.word(k) for k in range(4))
    x, sums, codes, scale, least, out = (program.array(k) for k in range(4, 10))
    bias = program.array(10) if has_bias else None
    zero, size, add = program.constant(0), SIZES[REAL], Maths(program).add
    nothing = program.spread(program.constant(0.0, REAL), program.lanes)
    with program.loop(program.begin, program.end) as output, program.loop(zero, rows) as n:
        first = program.constant(0.0, REAL) if bias is None else program.load(bias, output, REAL)
        total, lanes = program.variable(first), program.variable(nothing)
        with program.loop(zero, groups) as group:
            place = output * groups + group
            packed = codes + place * half
            low = x + (n * groups + group) * half * (2 * size)
            found = program.variable(nothing)

            def add_products(at: Position, packed: Any, low: Any, found: Any) -> None:
                lower, upper = _halves(at.load(packed, "int8"))
                high = at.load(low + half * size, REAL) * (upper * (1 / SHIFT))
                found.value = found.value + at.filled(at.load(low, REAL) * lower + high, 0.0)

            program.across(zero, half, partial(add_products, packed=packed, low=low, found=found))
            step = program.spread(program.load(scale, place, REAL), program.lanes)
            lanes.value = lanes.value + found.value * step
            shift = program.load(sums, n * groups + group, REAL) * program.load(least, place, REAL)
            total.value = total.value + shift
        result = total.value + program.combine(lanes.value, add)
        program.store(result, out, n * outputs + output)
    return Code(program.name, program.text())


def _widen_row(p: Passes, index: Value, out: Row, codes: Row, scale: Row, least: Row) -> None:
    step, begin = scale.element(p.zero), least.element(p.zero)
    low, high = out.parts(p.columns, 2)

    def body(at: Position) -> None:
        lower, upper = _halves(codes[at])
        low[at] = lower * step + begin
        high[at] = upper * (1 / SHIFT) * step + begin

    p.each(body)


WIDEN = RowLoop(_widen_row, "two real", "int8", "one real", "one real")


def widened(codes: Any, scale: Any, least: Any) -> Any:
    """The weight (m, k) in float32."""
    outputs, groups, half = codes.shape
    out = np.empty((outputs, groups * half * 2), scale.dtype)
    WIDEN([out, codes, scale, least], outputs * groups, half)
    return out
