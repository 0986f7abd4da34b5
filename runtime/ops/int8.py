"""Arithmetic on 8-bit codes: quantization, products and convolutions with sums in 32 bits.

A code q stands for (q - zero_point) * scale. The operations here take codes as plain int8 and uint8
tensors and scales as numbers or tensors beside them; what users see are quantized tensors
(`ops.quantized`) and the layers of `ao.nn`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.cpu import loops
from ..backends.cpu.onednn import int8, products
from ..backends.cpu.onednn.layouts import channel_axes, is_channels_last
from ..backends.cuda import products as cuda_products
from ..core import dtypes
from ..core.dispatch import backends
from ..errors import DTypeError, ShapeError
from . import shapes
from .convolution import convolution_array, output_shape
from .copies import as_dtype
from .declare import Index, Spec, composite, kernel, primitive
from .shapes import Shape

CODES = (dtypes.int8, dtypes.uint8)
EXACT = 1 << 24
"""Whole numbers up to which float32 holds all."""
LARGEST_PRODUCT = 255 * 128
LIMIT = 127
"""The largest code of a row, whose codes are as many below 0 as above."""
LEAST_SCALE = 1e-5
"""The scale of rows of zeros."""
LEAST_LOOP = 512
"""Elements from which on a loop beats NumPy's passes, of which quantization takes seven."""
FEW_ROWS = 8
"""Up to which a product reads codes once and widens them in registers; for more it is cheaper to
widen the whole weight and multiply it by oneDNN."""
SINGLE = np.dtype(np.float32)
SMALLEST_SCALE = 1 / float(np.finfo(np.float32).max)
"""The scale whose reciprocal float32 just holds."""


def range_parameters(least: float, most: float, low: int, high: int) -> tuple[float, int]:
    """The scale and the zero point with which codes from `low` to `high` cover the values from
    `least` to `most`, and 0, which is a code itself.

    Raises: RuntimeError for ends that are not finite.
    """
    if not (math.isfinite(least) and math.isfinite(most)):
        raise RuntimeError(
            f"Dynamic quantization: expected finite values. Got some from {least} to {most}. Look "
            "for what makes them with torch.isfinite, or clamp them before the quantized layer."
        )
    least, most = min(least, 0.0), max(most, 0.0)
    scale = (most - least) / (high - low)
    if not SMALLEST_SCALE < scale < float("inf"):
        scale = 0.1
    # From the end of the range whose own rounding error is smaller.
    from_low, from_high = low - least / scale, high - most / scale
    errors = abs(low) + abs(least / scale), abs(high) + abs(most / scale)
    zero_point = from_low if errors[0] < errors[1] else from_high
    return scale, min(max(round(zero_point), low), high)


# -- numbers to codes and back ---------------------------------------------------------------------


@primitive
def quantize_codes(input: Spec, *, scale: float, zero_point: int, dtype: Any) -> Spec:
    """rint(input / scale) + zero_point, within the limits of the integer type `dtype`; NaN is the
    lowest."""
    return Spec(input.shape, dtype)


@quantize_codes.array
def quantize_codes_array(xp: Any, input: Any, scale: float, zero_point: int, dtype: Any) -> Any:
    """By the reciprocal of the scale in the input's precision, as PyTorch computes it."""
    real = input.dtype.type
    low, high = dtypes.limits_of(dtype.numpy)
    whole = xp.rint(input * (real(1) / real(scale))).astype(np.float64) + zero_point
    return xp.fmin(xp.fmax(whole, float(low)), float(high)).astype(dtype.numpy)


def _has_loop(x: Any) -> bool:
    return x.size >= LEAST_LOOP and bool(x.flags.c_contiguous) and loops.is_available()


def _in_order_of_memory(loop: Any, input: Any, *args: Any) -> Any:
    """What a loop over all elements makes of input, which has no gaps: in the same order."""
    if input.flags.c_contiguous:
        return loop(input, *args)
    _, back = channel_axes(input.ndim)
    return loop(input.transpose(channel_axes(input.ndim)[0]), *args).transpose(back)


def _has_elementwise_loop(x: Any) -> bool:
    is_dense = bool(x.flags.c_contiguous) or (x.ndim >= 3 and is_channels_last(x))
    return x.size >= LEAST_LOOP and is_dense and loops.is_available()


def _quantizes(input: Any, scale: float, zero_point: int, dtype: Any) -> bool:
    return input.dtype == SINGLE and dtype.itemsize == 1 and _has_elementwise_loop(input)


