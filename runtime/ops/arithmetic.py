"""Arithmetic, element by element; operands broadcast."""

from __future__ import annotations

import builtins
import math
from typing import Any

from ..core import dtypes
from ..core.limits import finfo
from ..errors import DTypeError, ShapeError
from . import shapes
from .declare import Mask, Spec, composite, pointwise

__all__ = [
    "abs",
    "add",
    "addcdiv",
    "addcmul",
    "ceil",
    "clamp",
    "clamp_max",
    "clamp_min",
    "copysign",
    "deg2rad",
    "div",
    "float_power",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "frac",
    "gcd",
    "heaviside",
    "hypot",
    "lcm",
    "ldexp",
    "lerp",
    "masked_fill",
    "maximum",
    "minimum",
    "mul",
    "nan_to_num",
    "neg",
    "nextafter",
    "positive",
    "pow",
    "rad2deg",
    "reciprocal",
    "remainder",
    "round",
    "rsub",
    "sign",
    "square",
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


@pointwise(name="squared", node_name="Square")
def squared(m: Any, input: Spec) -> Spec:
    """input * input."""
    return m.square(input)


@composite
def square(F: Any, input: Spec) -> Spec:
    """input**2; of bools as int64."""
    return F.squared(F.cast(input, dtype=dtypes.int64) if not input.dtype.category else input)


@pointwise(float_result=True)
def reciprocal(m: Any, input: Spec) -> Spec:
    """1 / input."""
    return m.reciprocal(input)


@pointwise(name="power", node_name="Pow")
def power(m: Any, input: Spec, other: Spec) -> Spec:
    """input**other, both tensors."""
    return m.pow(input, other)


@pointwise(name="power_number", node_name="Pow")
def power_number(m: Any, input: Spec, *, exponent: Any) -> Spec:
    """input**exponent for a Python number; small exponents are products."""
    if exponent == 0:
        return m.where(m.eq(input, input), 1.0, 1.0)
    if exponent == 0.5:
        return m.sqrt(input)
    if exponent == -1:
        return m.reciprocal(input)
    if exponent == 3:
        return m.square(input) * input
    return m.pow(input, exponent)


@composite
def pow(F: Any, input: Spec, exponent: Spec) -> Spec:
    """input**exponent.

    Example:
        >>> torch.tensor([1.0, 2.0, 3.0]) ** 2
        tensor([1., 4., 9.])
    """
    number: Any = exponent
    if number.__class__ is int and getattr(input, "dtype", None) is dtypes.bool_:
        input = F.cast(input, dtype=dtypes.int64)
    if number.__class__ in (int, float) and hasattr(input, "dtype"):
        if number.__class__ is float and number.is_integer() and input.dtype.is_floating_point:
            number = int(number)
        if input.dtype.is_floating_point or (
            number.__class__ is int and number > 0 and input.dtype is not dtypes.bool_
        ):
            return F.power_number(input, exponent=number)
    whole = [getattr(x, "dtype", None) or dtypes.of_number(x) for x in (input, number)]
    if max(d.category for d in whole) < dtypes.FLOAT and hasattr(number, "shape"):
        return _whole_power(F, input, number)
    return F.power(input, number)


def _whole_power(F: Any, input: Any, exponent: Any) -> Any:
    """Powers of integers: with negative exponents 0, but for the bases 1 and -1."""
    base = input if hasattr(input, "shape") else F.plus(F.mul(exponent, 0), input)
    if exponent.dtype is dtypes.bool_:
        exponent = F.cast(exponent, dtype=base.dtype if base.dtype.category else dtypes.int64)
    is_negative = F.lt(exponent, 0)
    is_unit = F.eq(F.mul(base, base), 1)
    inverse = F.where(is_unit, F.power(base, F.remainder(exponent, 2)), 0)
    return F.where(is_negative, inverse, F.power(base, F.where(is_negative, 0, exponent)))


@pointwise(tensors=2, refuses="complex")
def maximum(m: Any, input: Spec, other: Spec) -> Spec:
    """The larger of each pair; NaN if one is NaN."""
    return m.maximum(input, other)


@pointwise(tensors=2, refuses="complex")
def minimum(m: Any, input: Spec, other: Spec) -> Spec:
    """The smaller of each pair; NaN if one is NaN."""
    return m.minimum(input, other)


@pointwise(tensors=2, refuses="complex")
def fmax(m: Any, input: Spec, other: Spec) -> Spec:
    """The larger of each pair; if one is NaN, the other."""
    return m.fmax(input, other)


@pointwise(tensors=2, refuses="complex")
def fmin(m: Any, input: Spec, other: Spec) -> Spec:
    """The smaller of each pair; if one is NaN, the other."""
    return m.fmin(input, other)


@pointwise(name="clamp_numbers", node_name="Clamp", refuses="complex")
def clamp_numbers(m: Any, input: Spec, *, min: Any = None, max: Any = None) -> Spec:
    """input limited to [min, max]; None leaves a side open."""
    if min is not None:
        input = m.maximum(input, min)
    if max is not None:
        input = m.minimum(input, max)
    return input


@clamp_numbers.gradient
def clamp_numbers_gradient(
    m: Any, g: Any, out: Any, input: Any, min: Any = None, max: Any = None
) -> Any:
    """g inside the limits, the limits themselves included; 0 outside."""
    inside = None if min is None else input >= min
    if max is not None:
        inside = input <= max if inside is None else inside & (input <= max)
    return g if inside is None else m.where(inside, g, 0.0)


@pointwise(name="at_least", node_name="ClampMin", tensors=2, refuses="complex")
def at_least(m: Any, input: Spec, min: Spec) -> Spec:
    """The larger of each pair; where they are equal it is input's."""
    return m.maximum(input, min)


@at_least.gradient
def at_least_gradient(m: Any, g: Any, out: Any, input: Any, min: Any) -> Any:
    """To input where it is not below min, else to min."""
    return m.where(input >= min, g, 0.0), m.where(input < min, g, 0.0)


@pointwise(name="at_most", node_name="ClampMax", tensors=2, refuses="complex")
def at_most(m: Any, input: Spec, max: Spec) -> Spec:
    """The smaller of each pair; where they are equal it is input's."""
    return m.minimum(input, max)


@at_most.gradient
def at_most_gradient(m: Any, g: Any, out: Any, input: Any, max: Any) -> Any:
    """To input where it is not above max, else to max."""
    return m.where(input <= max, g, 0.0), m.where(input > max, g, 0.0)


@composite
def clamp(F: Any, input: Spec, min: Any = None, max: Any = None) -> Spec:
    """input limited to [min, max], which are numbers or tensors; None leaves a side open.

    Raises: RuntimeError if both are None.
    """
    if min is None and max is None:
        raise RuntimeError("clamp: expected min, max or both. Got neither.")
    if not hasattr(min, "shape") and not hasattr(max, "shape"):
        if input.dtype.category < 2 and (min.__class__ is float or max.__class__ is float):
            input = F.divide(input, 1)
        return F.clamp_numbers(input, min=min, max=max)
    for name, limit in (("min", min), ("max", max)):
        if hasattr(limit, "shape"):
            input = (F.at_least if name == "min" else F.at_most)(input, limit)
        elif limit is not None:
            input = F.clamp_numbers(input, **{name: limit})
    return input


@composite
def clamp_min(F: Any, input: Spec, min: Any) -> Spec:
    """The larger of input and min, a number or tensor."""
    return F.clamp(input, min=min)


@composite
def clamp_max(F: Any, input: Spec, max: Any) -> Spec:
    """The smaller of input and max, a number or tensor."""
    return F.clamp(input, max=max)


@pointwise(name="nan_replaced", node_name="NanToNum")
def nan_replaced(m: Any, input: Spec, *, nan: float, posinf: float, neginf: float) -> Spec:
    """NaN and infinities replaced by the numbers given."""
    below = m.where(m.eq(input, -math.inf), neginf, input)
    return m.where(m.isnan(input), nan, m.where(m.eq(input, math.inf), posinf, below))


def nan_to_num(
    input: Spec, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Spec:
    """NaN replaced by `nan` (0), infinities by `posinf` and `neginf` (the dtype's extremes)."""
    if not input.dtype.is_floating_point:
        return plus(input, 0) if input.dtype.category else input.clone()
    limits = finfo(input.dtype)
    return nan_replaced(
        input,
        nan=0.0 if nan is None else float(nan),
        posinf=limits.max if posinf is None else float(posinf),
        neginf=limits.min if neginf is None else float(neginf),
    )


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


@pointwise(float_result=True, tensors=2)
def hypot(m: Any, input: Spec, other: Spec) -> Spec:
    """sqrt(input**2 + other**2), without overflow."""
    return m.hypot(input, other)


@pointwise(float_result=True, tensors=2)
def ldexp(m: Any, input: Spec, other: Spec) -> Spec:
    """input * 2**other."""
    return input * m.exp2(other)


def float_power(input: Any, exponent: Any) -> Spec:
    """input**exponent in float64 (complex128 for complex numbers)."""
    tensors = [x for x in (input, exponent) if hasattr(x, "dtype")]
    complex_ = any(x.dtype.is_complex for x in tensors) or any(
        isinstance(x, complex) for x in (input, exponent)
    )
    wide = dtypes.complex128 if complex_ else dtypes.float64
    return pow(*[x.to(wide) if hasattr(x, "dtype") else x for x in (input, exponent)])


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
        if input.dtype.category == dtypes.INTEGER:
            dtypes.require_fitting(value, value, input.dtype)
        kinds = (bool, int, float, complex)
        return F.where(mask, kinds[input.dtype.category](value), input)
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
