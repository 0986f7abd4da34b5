"""The larger and the smaller of numbers, limits, and what replaces NaN; operands broadcast."""

from __future__ import annotations

import math
from typing import Any

from ..core import dtypes
from ..core.limits import finfo
from .arithmetic import plus
from .declare import Spec, composite, pointwise

__all__ = [
    "clamp",
    "clamp_max",
    "clamp_min",
    "fmax",
    "fmin",
    "maximum",
    "minimum",
    "nan_to_num",
]


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


@clamp_numbers.naming
def clamp_numbers_name(node: Any) -> str:
    """PyTorch's first is that of tensors."""
    return "ClampBackward1"


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
        limits = (_limit(input.dtype, n) for n in (min, max))
        return F.clamp_numbers(input, **dict(zip(("min", "max"), limits, strict=True)))
    for name, limit in (("min", min), ("max", max)):
        if hasattr(limit, "shape"):
            input = (F.at_least if name == "min" else F.at_most)(input, limit)
        elif limit is not None:
            input = F.clamp_numbers(input, **{name: _limit(input.dtype, limit)})
    return input


def _limit(dtype: dtypes.dtype, number: Any) -> Any:
    """`number` as `dtype` holds it: negative ones are wrapped by unsigned types, as in PyTorch."""
    if dtype.category != dtypes.INTEGER or number.__class__ is not int:
        return number
    dtypes.require_fitting(number, number, dtype)
    return dtypes.wrapped(number, dtype)


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
