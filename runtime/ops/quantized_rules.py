"""What operations do with quantized tensors.

Those that only move elements move codes. A few act on the codes themselves, whose order is that of
the values. Pooling, means and functions with limits compute in float32 and quantize again.
Everything else is refused: arithmetic must say with which scale its result is to be quantized, as
`ao.nn.quantized.FloatFunctional` and its layers do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.quantized_keys import quantized_key
from ..core.creation import tensor
from ..core.devices import device
from ..core.dispatch import operations
from ..core.quantized_arrays import QuantizedArray, refusal, rules
from ..core.tensor import Tensor, wrap, wrap_view
from .clamping import clamp_numbers
from .copies import cast
from .joins import cat as cat_numbers
from .joins import stack as stack_numbers
from .quantized import (
    codes_of,
    dequantize,
    is_quantized,
    quantize_per_tensor,
    reduced,
)

Rule = Callable[..., Any]

MOVING = """
view_as_shape reshape_like permute_dims transpose expand_shape slice_view select_at narrow unbind
split_sizes strided index_elements flip_along roll_along gather pad_around
"""
"""Operations that move codes."""

REQUANTIZED = """
avg_pool adaptive_avg_pool mean_over max_pool clamp_numbers gelu hardtanh leaky_relu elu hardswish
resample
"""
"""Operations whose result is quantized as their input was."""

FIXED = {"sigmoid": (1 / 256, 0), "tanh": (2 / 256, 128), "hardsigmoid": (1 / 256, 0)}
"""Operations with a known range: scale and zero point of quint8 results; those of qint8 have 128
subtracted."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """A decorator: the function runs the operations `names` where an argument is quantized."""

    def register(function: Rule) -> Rule:
        rules.update(dict.fromkeys(names, function))
        return function

    return register


def _per_tensor(input: Tensor, name: str) -> QuantizedArray:
    array: QuantizedArray = input._array
    if array.axis is not None:
        raise refusal(f"{name} of a tensor quantized per channel", array.shape, array.dtype)
    return array


def _shown(input: Tensor, codes: Tensor, is_view: bool) -> Tensor:
    """`codes`, a part of input's codes, as a quantized tensor."""
    array = input._array.with_codes(codes._array)
    key = quantized_key(input.device, array.dtype)
    return wrap_view(array, key, input) if is_view else wrap(array, key)


def _moved(name: str) -> Rule:
    operation = operations[name]
    first = operation.array_names[0]

    def apply(**arguments: Any) -> Any:
        input = arguments.pop(first)
        _per_tensor(input, operation.label)
        out = operation.function(codes_of(input).detach(), **arguments)
        if isinstance(out, tuple):
            return tuple(_shown(input, part, operation.is_view) for part in out)
        return _shown(input, out, operation.is_view)

    return apply


def _requantized(name: str) -> Rule:
    operation = operations[name]
    first = operation.array_names[0]

    def apply(**arguments: Any) -> Any:
        input = arguments.pop(first)
        how = _per_tensor(input, operation.label)
        out = operation.function(dequantize(input), **arguments)
        values, *others = out if isinstance(out, tuple) else (out,)
        codes = quantize_per_tensor(values, how.scale, how.zero_point, how.dtype)
        return (codes, *others) if isinstance(out, tuple) else codes

    return apply


def _fixed(name: str) -> Rule:
    operation = operations[name]
    scale, zero_point = FIXED[name]

    def apply(input: Tensor, **arguments: Any) -> Any:
        array = _per_tensor(input, name)
        shift = 128 if array.codes.dtype.kind == "i" else 0
        out = operation.function(dequantize(input), **arguments)
        return quantize_per_tensor(out, scale, zero_point - shift, array.dtype)

    return apply


rules.update({name: _moved(name) for name in MOVING.split()})
rules.update({name: _requantized(name) for name in REQUANTIZED.split()})
rules.update({name: _fixed(name) for name in FIXED})


@rule("detached")
def detached(input: Tensor) -> Tensor:
    """The same memory."""
    return _shown(input, codes_of(input), True)


@rule("copied")
def copied(input: Tensor, memory_format: Any = None) -> Tensor:
    """The codes copied, by whatever scheme they are quantized."""
    codes = operations["copied"].function(codes_of(input).detach(), memory_format=memory_format)
    return _shown(input, codes, False)


@rule("relu")
def relu(input: Tensor) -> Tensor:
    """Codes below that of 0 become it."""
    array = _per_tensor(input, "relu")
    out = clamp_numbers(codes_of(input).detach(), min=array.zero_point)
    return _shown(input, out, False)


@rule("cat")
def cat(tensors: list[Tensor], dim: int = 0) -> Tensor:
    """Quantized as the first one is."""
    return _joined(cat_numbers, tensors, dim)


@rule("stack")
def stack(tensors: list[Tensor], dim: int = 0) -> Tensor:
    """Quantized as the first one is."""
    return _joined(stack_numbers, tensors, dim)


def _joined(join: Rule, tensors: list[Tensor], dim: int) -> Tensor:
    if not all(is_quantized(t) for t in tensors):
        raise refusal("joining quantized tensors with others", tensors[0].shape, tensors[0].dtype)
    first = _per_tensor(tensors[0], "cat")
    same = {(t._array.dtype, t._array.scale, t._array.zero_point) for t in tensors}
    if len(same) == 1:
        return _shown(tensors[0], join([codes_of(t).detach() for t in tensors], dim), False)
    values = join([dequantize(t) for t in tensors], dim)
    return quantize_per_tensor(values, first.scale, first.zero_point, first.dtype)


@rule("pad_constant")
def padded(input: Tensor, pad: Any, value: float = 0.0) -> Tensor:
    """The code of `value` around."""
    how = _per_tensor(input, "pad")
    around = quantize_per_tensor(tensor(value), how.scale, how.zero_point, how.dtype)
    out = operations["pad_constant"].function(
        codes_of(input).detach(), pad=pad, value=int(around._array.codes)
    )
    return _shown(input, out, False)


def _comparison(name: str) -> Rule:
    def apply(input: Any, other: Any) -> Any:
        values = [dequantize(x) if is_quantized(x) else x for x in (input, other)]
        return operations[name].function(*values)

    return apply


rules.update({name: _comparison(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")})


@rule("cast")
def converted(input: Tensor, dtype: Any) -> Tensor:
    """To float32, the values. Raises: DTypeError for other types."""
    if dtype is input.dtype:
        return input
    if not dtype.is_floating_point:
        raise refusal(f"conversion to {dtype}", input.shape, input.dtype)
    return cast(dequantize(input), dtype=dtype)


def moved_to(input: Tensor, place: device) -> Tensor:
    """The quantized tensor on another device, with its scales."""
    array: QuantizedArray = input._array
    parts = [codes_of(input).detach().to(place)._array]
    for part in (array.scale, array.zero_point):
        is_number = array.axis is None
        parts.append(part if is_number else wrap(part, input._key.of_array(part)).to(place)._array)
    moved = QuantizedArray(parts[0], array.dtype, parts[1], parts[2], array.axis)
    return wrap(moved, quantized_key(place, array.dtype))


rules["to_device"] = moved_to
rules["reduce"] = reduced
