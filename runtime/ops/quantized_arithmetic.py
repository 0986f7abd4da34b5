"""Sums, products and joins of quantized tensors, quantized again with a scale that is given."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import DTypeError
from .activations import relu
from .joins import cat
from .linalg import matmul
from .quantized import dequantize, is_quantized, quantize_per_tensor


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


def quantized_add(x: Any, y: Any, scale: Any, zero_point: Any) -> Tensor:
    """x + y, of quantized tensors that broadcast, or of one and a number, with that scale and zero
    point in the dtype of x.

    Raises: DTypeError for tensors that are not quantized.
    """
    out = _numbers(x, "quantized_add") + _numbers(y, "quantized_add")
    return _quantized(out, x if is_quantized(x) else y, scale, zero_point)


def quantized_add_relu(x: Any, y: Any, scale: Any, zero_point: Any) -> Tensor:
    """max(x + y, 0); see `quantized_add`."""
    out = relu(_numbers(x, "quantized_add_relu") + _numbers(y, "quantized_add_relu"))
    return _quantized(out, x if is_quantized(x) else y, scale, zero_point)


def quantized_mul(x: Any, y: Any, scale: Any, zero_point: Any) -> Tensor:
    """x * y; see `quantized_add`."""
    out = _numbers(x, "quantized_mul") * _numbers(y, "quantized_mul")
    return _quantized(out, x if is_quantized(x) else y, scale, zero_point)


def quantized_mul_relu(x: Any, y: Any, scale: Any, zero_point: Any) -> Tensor:
    """max(x * y, 0); see `quantized_add`."""
    out = relu(_numbers(x, "quantized_mul_relu") * _numbers(y, "quantized_mul_relu"))
    return _quantized(out, x if is_quantized(x) else y, scale, zero_point)


def quantized_matmul(x: Any, y: Any, scale: Any, zero_point: Any) -> Tensor:
    """x @ y; see `quantized_add`."""
    out = matmul(*(_numbers(t, "quantized_matmul") for t in (x, y)))
    return _quantized(out, x, scale, zero_point)


def quantized_cat(tensors: Any, scale: Any, zero_point: Any, dim: int = 0) -> Tensor:
    """The tensors one after the other along `dim`; see `quantized_add`."""
    out = cat([_numbers(t, "quantized_cat") for t in tensors], dim)
    return _quantized(out, tensors[0], scale, zero_point)
