"""Operations on int8 codes, in the form that runtimes fuse: dequantize, compute, quantize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core import dtypes
from ...ops.int8 import LEAST_SCALE, LIMIT
from ..builder import Builder, OnnxExporterError, Value
from .layers import convolution
from .registry import rule


def _point(b: Builder, zero_point: int, dtype: dtypes.dtype) -> Value:
    if dtype not in (dtypes.int8, dtypes.uint8):
        raise OnnxExporterError(f"ONNX: expected codes of int8 or uint8. Got {dtype}.")
    return b.constant(int(zero_point), dtype)


@rule("quantize_codes")
def quantize(b: Builder, x: Value, *, scale: float, zero_point: int, dtype: Any) -> Value:
    """QuantizeLinear."""
    point = _point(b, zero_point, dtype)
    factor = b.constant(float(scale), dtypes.float32)
    return b.QuantizeLinear(b.cast(x, dtypes.float32), factor, point, dtype=dtype)


@rule("dequantize_codes")
def dequantize(b: Builder, x: Value, *, scale: float, zero_point: int) -> Value:
    """DequantizeLinear."""
    factor = b.constant(float(scale), dtypes.float32)
    return b.DequantizeLinear(x, factor, _point(b, zero_point, x.dtype), dtype=dtypes.float32)


@rule("quantize_rows")
def quantize_rows(b: Builder, x: Value) -> tuple[Value, Value]:
    """Each row by its largest magnitude."""
    wide = b.cast(x, dtypes.float32)
    largest = b.reduce("ReduceMax", b.Abs(wide), [-1], True)
    scale = b.Max(b.Div(largest, float(LIMIT)), float(LEAST_SCALE))
    whole = b.Round(b.Mul(wide, b.Reciprocal(scale)))
    limits = [b.constant(float(n), dtypes.float32) for n in (-LIMIT, LIMIT)]
    return b.cast(b.Clip(whole, *limits), dtypes.int8), b.squeeze(scale, x.ndim - 1)


def by_codes(b: Builder, weight: Value, scale: Value) -> Value:
    """The weight by its codes and the scale of each output."""
    points = b.Expand(b.constant(0, dtypes.int8), b.ints([weight.size(0)]))
    out = b.DequantizeLinear(weight, scale, points, axis=0, dtype=dtypes.float32)
    out.dims = weight.dims
    return out


def _finished(
    b: Builder, out: Value, codes: Value, relu: bool, out_scale: float | None, out_zero_point: int
) -> Value:
    out = b.Relu(out) if relu else out
    if out_scale is None:
        return out
    return quantize(b, out, scale=out_scale, zero_point=out_zero_point, dtype=codes.dtype)


@rule("int8_linear")
def int8_linear(
    b: Builder, x: Value, weight: Value, scale: Value, bias: Value | None = None,
    row_scale: Value | None = None, *, zero_point: int = 0, relu: bool = False,
    out_scale: float | None = None, out_zero_point: int = 0,
) -> Value:  # fmt: skip
    """A product of integers where rows have scales, else one between two dequantizations."""
    if row_scale is None:
        wide = dequantize(b, x, scale=1.0, zero_point=zero_point)
        out = b.MatMul(wide, b.permuted(by_codes(b, weight, scale), [1, 0]))
    else:
        point = _point(b, zero_point, x.dtype)
        turned = b.permuted(weight, [1, 0])
        sums = b.MatMulInteger(x, turned, point, dtype=dtypes.int32)
        out = b.Mul(b.cast(sums, dtypes.float32), b.Unsqueeze(row_scale, b.ints([-1])))
        out = b.Mul(out, scale)
    out = out if bias is None else b.Add(out, bias)
    return _finished(b, out, x, relu, out_scale, out_zero_point)


@rule("int8_weight_linear")
def int8_weight_linear(
    b: Builder, x: Value, weight: Value, scale: Value, bias: Value | None = None
) -> Value:
    """The weight stays int8 in the file."""
    wide = b.cast(by_codes(b, weight, b.cast(scale, dtypes.float32)), x.dtype)
    out = b.MatMul(x, b.permuted(wide, [1, 0]))
    return out if bias is None else b.Add(out, bias)


@rule("unpacked_codes")
def unpacked_codes(b: Builder, codes: Value) -> Value:
    """Codes of 4 bits by remainders and quotients of bytes."""
    if codes.dtype is dtypes.int8:
        return codes
    rows, columns = codes.shape
    wide = b.reshape(b.cast(codes, dtypes.int32), [rows, columns // 16, 16])
    parts = [b.Mod(wide, b.constant(16, dtypes.int32)), b.Div(wide, b.constant(16, dtypes.int32))]
    return b.cast(b.reshape(b.Concat(*parts, axis=-1), [rows, 2 * columns]), dtypes.int8)


@rule("grouped_weight")
def grouped_weight(b: Builder, codes: Value, scale: Value, offset: Value | None = None) -> Value:
    """Codes times the scales of their groups, which stay as they are in the file."""
    rows, groups = scale.shape
    numbers = b.cast(unpacked_codes(b, codes), scale.dtype)
    columns = codes.shape[1] * (1 if codes.dtype is dtypes.int8 else 2)
    out = b.reshape(numbers, [rows, groups, columns // groups])
    out = b.Mul(out, b.reshape(scale, [rows, groups, 1]))
    if offset is not None:
        out = b.Add(out, b.reshape(offset, [rows, groups, 1]))
    return b.reshape(out, [rows, columns])


@rule("grouped_linear")
def grouped_linear(
    b: Builder, x: Value, codes: Value, scale: Value, offset: Value | None = None,
    bias: Value | None = None,
) -> Value:  # fmt: skip
    """The weight stays compressed in the file."""
    weight = b.cast(grouped_weight(b, codes, scale, offset), x.dtype)
    out = b.MatMul(x, b.permuted(weight, [1, 0]))
    return out if bias is None else b.Add(out, bias)


@rule("int8_convolution")
def int8_convolution(
    b: Builder, x: Value, weight: Value, scale: Value, bias: Value | None = None, *,
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int,
    zero_point: int = 0, relu: bool = False, out_scale: float | None = None,
    out_zero_point: int = 0,
) -> Value:  # fmt: skip
    """A convolution between dequantizations."""
    wide = dequantize(b, x, scale=1.0, zero_point=zero_point)
    how = {"stride": stride, "padding": [(p, p) for p in padding], "dilation": dilation}
    out = convolution(b, wide, by_codes(b, weight, scale), bias, groups=groups, **how)
    return _finished(b, out, x, relu, out_scale, out_zero_point)


@rule("combine_codes")
def combine_codes(
    b: Builder, x: Value, y: Value, *, scales: Sequence[float], zero_points: Sequence[int],
    product: bool, relu: bool, out_scale: float, out_zero_point: int,
) -> Value:  # fmt: skip
    """A sum or product between dequantizations."""
    wide = [
        dequantize(b, codes, scale=scale, zero_point=point)
        for codes, scale, point in zip((x, y), scales, zero_points, strict=True)
    ]
    out = (b.Mul if product else b.Add)(*wide)
    return _finished(b, out, x, relu, out_scale, out_zero_point)