@kernel(quantize_codes, "cpu", when=_quantizes)
def quantize_codes_loop(input: Any, scale: float, zero_point: int, dtype: Any) -> Any:
    """One pass over memory."""
    from ..backends.cpu.loops import quantization

    loop = quantization.quantized
    return _in_order_of_memory(loop, input, scale, zero_point, dtype.numpy)


@primitive
def dequantize_codes(input: Spec, *, scale: float, zero_point: int) -> Spec:
    """(input - zero_point) * scale in float32."""
    return Spec(input.shape, dtypes.float32)


@dequantize_codes.array
def dequantize_codes_array(xp: Any, input: Any, scale: float, zero_point: int) -> Any:
    """32-bit codes lose in float32 what it cannot hold, after the difference."""
    wide = np.float32 if input.dtype.itemsize == 1 else np.float64
    return ((input.astype(wide) - wide(zero_point)).astype(SINGLE)) * SINGLE.type(scale)


def _dequantizes(input: Any, **options: Any) -> bool:
    return input.itemsize == 1 and _has_elementwise_loop(input)


@kernel(dequantize_codes, "cpu", when=_dequantizes)
def dequantize_codes_loop(input: Any, scale: float, zero_point: int) -> Any:
    """One pass over memory."""
    from ..backends.cpu.loops import quantization

    return _in_order_of_memory(quantization.dequantized, input, scale, zero_point)


@primitive
def combine_codes(
    input: Spec,
    other: Spec,
    *,
    scales: tuple[float, float],
    zero_points: tuple[int, int],
    product: bool,
    relu: bool,
    out_scale: float,
    out_zero_point: int,
) -> Spec:
    """The codes, with their scale and zero point, of the sum (or product) of what codes of one type
    mean, which broadcast; of 0 where that is below and `relu`."""
    named = {"input": input, "other": other}
    return Spec(shapes.broadcast("product" if product else "sum", named), input.dtype)


@combine_codes.array
def combine_codes_array(
    xp: Any, input: Any, other: Any, scales: Any, zero_points: Any, product: bool, relu: bool,
    out_scale: float, out_zero_point: int,
) -> Any:  # fmt: skip
    """In float32."""
    x, y = (
        dequantize_codes_array(xp, codes, scale, zero_point)
        for codes, scale, zero_point in zip((input, other), scales, zero_points, strict=True)
    )
    out = x * y if product else x + y
    out = xp.maximum(out, SINGLE.type(0)) if relu else out
    dtype = dtypes.from_numpy(input.dtype)
    return quantize_codes_array(xp, xp.asarray(out), out_scale, out_zero_point, dtype)


def _combines(input: Any, other: Any, **options: Any) -> bool:
    is_alike = (
        input.shape == other.shape
        and input.strides == other.strides
        and input.dtype == other.dtype
        and input.itemsize == 1
    )
    return is_alike and _has_elementwise_loop(input)


@kernel(combine_codes, "cpu", when=_combines)
def combine_codes_loop(input: Any, other: Any, **options: Any) -> Any:
    """One pass over memory."""
    from ..backends.cpu.loops import quantization

    if input.flags.c_contiguous:
        return quantization.combined(input, other, **options)
    order, back = channel_axes(input.ndim)
    rows = input.transpose(order), other.transpose(order)
    return quantization.combined(*rows, **options).transpose(back)


@primitive(moves=True)  # reads halves as they are: scales made of a copy would be rounded to them
def quantize_rows(input: Spec) -> tuple[Spec, Spec]:
    """Each row of input (..., k) as codes (..., k) of int8 from -127 to 127, and its scale (...,)
    in float32: its largest magnitude / 127, at least 1e-5."""
    return Spec(input.shape, dtypes.int8), Spec(input.shape[:-1], dtypes.float32)


@quantize_rows.array
def quantize_rows_array(xp: Any, input: Any) -> tuple[Any, Any]:
    """By the reciprocal of each scale."""
    wide = input.astype(SINGLE)
    largest = xp.absolute(wide).max(-1) if input.shape[-1] else xp.zeros(input.shape[:-1], SINGLE)
    scale = xp.maximum(largest / SINGLE.type(LIMIT), SINGLE.type(LEAST_SCALE))
    whole = xp.rint(wide * (SINGLE.type(1) / scale)[..., None])
    return xp.fmin(xp.fmax(whole, -LIMIT), LIMIT).astype(np.int8), xp.asarray(scale)


