"""Fake quantization: numbers rounded to those that codes can stand for, for training.

Rounding has a derivative of 0 almost everywhere; the gradient goes straight through it where the
code is within its limits, and is 0 outside.
Source: arXiv:1308.3432, section 4, the straight-through estimator; arXiv:1712.05877, section 3.
"""

from __future__ import annotations

from typing import Any

from ..core import dtypes
from ..core.creation import tensor
from ..core.tensor import Tensor
from ..errors import DTypeError, ShapeError
from .declare import Mask, Spec, pointwise
from .shapes import normalized_dim

__all__ = [
    "fake_quantize_per_channel_affine",
    "fake_quantize_per_tensor_affine",
]


@pointwise(node_name="FakeQuantizePerTensorAffineCachemask", refuses="bool integer complex")
def fake_quantize(
    m: Any,
    input: Spec,
    scale: Mask,
    zero_point: Mask,
    *,
    quant_min: float,
    quant_max: float,
) -> Spec:
    """(q - zero_point) * scale for the code q = round(input / scale) + zero_point, limited to
    [quant_min, quant_max]; scale and zero_point broadcast."""
    code = m.round(input * (1.0 / scale)) + zero_point
    return (m.minimum(m.maximum(code, quant_min), quant_max) - zero_point) * scale


@fake_quantize.gradient
def fake_quantize_gradient(
    m: Any, g: Any, out: Any, input: Any, scale: Any, zero_point: Any, quant_min: Any,
    quant_max: Any,
) -> Any:  # fmt: skip
    """g where the code was within the limits."""
    code = m.round(input * (1.0 / scale)) + zero_point
    return m.where((code >= quant_min) & (code <= quant_max), g, 0.0), 0.0, 0.0


def _require(name: str, input: Tensor, quant_min: int, quant_max: int) -> None:
    if not input.is_floating_point():
        raise DTypeError(
            f"{name}: expected an input of floating-point numbers. Got {input.dtype}. Convert it "
            "with .float()."
        )
    if quant_min > quant_max:
        raise RuntimeError(
            f"{name}: expected quant_min not above quant_max. Got {quant_min} and {quant_max}."
        )


def fake_quantize_per_tensor_affine(
    input: Tensor, scale: Any, zero_point: Any, quant_min: int, quant_max: int
) -> Tensor:
    """input rounded to the multiples of `scale` that codes from quant_min to quant_max stand for:
    (clamp(round(input / scale) + zero_point, quant_min, quant_max) - zero_point) * scale.

    `scale` and `zero_point` are numbers or tensors of one element. The gradient is that of the
    output where input is in range, 0 elsewhere.

    Example:
        >>> torch.fake_quantize_per_tensor_affine(torch.tensor([0.26, 9.0]), 0.1, 0, 0, 15)
        tensor([0.3000, 1.5000])
    """
    _require("fake_quantize_per_tensor_affine", input, quant_min, quant_max)
    steps = [_parameter(value, input).reshape(()) for value in (scale, zero_point)]
    return fake_quantize(input, *steps, quant_min=quant_min, quant_max=quant_max)


def fake_quantize_per_channel_affine(
    input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int
) -> Tensor:
    """`fake_quantize_per_tensor_affine` with a scale and a zero point for each index of dimension
    `axis`, tensors of one dimension.

    Raises: ShapeError for another number of them.
    """
    name = "fake_quantize_per_channel_affine"
    _require(name, input, quant_min, quant_max)
    axis = normalized_dim(axis, input.ndim, name)
    count = input.shape[axis]
    if tuple(scale.shape) != (count,) or tuple(zero_point.shape) != (count,):
        raise ShapeError(
            f"{name}: expected {count} scales and zero points, one for each index of dimension "
            f"{axis} of input {tuple(input.shape)}. Got {tuple(scale.shape)} and "
            f"{tuple(zero_point.shape)}."
        )
    sizes = [count if d == axis else 1 for d in range(input.ndim)]
    steps = [_parameter(value, input).reshape(sizes) for value in (scale, zero_point)]
    return fake_quantize(input, *steps, quant_min=quant_min, quant_max=quant_max)


def _parameter(value: Any, input: Tensor) -> Tensor:
    """A scale or a zero point where input is, in its type but for halves, of which it is too
    coarse."""
    dtype = dtypes.float32 if input.dtype.itemsize == 2 else input.dtype
    if isinstance(value, Tensor):
        return value.detach().to(input.device, dtype)
    return tensor(value, dtype=dtype, device=input.device)
