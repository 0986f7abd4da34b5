"""Uniform and normal float32 numbers of random words, rounded step by step as `core.box_muller`."""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import Any

import numpy as np

from ....core.box_muller import COSINE, LN2, LOG, QUARTER_PI, SINE
from .language import Position, Program, Value
from .machine import Code
from .threads import pool

CHUNK = 16_384
HALF = 8
"""Half a block of Box and Muller's transform: radii, then angles."""
TINY = float(np.finfo(np.float32).tiny)


@cache
def _uniform_code() -> Code:
    program = Program("uniform_numbers")
    words, out = program.array(0), program.array(1)

    def body(at: Position) -> None:
        bits = at.load(words, "int32") & (2**24 - 1)
        at.store(out, bits.to("float32") * 2.0**-24)

    program.across(program.begin, program.end, body)
    return Code(program.name, program.text())


def uniform(words: Any) -> Any:
    """The lowest 24 bits of each of the uint32 `words`, as float32 in [0, 1)."""
    out = np.empty(len(words), np.float32)
    pool.run(_uniform_code(), struct.pack("=2q", id(words), id(out)), len(words), CHUNK)
    return out


def _double(program: Program, words: Value, i: Value) -> Value:
    high, low = (program.load(words, i * 2 + k, "int32").to("int64") for k in range(2))
    bits = ((high << 32) | (low & (2**32 - 1))) & (2**53 - 1)
    return bits.to("float64") * 2.0**-53


@cache
def _double_code() -> Code:
    program = Program("uniform_doubles", "float64")
    words, out = program.array(0), program.array(1)
    with program.loop(program.begin, program.end) as i:
        program.store(_double(program, words, i), out, i)
    return Code(program.name, program.text())


@cache
def _kept_code() -> Code:
    program = Program("kept_numbers", "float64")
    words, out = program.array(0), program.array(1)
    probability, value = program.number(2), program.number(3).to("float32")
    with program.loop(program.begin, program.end) as i:
        u = _double(program, words, i)
        program.store(program.where(u < probability, value, 0.0), out, i)
    return Code(program.name, program.text())


def write_kept(words: Any, out: Any, probability: float, value: float) -> None:
    """Write `value` to the float32 array `out` where `uniform_double` lies below `probability`, 0
    elsewhere."""
    packed = struct.pack("=2q2d", id(words), id(out), probability, value)
    pool.run(_kept_code(), packed, len(out), CHUNK)


def uniform_double(words: Any) -> Any:
    """The lowest 53 bits of pairs of uint32 words, the first the higher, as float64 in [0, 1)."""
    out = np.empty(len(words) // 2)
    pool.run(_double_code(), struct.pack("=2q", id(words), id(out)), len(out), CHUNK)
    return out


def _fused(a: Value, b: Any, c: Any) -> Value:
    """a * b + c, rounded once."""
    program = a.program
    return program.intrinsic("fma", a, *[program.alike(a, x)[1] for x in (b, c)])


def _polynomial(coefficients: tuple[float, ...], x: Value) -> Value:
    y = x.program.alike(x, coefficients[0])[1]
    for c in coefficients[1:]:
        y = _fused(y, x, c)
    return y


def _log(x: Value) -> Value:
    program = x.program
    bits = program.where(x < TINY, TINY, x).bits()
    e = (bits.shifted_right(23) - 126).to("float32")
    m = ((bits & 0x007FFFFF) | 0x3F000000).as_float()
    is_low = m < math.sqrt(0.5)
    e = e - is_low.to("float32")
    m = (m - 1.0) + program.where(is_low, m, 0.0)
    square = m * m
    y = _polynomial(LOG, m) * m
    y = _fused(y, square, e * LN2[0])
    y = _fused(square, -0.5, y)
    return _fused(e, LN2[1], m + y)


def _sine_and_cosine(x: Value) -> tuple[Value, Value]:
    program = x.program
    octant = ((x * (4 / math.pi)).to("int32") + 1) & ~1
    turns = octant.to("float32")
    for part in QUARTER_PI:
        x = _fused(turns, part, x)
    square = x * x
    cosine = _polynomial(COSINE, square) * square
    cosine = _fused(cosine, square, square * -0.5) + 1.0
    sine = _fused(_polynomial(SINE, square) * square, x, x)
    is_plain = (octant & 2).compare("==", 0)
    signs = (
        program.where((octant & 4).compare("!=", 0), -1.0, 1.0),
        program.where(((octant - 2) & 4).compare("!=", 0), 1.0, -1.0),
    )
    return (
        program.where(is_plain, sine, cosine) * signs[0],
        program.where(is_plain, cosine, sine) * signs[1],
    )


@cache
def _normal_code() -> Code:
    program = Program("normal_numbers")
    program.lanes = HALF
    u, out = program.array(0), program.array(1)
    with program.loop(program.begin, program.end) as block:
        first, second = block * (2 * HALF), block * (2 * HALF) + HALF
        radii = program.load(u, first, "float32", HALF)
        angles = program.load(u, second, "float32", HALF)
        radius = program.intrinsic("sqrt", _log(1.0 - radii) * -2.0)
        sine, cosine = _sine_and_cosine(angles * (2 * math.pi))
        program.store(radius * cosine, out, first)
        program.store(radius * sine, out, second)
    return Code(program.name, program.text())


def normal(u: Any) -> Any:
    """`core.box_muller.normal_float32` of contiguous numbers."""
    out = np.empty_like(u)
    blocks = len(u) // (2 * HALF)
    pool.run(_normal_code(), struct.pack("=2q", id(u), id(out)), blocks, CHUNK // (2 * HALF))
    return out