@kernel(quantize_rows, "cpu", when=lambda input: input.dtype == SINGLE and _has_loop(input))
def quantize_rows_loop(input: Any) -> tuple[Any, Any]:
    """Each row is read from memory once."""
    from ..backends.cpu.loops import quantization

    codes, scale = quantization.quantized_rows(input.reshape(-1, input.shape[-1]))
    if input.ndim == 2:  # not views, so that copies of a weight may be kept
        return codes, scale
    return codes.reshape(input.shape), scale.reshape(input.shape[:-1])


# -- products --------------------------------------------------------------------------------------


def _require_codes(name: str, input: Any, weight: Any) -> None:
    if input.dtype not in CODES or weight.dtype is not dtypes.int8:
        raise DTypeError(
            f"{name}: expected codes of int8 or uint8 and a weight of int8. Got {input.dtype} and "
            f"{weight.dtype}. Quantize them first."
        )


def _require_per_output(name: str, outputs: int, **given: Any) -> None:
    for word, x in given.items():
        if x is not None and tuple(x.shape) != (outputs,):
            raise ShapeError(
                f"{name}: expected {word} of shape {(outputs,)}, one per output. Got "
                f"{tuple(x.shape)}."
            )


def _columns(name: str, input: Any, weight: Any) -> None:
    shapes.require_ndim(name, "weight", weight, 2)
    if not input.shape or input.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"{name}: expected rows of {weight.shape[1]} elements for weight "
            f"{tuple(weight.shape)}. Got input {tuple(input.shape)}."
        )


@primitive
def int8_linear(
    input: Spec,
    weight: Index,
    scale: Index,
    bias: Index | None = None,
    row_scale: Index | None = None,
    *,
    zero_point: int = 0,
    relu: bool = False,
    out_scale: float | None = None,
    out_zero_point: int = 0,
) -> Spec:
    """(input - zero_point) @ weight.T * scale * row_scale + bias: codes (..., k) of uint8 or int8
    and (m, k) of int8, float32 (m,), (m,) and (...,) -> float32 (..., m).

    `relu` sets what is below 0 to 0. With `out_scale` the result is quantized again: codes of
    input's type that mean (q - out_zero_point) * out_scale.
    """
    _require_codes("int8_linear", input, weight)
    _columns("int8_linear", input, weight)
    _require_per_output("int8_linear", weight.shape[0], scale=scale, bias=bias)
    kind = dtypes.float32 if out_scale is None else input.dtype
    return Spec((*input.shape[:-1], weight.shape[0]), kind)


@int8_linear.array
def int8_linear_array(
    xp: Any, input: Any, weight: Any, scale: Any, bias: Any = None, row_scale: Any = None,
    zero_point: int = 0, **finish: Any,
) -> Any:  # fmt: skip
    """Sums in floating-point numbers that hold them, of which libraries have fast products."""
    wide = _wide(weight.shape[1])
    sums = xp.matmul(input.astype(wide) - wide(zero_point), weight.astype(wide).T)
    if row_scale is not None:
        sums = sums * row_scale[..., None]
    return _finished(xp, sums, scale, bias, input.dtype, **finish)


def _wide(terms: int) -> Any:
    """A type that holds the sum of so many products of codes."""
    return np.float32 if terms * LARGEST_PRODUCT <= EXACT else np.float64


def _finished(
    xp: Any, sums: Any, scale: Any, bias: Any, codes: Any, relu: bool = False,
    out_scale: float | None = None, out_zero_point: int = 0,
) -> Any:  # fmt: skip
    """What the sums mean, in float32, or quantized again."""
    out = sums.astype(SINGLE) * scale
    if bias is not None:
        out = out + bias
    if relu:
        out = xp.maximum(out, SINGLE.type(0))
    if out_scale is None:
        return xp.asarray(out)
    dtype = dtypes.from_numpy(codes)
    return quantize_codes_array(xp, xp.asarray(out), out_scale, out_zero_point, dtype)


def _serves_linear(input: Any, weight: Any, scale: Any, *others: Any, **options: Any) -> bool:
    has_rows = len(others) > 1 and others[1] is not None
    if has_rows and (options.get("out_scale") or options.get("relu") or not loops.is_available()):
        return False
    return int8.serves_linear(input, weight)


kernel(int8_linear, "cpu", when=_serves_linear)(int8.linear)


