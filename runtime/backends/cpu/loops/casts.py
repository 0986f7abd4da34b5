"""Conversions between float32 and the half types, rounded to the nearest, halfway cases to even."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from .language import LEAST_STREAMED, SIZES, Position, Program, Value
from .machine import Code, has_halves
from .threads import pool

CHUNK = 16_384
"""Elements that a thread takes at a time."""
SINGLE = np.dtype(np.float32)
KINDS = {SINGLE: "float32", np.dtype(np.float16): "float16", np.dtype(ml_dtypes.bfloat16): "int16"}
"""How programs hold the types: bfloat16, which LLVM's Python interface lacks, by its bits."""
QUIET = 1 << 22
"""The bit of a float32 that makes a NaN of it survive the loss of its lower half."""


def serves(x: Any, dtype: Any) -> bool:
    """Whether x, an array, can be converted to `dtype` here."""
    kinds = {KINDS.get(x.dtype), KINDS.get(dtype)}
    if None in kinds or "float32" not in kinds or len(kinds) == 1 or not x.flags.c_contiguous:
        return False
    return "float16" not in kinds or has_halves()


def converted(x: Any, dtype: Any) -> Any:
    """The contiguous array x in `dtype`."""
    out = np.empty(x.shape, dtype)
    streams = dtype == SINGLE and out.nbytes >= LEAST_STREAMED
    code = _code(KINDS[x.dtype], KINDS[dtype], streams)
    pool.run(code, struct.pack("=2q", id(x), id(out)), x.size, CHUNK)
    return out


@cache
def _code(source: str, target: str, streams: bool) -> Code:
    program = Program("converted")
    x, out = program.array(0), program.array(1)

    def body(at: Position) -> None:
        value = at.load(x, source)
        if source == "int16":
            value = (value.to("int32") << 16).as_float()
        at.store(out, _upper_half(value) if target == "int16" else value.to(target), streams)

    program.across_aligned(program.begin, program.end, body, out, SIZES[target])
    return Code(program.name, program.text())


def _upper_half(x: Value) -> Value:
    """The bits of the bfloat16 nearest to x: the upper half, after adding nearly half of what the
    lower one can hold, and 1 more where the upper one is odd."""
    bits = x.bits()
    rounded = bits + 0x7FFF + (bits.shifted_right(16) & 1)
    rounded = x.program.where(x.compare("!=", x), bits | QUIET, rounded)
    return rounded.shifted_right(16).to("int16")
