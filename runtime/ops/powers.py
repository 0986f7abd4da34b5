"""Powers, element by element; operands broadcast."""

from __future__ import annotations

from typing import Any

from ..core import dtypes
from .declare import Spec, composite, pointwise

__all__ = [
    "float_power",
    "hypot",
    "ldexp",
    "pow",
    "reciprocal",
    "square",
]


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


@power.naming
def power_name(node: Any) -> str:
    """PyTorch's first is that of a number as exponent."""
    return "PowBackward1"


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
