"""Quantization in fused loops: numbers to 8-bit codes, and codes to numbers."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np

from ....core.dtypes import limits_of
from .language import SIZES, Position, Program, Value
from .machine import Code
from .rows import Passes, Row, RowLoop
from .threads import pool

CHUNK = 16_384
"""Elements that a thread takes at a time."""
LIMIT = 127.0
"""The largest code of rows, whose codes are as many below 0 as above."""
LEAST_SCALE = 1e-5
"""The scale of rows of zeros."""
SINGLE = np.dtype(np.float32)


def _rounded(x: Value, low: float, high: float) -> Value:
    """The nearest whole number to x, halves to the even one, within limits; NaN is `low`."""
    program = x.program
    whole = program.intrinsic("rint", x)
    ends = (program.spread(program.constant(e, "float32"), x.lanes) for e in (low, high))
    return program.intrinsic("minnum", program.intrinsic("maxnum", whole, next(ends)), next(ends))


def quantized(x: Any, scale: float, zero_point: int, dtype: Any) -> Any:
    """rint(x / scale) + zero_point within the limits of int8 or uint8, for float32 without gaps."""
    out = np.empty_like(x, dtype)
    inverse = np.float32(1) / np.float32(scale)
    words = struct.pack("=2q2d", id(x), id(out), inverse, zero_point)
    pool.run(_quantizing(*limits_of(np.dtype(dtype))), words, x.size, CHUNK)
    return out


@cache
def _quantizing(low: int, high: int) -> Code:
    program = Program("quantized")
    x, out = program.array(0), program.array(1)
    inverse, zero_point = program.number(2), program.number(3)

    def body(at: Position) -> None:
        # Limits before the sum too: a whole number that large would lose the zero point.
        whole = _rounded(at.load(x, "float32") * inverse, -1e6, 1e6) + zero_point
        at.store(out, _rounded(whole, low, high).to("int32").to("int8"))

    program.across(program.begin, program.end, body)
    return Code(program.name, program.text())


def dequantized(codes: Any, scale: float, zero_point: int) -> Any:
    """(codes - zero_point) * scale in float32, for int8 or uint8 without gaps."""
    out = np.empty_like(codes, SINGLE)
    words = struct.pack("=2q2d", id(codes), id(out), scale, zero_point)
    pool.run(_dequantizing(codes.dtype == np.uint8), words, codes.size, CHUNK)
    return out


@cache
def _dequantizing(is_unsigned: bool) -> Code:
    program = Program("dequantized")
    codes, out = program.array(0), program.array(1)
    scale, zero_point = program.number(2), program.number(3)

    def body(at: Position) -> None:
        whole = at.load(codes, "int8").to("int32")
        if is_unsigned:
            whole = whole & 0xFF
        at.store(out, (whole.to("float32") - zero_point) * scale)

    program.across_aligned(program.begin, program.end, body, out, SIZES["float32"])
    return Code(program.name, program.text())


def combined(
    x: Any, y: Any, scales: tuple[float, float], zero_points: tuple[int, int], product: bool,
    relu: bool, out_scale: float, out_zero_point: int,
) -> Any:  # fmt: skip
    """See `ops.int8.combine_codes`; for codes of one shape and type without gaps."""
    out = np.empty_like(x)
    inverse = np.float32(1) / np.float32(out_scale)
    numbers = (*scales, *zero_points, inverse, out_zero_point)
    words = struct.pack("=3q6d", id(x), id(y), id(out), *numbers)
    pool.run(_combining(x.dtype == np.uint8, product, relu), words, x.size, CHUNK)
    return out


@cache
def _combining(is_unsigned: bool, product: bool, relu: bool) -> Code:
    program = Program("combined")
    x, y, out = (program.array(k) for k in range(3))
    scales, zeros = ([program.number(k) for k in ks] for ks in ((3, 4), (5, 6)))
    inverse, zero_point = program.number(7), program.number(8)
    least, most = limits_of(np.dtype(np.uint8 if is_unsigned else np.int8))

    def value(at: Position, codes: Value, k: int) -> Value:
        whole = at.load(codes, "int8").to("int32")
        if is_unsigned:
            whole = whole & 0xFF
        return (whole.to("float32") - zeros[k]) * scales[k]

    def body(at: Position) -> None:
        a, b = value(at, x, 0), value(at, y, 1)
        result = a * b if product else a + b
        # A code below that of 0 stands for what ReLU makes 0.
        floor = zero_point if relu else program.constant(least, "float32")
        whole = _rounded(result * inverse, -1e6, 1e6) + zero_point
        low = program.intrinsic("maxnum", whole, program.spread(floor, at.lanes))
        at.store(out, _rounded(low, least, most).to("int32").to("int8"))

    program.across(program.begin, program.end, body)
    return Code(program.name, program.text())


def _quantize_row(p: Passes, index: Value, x: Row, codes: Row, scale: Row) -> None:
    largest = p.reduce(lambda at: p.m.abs(x[at]), 0.0, p.m.maximum)
    step = p.m.maximum(largest / LIMIT, p.program.constant(LEAST_SCALE, "float32"))
    scale.set_element(p.zero, step)
    inverse = 1 / step
    p.map(codes, lambda at: _rounded(x[at] * inverse, -LIMIT, LIMIT).to("int32").to("int8"))


def _dequantize_row(p: Passes, index: Value, out: Row, codes: Row, scale: Row) -> None:
    step = scale.element(p.zero)
    p.map(out, lambda at: codes[at].to("int32").to("float32") * step, is_last=True)


def _scale_row(p: Passes, index: Value, out: Row, scale: Row) -> None:
    step = scale.element(p.zero)
    p.map(out, lambda at: out[at] * step)


def _scale_row_and_add(p: Passes, index: Value, out: Row, scale: Row, bias: Row) -> None:
    step = scale.element(p.zero)
    p.map(out, lambda at: out[at] * step + bias[at])


QUANTIZE_ROWS = RowLoop(_quantize_row, "real", "int8", "one real")
DEQUANTIZE_ROWS = RowLoop(_dequantize_row, "real", "int8", "one real")

SCALE_ROWS = RowLoop(_scale_row, "real", "one real")
SCALE_ROWS_AND_ADD = RowLoop(_scale_row_and_add, "real", "one real", "shared real")


def quantized_rows(x: Any) -> tuple[Any, Any]:
    """Codes (n, k) of int8 from -127 to 127 of the contiguous float32 matrix x, and the scales (n,)
    of its rows."""
    codes, scales = np.empty(x.shape, np.int8), np.empty(len(x), SINGLE)
    QUANTIZE_ROWS([x, codes, scales], *x.shape)
    return codes, scales


def dequantized_rows(codes: Any, scales: Any) -> Any:
    """codes * scale of each row, in float32."""
    out = np.empty(codes.shape, SINGLE)
    DEQUANTIZE_ROWS([out, codes, scales], *codes.shape)
    return out


def scale_rows(out: Any, scales: Any, bias: Any = None) -> None:
    """Multiply the rows of the float32 matrix `out` by the scales, then add `bias`, in place."""
    scales = np.ascontiguousarray(scales.reshape(-1))
    if bias is None:
        SCALE_ROWS([out, scales], *out.shape)
    else:
        SCALE_ROWS_AND_ADD([out, scales, np.ascontiguousarray(bias)], *out.shape)
