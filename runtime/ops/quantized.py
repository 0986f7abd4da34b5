"""Quantized tensors: making them, reading them, and what they tell of themselves.

A quantized tensor is a `Tensor` whose array is a `core.quantized_arrays.QuantizedArray`. What
operations do with one is said by the rules of `ops.quantized_rules`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.quantized_keys import quantized_key
from ..core import dtypes, observers
from ..core.devices import device
from ..core.dispatch import key_of
from ..core.quantized_arrays import QuantizedArray, qscheme
from ..core.tensor import Tensor, wrap, wrap_view
from ..errors import DTypeError, ShapeError
from .int8 import dequantize_codes, quantize_codes, range_parameters
from .shapes import normalized_dim

__all__ = [
    "_make_per_channel_quantized_tensor",
    "_make_per_tensor_quantized_tensor",
    "dequantize",
    "int_repr",
    "q_per_channel_axis",
    "q_per_channel_scales",
    "q_per_channel_zero_points",
    "q_scale",
    "q_zero_point",
    "quantize_per_channel",
    "quantize_per_tensor",
    "quantize_per_tensor_dynamic",
]

QUANTIZED = (dtypes.qint8, dtypes.quint8, dtypes.qint32)


def is_quantized(tensor: Any) -> bool:
    """Whether `tensor` is a quantized tensor."""
    return isinstance(tensor, Tensor) and tensor._array.__class__ is QuantizedArray


def wrap_quantized(array: QuantizedArray, like: Tensor) -> Tensor:
    """A tensor of `array`, whose codes lie where `like` does."""
    return wrap(array, quantized_key(like.device, array.dtype))


def codes_of(tensor: Tensor) -> Tensor:
    """The codes of a quantized tensor, in its memory."""
    key = key_of(tensor.device, dtypes.codes_of(tensor.dtype))
    return wrap_view(tensor._array.codes, key, tensor)


def _require_quantized(tensor: Any, name: str) -> QuantizedArray:
    if not is_quantized(tensor):
        raise DTypeError(
            f"{name}: expected a quantized tensor. Got one of {tensor.dtype}, shape "
            f"{tuple(tensor.shape)}. Use torch.quantize_per_tensor(x, scale, zero_point, "
            "torch.quint8)."
        )
    return tensor._array


def _require_numbers(name: str, input: Any, dtype: Any) -> None:
    if dtype not in QUANTIZED:
        raise DTypeError(
            f"{name}: expected dtype torch.qint8, torch.quint8 or torch.qint32. Got {dtype}."
        )
    if not isinstance(input, Tensor) or input.dtype is not dtypes.float32:
        found = input.dtype if isinstance(input, Tensor) else type(input).__name__
        raise DTypeError(f"{name}: expected a tensor of float32. Got {found}. Use .float() first.")


def _require_zero_point(name: str, zero_point: int, dtype: dtypes.dtype) -> None:
    low, high = dtypes.limits_of(dtype.numpy)
    if not low <= zero_point <= high:
        raise RuntimeError(
            f"{name}: expected a zero_point from {low} to {high}, the codes of "
            f"{dtype}. Got {zero_point}."
        )


# -- making ----------------------------------------------------------------------------------------


def quantize_per_tensor(input: Any, scale: Any, zero_point: Any, dtype: dtypes.dtype) -> Any:
    """The quantized tensor of codes clamp(round(input / scale) + zero_point), in the limits of
    `dtype`: torch.qint8, torch.quint8 or torch.qint32. Halves are rounded to the even one.

    A list of tensors gives a list, by tensors of scales and zero points.
    Raises: RuntimeError for an input that is not float32, a scale that is not above 0, and a zero
    point that is no code.

    Example:
        >>> torch.quantize_per_tensor(torch.tensor([-1.0, 0.25]), 0.5, 2, torch.quint8).int_repr()
        tensor([0, 2], dtype=torch.uint8)
    """
    if isinstance(input, list | tuple):
        given = zip(input, scale, zero_point, strict=True)
        return [quantize_per_tensor(x, s, z, dtype) for x, s, z in given]
    name = "quantize_per_tensor"
    _require_numbers(name, input, dtype)
    scale, zero_point = float(scale), int(zero_point)
    if not 0 < scale < float("inf"):
        raise RuntimeError(f"{name}: expected a scale above 0. Got {scale}.")
    _require_zero_point(name, zero_point, dtype)
    codes = quantize_codes(
        input.detach(), scale=scale, zero_point=zero_point, dtype=dtypes.codes_of(dtype)
    )
    return wrap_quantized(QuantizedArray(codes._array, dtype, scale, zero_point), input)


def quantize_per_channel(
    input: Tensor, scales: Tensor, zero_points: Tensor, axis: int, dtype: dtypes.dtype
) -> Tensor:
    """`quantize_per_tensor` with a scale and a zero point for each index of dimension `axis`.

    Zero points of a floating-point type are added before rounding.
    """
    name = "quantize_per_channel"
    _require_numbers(name, input, dtype)
    axis = normalized_dim(axis, input.ndim, name)
    for word, x in (("scales", scales), ("zero_points", zero_points)):
        if tuple(x.shape) != (input.shape[axis],):
            raise ShapeError(
                f"{name}: expected {word} of shape {(input.shape[axis],)}, one for each index of "
                f"dimension {axis} of input {tuple(input.shape)}. Got {tuple(x.shape)}."
            )
    steps, zeros = _channel_parameters(scales, zero_points, input)
    along = tuple(-1 if d == axis else 1 for d in range(input.ndim))
    inverse = (1 / steps.astype(np.float32)).reshape(along)
    scaled = input._array * inverse
    xp = input._key.backend.xp
    if zeros.dtype.kind == "f":
        whole = xp.rint(scaled + zeros.reshape(along))
    else:
        whole = xp.rint(scaled).astype(np.float64) + zeros.reshape(along)
    low, high = map(float, dtypes.limits_of(dtype.numpy))
    codes = xp.fmin(xp.fmax(whole, low), high).astype(dtype.numpy)
    return wrap_quantized(QuantizedArray(codes, dtype, steps, zeros, axis), input)


def _channel_parameters(scales: Tensor, zero_points: Tensor, like: Tensor) -> tuple[Any, Any]:
    """Their arrays where `like` lies, in the types in which they are kept."""
    is_float = zero_points.is_floating_point()
    types = (dtypes.float32, dtypes.float32) if is_float else (dtypes.float64, dtypes.int64)
    pair = zip((scales, zero_points), types, strict=True)
    steps, zeros = (x.detach().to(like.device, t)._array.copy() for x, t in pair)
    return steps, zeros


def quantize_per_tensor_dynamic(
    input: Tensor, dtype: dtypes.dtype, reduce_range: bool = False
) -> Tensor:
    """`quantize_per_tensor` with the scale and zero point that fit the range of input's values;
    `reduce_range` leaves the upper half of the codes unused, see `dynamic_parameters`."""
    _require_numbers("quantize_per_tensor_dynamic", input, dtype)
    low, high = dtypes.limits_of(dtype.numpy)
    if reduce_range:
        low, high = low // 2, high // 2
    scale, zero_point = dynamic_parameters(input, low, high)
    return quantize_per_tensor(input, scale, zero_point, dtype)


def dynamic_parameters(input: Tensor, low: int, high: int) -> tuple[float, int]:
    """The scale and the zero point with which codes from `low` to `high` cover input's values and
    0, which is a code itself.

    Raises: RuntimeError in a trace, which would keep the range of one input for all, and for
    values that are not finite.
    """
    if observers.is_traced():
        raise RuntimeError(
            "Dynamic quantization: expected no trace, as the range of each input is read by "
            "Python. Export the model before it is quantized, and give the program to "
            "torch.onnx.quantized."
        )
    if not input.numel():
        return 1.0, 0
    array = input.detach()._array
    return range_parameters(float(array.min()), float(array.max()), low, high)


def _make_per_tensor_quantized_tensor(input: Tensor, scale: float, zero_point: int) -> Tensor:
    """The quantized tensor of the codes `input`, of int8, uint8 or int32."""
    array = QuantizedArray(input._array.copy(), _quantized_of(input), float(scale), int(zero_point))
    return wrap_quantized(array, input)


def _make_per_channel_quantized_tensor(
    input: Tensor, scale: Tensor, zero_point: Tensor, axis: int
) -> Tensor:
    """The same with a scale and a zero point for each index of dimension `axis`."""
    steps, zeros = _channel_parameters(scale, zero_point, input)
    array = QuantizedArray(input._array.copy(), _quantized_of(input), steps, zeros, axis)
    return wrap_quantized(array, input)


def _quantized_of(codes: Tensor) -> dtypes.dtype:
    for dtype in QUANTIZED:
        if dtypes.codes_of(dtype) is codes.dtype:
            return dtype
    raise DTypeError(f"Expected codes of int8, uint8 or int32. Got {codes.dtype}.")


# -- reading ---------------------------------------------------------------------------------------


def dequantize(input: Any) -> Any:
    """The values of a quantized tensor, (q - zero_point) * scale in float32; of each, for a list.
    A tensor that is not quantized comes back in float32."""
    if isinstance(input, list | tuple):
        return [dequantize(x) for x in input]
    if not is_quantized(input):
        return input.float()
    array, codes = input._array, codes_of(input).detach()
    if array.axis is None:
        return dequantize_codes(codes, scale=array.scale, zero_point=array.zero_point)
    return wrap(dequantized(array), key_of(input.device, dtypes.float32))


def dequantized(array: QuantizedArray) -> Any:
    """The values of a quantized array as a bare array of float32."""
    along = tuple(-1 if d == array.axis else 1 for d in range(array.ndim))
    zero, scale = array.zero_point, array.scale
    if array.axis is not None:
        zero, scale = zero.reshape(along), scale.astype(np.float32).reshape(along)
    return (array.codes.astype(np.float64) - zero).astype(np.float32) * scale


def int_repr(input: Tensor) -> Tensor:
    """The codes of a quantized tensor: int8, uint8 or int32, in memory of their own."""
    codes = _require_quantized(input, "int_repr").codes
    return wrap(codes.copy(), key_of(input.device, dtypes.codes_of(input.dtype)))


def q_scale(input: Tensor) -> float:
    """The scale of a tensor quantized per tensor. Raises: RuntimeError for any other."""
    return float(_per_tensor(input, "q_scale").scale)


def q_zero_point(input: Tensor) -> int:
    """The code of 0 of a tensor quantized per tensor. Raises: RuntimeError for any other."""
    return int(_per_tensor(input, "q_zero_point").zero_point)


def q_per_channel_scales(input: Tensor) -> Tensor:
    """The scales of a tensor quantized per channel. Raises: RuntimeError for any other."""
    return _channel_tensor(input, "q_per_channel_scales", "scale")


def q_per_channel_zero_points(input: Tensor) -> Tensor:
    """The codes of 0 of a tensor quantized per channel. Raises: RuntimeError for any other."""
    return _channel_tensor(input, "q_per_channel_zero_points", "zero_point")


def q_per_channel_axis(input: Tensor) -> int:
    """The dimension of a tensor quantized per channel that the scales are for."""
    axis = _per_channel(input, "q_per_channel_axis").axis
    assert axis is not None
    return axis


def _per_tensor(input: Tensor, name: str) -> QuantizedArray:
    array = _require_quantized(input, name)
    if array.axis is not None:
        raise RuntimeError(
            f"{name}: expected a tensor quantized per tensor. Got {array.scheme}. Use "
            "q_per_channel_scales() and q_per_channel_zero_points()."
        )
    return array


def _per_channel(input: Tensor, name: str) -> QuantizedArray:
    array = _require_quantized(input, name)
    if array.axis is None:
        raise RuntimeError(
            f"{name}: expected a tensor quantized per channel. Got {array.scheme}. Use q_scale() "
            "and q_zero_point()."
        )
    return array


def _channel_tensor(input: Tensor, name: str, what: str) -> Tensor:
    values = getattr(_per_channel(input, name), what)
    return wrap(values.copy(), key_of(input.device, dtypes.from_numpy(values.dtype)))


def _qscheme(self: Tensor) -> qscheme:
    """The scheme of a quantized tensor, such as torch.per_tensor_affine."""
    return _require_quantized(self, "qscheme").scheme


def quantizer_of(tensor: Tensor) -> tuple[Any, ...]:
    """What tells the values from the codes: scale and zero point, and behind tensors of them, the
    axis."""
    if tensor._array.axis is None:
        return q_scale(tensor), q_zero_point(tensor)
    steps = q_per_channel_scales(tensor), q_per_channel_zero_points(tensor)
    return *steps, q_per_channel_axis(tensor)


METHODS = {
    "dequantize": dequantize, "int_repr": int_repr, "q_scale": q_scale,
    "q_zero_point": q_zero_point, "q_per_channel_scales": q_per_channel_scales,
    "q_per_channel_zero_points": q_per_channel_zero_points,
    "q_per_channel_axis": q_per_channel_axis, "qscheme": _qscheme,
    "is_quantized": property(is_quantized),
}  # fmt: skip
for _name, _member in METHODS.items():
    setattr(Tensor, _name, _member)


# -- pickling --------------------------------------------------------------------------------------


def reduced(tensor: Tensor, state: dict[str, Any]) -> tuple[Any, ...]:
    """What `Tensor.__reduce_ex__` gives for a quantized tensor."""
    return rebuild, (type(tensor), tensor.cpu()._array, str(tensor.device), state)


def rebuild(cls: type[Tensor], array: QuantizedArray, place: str, state: Any) -> Tensor:
    """The tensor that `reduced` took apart."""
    out = wrap(array, quantized_key(device("cpu"), array.dtype)).to(place)
    out.__class__ = cls
    vars(out).update(state)
    return out
