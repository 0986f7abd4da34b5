"""Sums, products and joins of quantized tensors, quantized again with a scale that is given."""

from __future__ import annotations

from typing import Any

from ..core import dtypes
from ..core.quantized_arrays import QuantizedArray
from ..core.tensor import Tensor
from ..errors import DTypeError
from .clamping import clamp_numbers
from .int8 import combine_codes
from .joins import cat
from .linalg import matmul
from .quantized import (
    codes_of,
    dequantize,
    is_quantized,
    quantize_per_tensor,
    wrap_quantized,
)


def _numbers(x: Any, name: str) -> Any:
    """What a quantized tensor means; Python numbers are as they are."""
    if is_quantized(x):
        return dequantize(x)
    if isinstance(x, Tensor):
        raise DTypeError(
            f"{name}: expected quantized tensors. Got {x.dtype}. Put a QuantStub before it."
        )
    return x


def _quantized(out: Tensor, like: Any, scale: Any, zero_point: Any) -> Tensor:
    made: Tensor = quantize_per_tensor(out, float(scale), int(zero_point), like.dtype)
    return made


def _combined(
    name: str, x: Any, y: Any, scale: Any, zero_point: Any, product: bool, relu: bool
) -> Tensor:
    like = x if is_quantized(x) else y
    steps = float(scale), int(zero_point)
    if is_quantized(x) and is_quantized(y) and x.dtype is y.dtype is not dtypes.qint32:
        arrays = x._array, y._array
        if arrays[0].axis is None and arrays[1].axis is None:
            codes = combine_codes(
                codes_of(x).detach(), codes_of(y).detach(),
                scales=tuple(a.scale for a in arrays),
                zero_points=tuple(a.zero_point for a in arrays),
                product=product, relu=relu, out_scale=steps[0], out_zero_point=steps[1],
            )  # fmt: skip
            return wrap_quantized(QuantizedArray(codes._array, like.dtype, *steps), codes)
    a, b = _numbers(x, name), _numbers(y, name)
    out = a * b if product else a + b
    return _quantized(clamp_numbers(out, min=0.0) if relu else out, like, *steps)


def quantized_add(x: Any, y: Any, scale: Any, zero_point: Any) -> Tensor:
    """x + y, of quantized tensors that broadcast, or of one and a number, with that scale and zero
    point in the dtype of x.

    Raises: DTypeError for tensors that are not quantized.
    """
    return _combined("quantized_add", x, y, scale, zero_point, False, False)


def quantized_add_relu(x: Any, y: Any, scale: Any, zero_point: Any) -> Tensor:
    """max(x + y, 0); see `quantized_add`."""
    return _combined("quantized_add_relu", x, y, scale, zero_point, False, True)


def quantized_mul(x: Any, y: Any, scale: Any, zero_point: Any) -> Tensor:
    """x * y; see `quantized_add`."""
    return _combined("quantized_mul", x, y, scale, zero_point, True, False)


def quantized_mul_relu(x: Any, y: Any, scale: Any, zero_point: Any) -> Tensor:
    """max(x * y, 0); see `quantized_add`."""
    return _combined("quantized_mul_relu", x, y, scale, zero_point, True, True)


def quantized_matmul(x: Any, y: Any, scale: Any, zero_point: Any) -> Tensor:
    """x @ y; see `quantized_add`."""
    out = matmul(*(_numbers(t, "quantized_matmul") for t in (x, y)))
    return _quantized(out, x, scale, zero_point)


def quantized_cat(tensors: Any, scale: Any, zero_point: Any, dim: int = 0) -> Tensor:
    """The tensors one after the other along `dim`; see `quantized_add`."""
    out = cat([_numbers(t, "quantized_cat") for t in tensors], dim)
    return _quantized(out, tensors[0], scale, zero_point)
