"""Products, and products of codes."""

from __future__ import annotations

from ...core.tensor import Tensor
from .registry import operator, torch


@operator("MatMul")
def matmul(x: Tensor, y: Tensor) -> Tensor:
    """NumPy's product."""
    return torch.matmul(x, y)  # type: ignore[no-any-return]


@operator("Gemm")
def gemm(
    x: Tensor, y: Tensor, c: Tensor | None = None, *, alpha: float = 1.0, beta: float = 1.0,
    transA: int = 0, transB: int = 0, broadcast: int = 0,
) -> Tensor:  # fmt: skip
    """alpha * x @ y + beta * c."""
    x = x.t() if transA else x
    if transB and alpha == 1 and beta == 1 and (c is None or c.ndim == 1) and x.is_floating_point():
        return torch.nn.functional.linear(x, y, c)  # type: ignore[no-any-return]
    out = x @ (y.t() if transB else y)
    out = out if alpha == 1 else (alpha * out).to(out.dtype)
    return out if c is None else out + (c if beta == 1 else (beta * c).to(out.dtype))


@operator("Einsum")
def einsum(*xs: Tensor, equation: str) -> Tensor:
    """By the letters of an equation."""
    return torch.einsum(equation, *xs)  # type: ignore[no-any-return]


def _centred(x: Tensor, point: Tensor | None, axis: int) -> Tensor:
    """Codes as int32 (or wider numbers) about their zero point."""
    wide = x.to(torch.int32)
    if point is None:
        return wide
    return wide - _along(point.to(torch.int32), x, axis)


def _along(parameter: Tensor, x: Tensor, axis: int) -> Tensor:
    """A scale or zero point for each slice of a dimension, so that it broadcasts."""
    if parameter.ndim != 1 or parameter.numel() == 1:
        return parameter.reshape(()) if parameter.numel() == 1 else parameter
    shape = [1] * x.ndim
    shape[axis] = -1
    return parameter.reshape(shape)


@operator("MatMulInteger")
def matmul_integer(
    x: Tensor, y: Tensor, x_point: Tensor | None = None, y_point: Tensor | None = None
) -> Tensor:
    """A product of codes in int32; zero points are for rows of x and columns of y."""
    return _centred(x, x_point, -2) @ _centred(y, y_point, -1)


def _blocked(parameter: Tensor, x: Tensor, axis: int, block_size: int) -> Tensor:
    """Scales along `axis`, of which each is for `block_size` elements if that is not 0."""
    if not block_size:
        return _along(parameter, x, axis)
    return parameter.repeat_interleave(block_size, dim=axis).narrow(axis, 0, x.shape[axis])


LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}


@operator("QuantizeLinear")
def quantize(
    x: Tensor, scale: Tensor, point: Tensor | None = None, *, axis: int = 1, block_size: int = 0,
    output_dtype: int = 0, precision: int = 0, saturate: int = 1,
) -> Tensor:  # fmt: skip
    """round(x / scale) + zero point, within the limits of the codes."""
    dtype = torch.uint8 if point is None else point.dtype
    low, high = LIMITS[str(dtype).removeprefix("torch.")]
    steps = torch.round(x / _blocked(scale, x, axis, block_size).to(x.dtype))
    if point is not None:
        steps = steps + _blocked(point, x, axis, block_size).to(x.dtype)
    return steps.clamp(low, high).to(dtype)  # type: ignore[no-any-return]


@operator("DequantizeLinear")
def dequantize(
    x: Tensor, scale: Tensor, point: Tensor | None = None, *, axis: int = 1, block_size: int = 0,
    output_dtype: int = 0,
) -> Tensor:  # fmt: skip
    """(code - zero point) * scale."""
    codes = x.to(torch.int32)
    if point is not None:
        codes = codes - _blocked(point, x, axis, block_size).to(torch.int32)
    return codes.to(scale.dtype) * _blocked(scale, x, axis, block_size)


@operator("DynamicQuantizeLinear")
def dynamic_quantize(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """uint8 codes of a tensor by its own range, which includes 0; scale and zero point."""
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    point = torch.round(-low / scale).clamp(0, 255).to(torch.uint8)
    return quantize(x, scale, point), scale, point


@operator("QLinearMatMul")
def quantized_matmul(
    x: Tensor, x_scale: Tensor, x_point: Tensor, y: Tensor, y_scale: Tensor, y_point: Tensor,
    scale: Tensor, point: Tensor,
) -> Tensor:  # fmt: skip
    """A product of codes as codes."""
    sums = matmul_integer(x, y, x_point, y_point).to(torch.float32)
    wide = sums * (_along(x_scale, x, -2) * _along(y_scale, y, -1) / scale).to(torch.float32)
    low, high = LIMITS[str(point.dtype).removeprefix("torch.")]
    return (torch.round(wide) + point.to(torch.float32)).clamp(low, high).to(point.dtype)  # type: ignore[no-any-return]
