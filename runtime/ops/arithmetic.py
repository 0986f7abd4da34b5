"""Arithmetic, element by element; operands broadcast."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from ..autograd.node import named
from ..core import dtypes
from ..errors import DTypeError, ShapeError
from . import shapes
from .declare import Mask, Spec, composite, pointwise

__all__ = [
    "abs",
    "add",
    "addcdiv",
    "addcmul",
    "ceil",
    "copysign",
    "deg2rad",
    "div",
    "floor",
    "floor_divide",
    "fmod",
    "frac",
    "gcd",
    "heaviside",
    "lcm",
    "lerp",
    "masked_fill",
    "mul",
    "neg",
    "nextafter",
    "positive",
    "rad2deg",
    "remainder",
    "round",
    "rsub",
    "sign",
    "sub",
    "trunc",
]


@pointwise(name="plus", node_name="Add")
def plus(m: Any, input: Spec, other: Spec) -> Spec:
    """input + other."""
    return input + other


@pointwise(name="minus", node_name="Sub")
def minus(m: Any, input: Spec, other: Spec) -> Spec:
    """input - other."""
    return input - other


@pointwise
def mul(m: Any, input: Spec, other: Spec) -> Spec:
    """input * other."""
    return input * other


@pointwise(name="divide", node_name="Div", float_result=True)
def divide(m: Any, input: Spec, other: Spec) -> Spec:
    """input / other as floating-point numbers."""
    return input / other


@divide.gradient
def divide_gradient(m: Any, g: Any, out: Any, input: Any, other: Any) -> Any:
    """Of the inputs alone, so that the quotient may be written to."""
    return g / other, -g * (input / other / other)


@composite
def add(F: Any, input: Spec, other: Spec, *, alpha: float = 1) -> Spec:
    """input + alpha * other.

    Example:
        >>> torch.add(torch.tensor([1.0, 2.0]), 10)
        tensor([11., 12.])
    """
    return F.plus(input, other if alpha == 1 else _scaled(F, "add", other, alpha, input))


@composite
def sub(F: Any, input: Spec, other: Spec, *, alpha: float = 1) -> Spec:
    """input - alpha * other."""
    return F.minus(input, other if alpha == 1 else _scaled(F, "sub", other, alpha, input))


@composite
def rsub(F: Any, input: Spec, other: Spec, *, alpha: float = 1) -> Spec:
    """other - alpha * input."""
    shapes.require_tensors("rsub", input=input)
    return F.minus(other, input if alpha == 1 else _scaled(F, "rsub", input, alpha, other))


def _category(*operands: Any) -> int:
    """Of what kind the numbers in tensors and numbers together are: bool, int, float, complex."""
    kinds = [getattr(x, "dtype", None) or dtypes.of_number(x) for x in operands]
    return max(d.category for d in kinds)


def _scaled(F: Any, operation: str, factor: Any, alpha: Any, other: Any) -> Any:
    """factor * alpha; a fraction times integers would not be one, and is refused."""
    category = _category(factor, other)
    if category < dtypes.FLOAT and isinstance(alpha, float):
        raise DTypeError(
            f"{operation}: expected an integer as alpha for integral tensors. Got {alpha}. "
            "Convert the tensors to a floating-point dtype."
        )
    alpha = alpha if category else bool(alpha)
    return F.mul(factor, alpha) if hasattr(factor, "shape") else factor * alpha


@composite
def div(F: Any, input: Spec, other: Spec, *, rounding_mode: str | None = None) -> Spec:
    """input / other; `rounding_mode` "floor" or "trunc" rounds the quotient to an integer.

    Raises: RuntimeError for another rounding mode.
    """
    if rounding_mode is None:
        return F.divide(input, other)
    if rounding_mode == "floor":
        return F.floor_divide(input, other)
    if rounding_mode == "trunc":
        floats = [x for x in (input, other) if not hasattr(x, "dtype") or x.dtype.category >= 2]
        if any(hasattr(x, "dtype") or isinstance(x, float) for x in floats):
            return F.trunc_quotient(input, other)
        return F.trunc_divide(input, other)
    raise RuntimeError(
        f"div: expected rounding_mode None, 'trunc' or 'floor'. Got {rounding_mode!r}."
    )


@pointwise
def floor_divide(m: Any, input: Spec, other: Spec) -> Spec:
    """The largest integer not above input / other, in the operands' dtype."""
    return m.floor_divide(input, other)