@kernel(int8_linear, "cuda")
def int8_linear_on_tensor_cores(
    input: Any, weight: Any, scale: Any, bias: Any = None, row_scale: Any = None,
    zero_point: int = 0, **finish: Any,
) -> Any:  # fmt: skip
    """Sums by cuBLASLt's product of int8, where it takes the sizes. Codes of uint8 become int8 by
    128 less, as does their zero point, which counts by the sums of the weight's rows."""
    xp = backends["cuda"].xp
    codes, zero = input.reshape(-1, input.shape[-1]), zero_point
    if codes.dtype == np.uint8:
        codes, zero = (codes ^ np.uint8(0x80)).view(np.int8), zero - 0x80
    sums = cuda_products.int_matmul(xp, codes, weight.T) if cuda_products.is_available(xp) else None
    if sums is None:
        return int8_linear_array(
            xp, input, weight, scale, bias, row_scale, zero_point=zero_point, **finish
        )
    if zero:
        sums = sums - zero * weight.sum(1, dtype=np.int32)
    sums = sums.reshape(*input.shape[:-1], len(weight))
    if row_scale is not None:
        sums = sums * row_scale[..., None]
    return _finished(xp, sums, scale, bias, input.dtype, **finish)


@composite
def int8_weight_linear(
    F: Any, input: Spec, weight: Index, scale: Index, bias: Spec | None = None
) -> Spec:
    """input @ (weight * scale).T + bias: float (..., k), int8 (m, k), float32 (m,) -> (..., m).

    The gradient goes to input and bias.
    """
    _columns("int8_weight_linear", input, weight)
    _require_per_output("int8_weight_linear", weight.shape[0], scale=scale)
    codes = as_dtype(F, weight, input.dtype)
    wide = F.mul(codes, as_dtype(F, F.unsqueeze(scale, dim=1), input.dtype))
    return F.linear(input, wide, bias)


@int8_weight_linear.array
def int8_weight_linear_array(xp: Any, input: Any, weight: Any, scale: Any, bias: Any = None) -> Any:
    """The scale after the product, on fewer numbers."""
    out = xp.matmul(input, weight.astype(input.dtype).T) * scale.astype(input.dtype)
    return out if bias is None else out + bias


def _multiplies(input: Any, weight: Any, scale: Any, bias: Any = None) -> bool:
    given = (input, scale, *(() if bias is None else (bias,)))
    is_single = all(a.dtype == SINGLE and a.flags.c_contiguous for a in given)
    return is_single and _has_loop(weight)


@kernel(int8_weight_linear, "cpu", when=_multiplies)
def int8_weight_linear_loop(input: Any, weight: Any, scale: Any, bias: Any = None) -> Any:
    """A few rows with the codes as they are; for more the weight is widened first."""
    from ..backends.cpu.loops import few_rows, quantization

    rows = input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
    if len(rows) <= FEW_ROWS:
        out = few_rows.product(rows, weight, bias, scale)
    else:
        out = products.linear(rows, quantization.dequantized_rows(weight, scale), bias)
    return out.reshape(*input.shape[:-1], len(weight))


# -- convolutions ----------------------------------------------------------------------------------


@primitive
def int8_convolution(
    input: Spec,
    weight: Index,
    scale: Index,
    bias: Index | None = None,
    *,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    groups: int,
    zero_point: int = 0,
    relu: bool = False,
    out_scale: float | None = None,
    out_zero_point: int = 0,
) -> Spec:
    """The convolution of codes (N, C, *sizes) of uint8 or int8 with a weight (O, C / groups,
    *kernel) of int8, times scale (O,), plus bias (O,); see `int8_linear` for what follows.

    What stands outside the input means 0.
    """
    _require_codes("int8_convolution", input, weight)
    _require_per_output("int8_convolution", weight.shape[0], scale=scale, bias=bias)
    shape = output_shape(
        tuple(input.shape), tuple(weight.shape), stride, _pairs(padding), dilation, groups
    )
    return Spec(shape, dtypes.float32 if out_scale is None else input.dtype)


def _pairs(padding: Shape) -> tuple[tuple[int, int], ...]:
    return tuple((p, p) for p in padding)


@int8_convolution.array
def int8_convolution_array(
    xp: Any, input: Any, weight: Any, scale: Any, bias: Any = None, *, stride: Shape,
    padding: Shape, dilation: Shape, groups: int, zero_point: int = 0, **finish: Any,
) -> Any:  # fmt: skip
    """Sums in floating-point numbers that hold them."""
    wide = _wide(math.prod(weight.shape[1:]))
    sums = convolution_array(
        xp, input.astype(wide) - wide(zero_point), weight.astype(wide), stride=stride,
        padding=_pairs(padding), dilation=dilation, groups=groups,
    )  # fmt: skip
    per_output = [None if a is None else a.reshape(-1, *(1,) * len(stride)) for a in (scale, bias)]
    return _finished(xp, sums, *per_output, input.dtype, **finish)


kernel(int8_convolution, "cpu", when=int8.serves_convolution)(int8.convolution)