@pointwise
def trunc_divide(m: Any, input: Spec, other: Spec) -> Spec:
    """input / other rounded towards zero, in the operands' dtype."""
    # Through fmod integers stay exact where a floating-point quotient would round.
    return m.floor_divide(input - m.fmod(input, other), other)


@pointwise
def trunc_quotient(m: Any, input: Spec, other: Spec) -> Spec:
    """input / other rounded towards zero, for floating-point numbers."""
    return m.trunc(input / other)


@pointwise
def remainder(m: Any, input: Spec, other: Spec) -> Spec:
    """input - other * floor(input / other): has the sign of `other`."""
    return m.remainder(input, other)


@pointwise(tensors=1)
def fmod(m: Any, input: Spec, other: Spec) -> Spec:
    """input - other * trunc(input / other): has the sign of `input`."""
    return m.fmod(input, other)


@pointwise
def neg(m: Any, input: Spec) -> Spec:
    """-input."""
    return -input


@pointwise(name="abs_of_number", node_name="Abs")
def abs_of_number(m: Any, input: Spec) -> Spec:
    """|input| of real numbers."""
    return m.abs(input)


@composite
def abs(F: Any, input: Spec) -> Spec:
    """|input|; of complex numbers a real tensor."""
    return F.complex_abs(input) if input.dtype.is_complex else F.abs_of_number(input)


@pointwise(name="sign_of_number", node_name="Sign", refuses="complex")
def sign_of_number(m: Any, input: Spec) -> Spec:
    """-1, 0 or 1."""
    return m.sign(input)


@composite
def sign(F: Any, input: Spec) -> Spec:
    """-1, 0 or 1; truth values as they are."""
    return F.copied(input) if input.dtype is dtypes.bool_ else F.sign_of_number(input)


@pointwise
def floor(m: Any, input: Spec) -> Spec:
    """The largest integer not above input."""
    return m.floor(input)


@pointwise
def ceil(m: Any, input: Spec) -> Spec:
    """The smallest integer not below input."""
    return m.ceil(input)


@pointwise
def trunc(m: Any, input: Spec) -> Spec:
    """input rounded towards zero."""
    return m.trunc(input)


@pointwise
def frac(m: Any, input: Spec) -> Spec:
    """input - trunc(input)."""
    return input - m.trunc(input)


@pointwise(float_result=True, refuses="complex")
def deg2rad(m: Any, input: Spec) -> Spec:
    """Degrees as radians."""
    return input * (math.pi / 180)


@pointwise(float_result=True, refuses="complex")
def rad2deg(m: Any, input: Spec) -> Spec:
    """Radians as degrees."""
    return input * (180 / math.pi)


def positive(input: Spec) -> Spec:
    """input itself. Raises: RuntimeError for bool."""
    if input.dtype.category == 0:
        raise DTypeError("positive: expected numbers. Got torch.bool.")
    return input


@pointwise(name="rint", node_name="Round", refuses="complex")
def rint(m: Any, input: Spec) -> Spec:
    """input rounded to the nearest integer, halves to the even one."""
    return m.round(input)


@composite
def round(F: Any, input: Spec, *, decimals: int = 0) -> Spec:
    """input rounded to `decimals` digits after the point, halves to the even one."""
    if input.dtype.category < dtypes.FLOAT:
        return F.copied(input)
    if decimals == 0:
        return F.rint(input)
    scale = 10.0**decimals
    return F.divide(F.rint(F.mul(input, scale)), scale)


@pointwise(float_result=True, tensors=1)
def copysign(m: Any, input: Spec, other: Spec) -> Spec:
    """|input| with the sign of other."""
    return m.copysign(input, other)


@pointwise(tensors=2)
def nextafter(m: Any, input: Spec, other: Spec) -> Spec:
    """The next number of the dtype after input, towards other."""
    return m.nextafter(input, other)


@pointwise(tensors=2, refuses="complex")
def heaviside(m: Any, input: Spec, values: Spec) -> Spec:
    """0 below 0, 1 above, `values` at 0. Raises: RuntimeError for mixed dtypes."""
    return m.where(m.eq(input, 0), values, input > 0)


@pointwise(tensors=2)
def gcd(m: Any, input: Spec, other: Spec) -> Spec:
    """The greatest common divisor of integers."""
    return m.gcd(input, other)


@pointwise(tensors=2)
def lcm(m: Any, input: Spec, other: Spec) -> Spec:
    """The least common multiple of integers."""
    return m.lcm(input, other)


@pointwise
def where(m: Any, condition: Mask, input: Spec, other: Spec) -> Spec:
    """input where `condition` (bool) holds, else other."""
    return m.where(condition, input, other)


@composite
def masked_fill(F: Any, input: Spec, mask: Mask, value: Any) -> Spec:
    """input with `value` (a number or 0-d tensor) wherever `mask` holds.

    Raises: RuntimeError for a mask that is not bool, or a value with dimensions.
    """
    if mask.dtype.category:
        raise DTypeError(f"masked_fill: expected mask of torch.bool. Got {mask.dtype}.")
    if not hasattr(value, "shape"):
        if not isinstance(value, bool | int | float | complex | np.number | np.bool_):
            raise TypeError(
                "masked_fill: expected a number or 0-d tensor as value. Got "
                f"{type(value).__name__}."
            )
        if input.dtype.category == dtypes.INTEGER:
            dtypes.require_fitting(value, value, input.dtype)
        kinds = (bool, int, float, complex)
        return named(F.where(mask, kinds[input.dtype.category](value), input), "MaskedFill")
    if len(value.shape):
        raise ShapeError(f"masked_fill: expected a 0-d value. Got shape {tuple(value.shape)}.")
    if value.dtype.is_complex and not input.dtype.is_complex:
        raise DTypeError(f"masked_fill: expected a value for {input.dtype}. Got {value.dtype}.")
    return F.where(mask, F.cast(value, dtype=input.dtype), input)


@pointwise(name="lerp_shaped", node_name="Lerp")
def lerp_shaped(m: Any, input: Spec, end: Spec, weight: Spec) -> Spec:
    """From the nearer of both ends, so that a weight of 1 gives `end` exactly."""
    way = end - input
    return m.where(m.abs(weight) < 0.5, input + weight * way, end - way * (1.0 - weight))


@pointwise(name="lerp_number", node_name="Lerp")
def lerp_number(m: Any, input: Spec, end: Spec, *, weight: float = 0.5) -> Spec:
    """The same for a number below 1/2."""
    return input + weight * (end - input)


@pointwise(name="lerp_back", node_name="Lerp")
def lerp_back(m: Any, input: Spec, end: Spec, *, rest: float = 0.5) -> Spec:
    """From `end`, by rest = 1 - weight."""
    return end - rest * (end - input)


@composite
def lerp(F: Any, input: Spec, end: Spec, weight: Spec) -> Spec:
    """input + weight * (end - input); `weight` is a number or a tensor."""
    if hasattr(weight, "dtype"):
        return F.lerp_shaped(input, end, weight)
    if builtins.abs(weight) < 0.5:
        return F.lerp_number(input, end, weight=weight)
    return F.lerp_back(input, end, rest=1.0 - weight)


@pointwise(name="add_product", node_name="Addcmul")
def add_product(m: Any, input: Spec, tensor1: Spec, tensor2: Spec, *, value: float = 1) -> Spec:
    """input + value * tensor1 * tensor2."""
    return input + value * tensor1 * tensor2


@composite
def addcmul(F: Any, input: Spec, tensor1: Spec, tensor2: Spec, *, value: float = 1) -> Spec:
    """input + value * tensor1 * tensor2; for integers the integer part of `value`."""
    if isinstance(value, float) and _category(input, tensor1, tensor2) < dtypes.FLOAT:
        value = int(value)
    return F.add_product(input, tensor1, tensor2, value=value)


@pointwise(name="add_quotient", node_name="Addcdiv")
def add_quotient(m: Any, input: Spec, tensor1: Spec, tensor2: Spec, *, value: float = 1.0) -> Spec:
    """input + value * tensor1 / tensor2."""
    return input + value * (tensor1 / tensor2)


@composite
def addcdiv(F: Any, input: Spec, tensor1: Spec, tensor2: Spec, *, value: float = 1.0) -> Spec:
    """input + value * tensor1 / tensor2.

    Raises: RuntimeError where tensor1 and tensor2 are integral: torch.div with a rounding mode says
        which quotient is meant.
    """
    if _category(tensor1, tensor2) < dtypes.FLOAT:
        raise DTypeError(
            f"addcdiv: expected a floating-point quotient. Got tensor1 of {tensor1.dtype} and "
            f"tensor2 of {tensor2.dtype}. Convert them, or write "
            "input + value * torch.div(tensor1, tensor2, rounding_mode='trunc')."
        )
    return F.add_quotient(input, tensor1, tensor2, value=value)
