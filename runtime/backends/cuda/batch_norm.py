"""Batch norm: moments per channel in one reduction, then one pass that scales and shifts."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from ...core.expressions import read
from ..layout import is_channels_last
from .movement import copy_into
from .pointwise import Formula
from .reductions import reduced
from .registry import kernel
from .rows import wide

# -- formulas, of which operands that are None are left out ---------------------------------------


def normalized(m: Any, x: Any, mean: Any, var: Any, *, eps: Any) -> Any:
    """(x - mean) / sqrt(var + eps)."""
    return (x - mean) * m.rsqrt(var + eps)


def by_weight(m: Any, along: Any, level: Any, shift: Any, mean: Any, var: Any, *, eps: Any) -> Any:
    """sum(g * x) with x normalized, from what `ShiftedProducts` has."""
    return (along + (shift - mean) * level) * m.rsqrt(var + eps)


@cache
def forward(dtype: str, has_weight: bool, has_bias: bool) -> Formula:
    """`normalized`, times the weight plus the bias, as far as there are."""
    names = ["x", "mean", "var"] + ["weight"] * has_weight + ["bias"] * has_bias

    def formula(m: Any, x: Any, mean: Any, var: Any, *rest: Any, eps: Any) -> Any:
        out = normalized(m, x, mean, var, eps=eps)
        out = out * rest[0] if has_weight else out
        return out + rest[-1] if has_bias else out

    return Formula("batch_norm", read(formula, names, ["eps"], {}), names, ["eps"], dtype)


@cache
def _scaled(dtype: str, has_weight: bool, has_bias: bool) -> Formula:
    names = ["x"] + ["weight"] * has_weight + ["bias"] * has_bias

    def formula(m: Any, x: Any, *rest: Any) -> Any:
        out = x * rest[0] if has_weight else x
        return out + rest[-1] if has_bias else out

    return Formula("scale_channels", read(formula, names, [], {}), names, [], dtype)


@cache
def _backward(dtype: str, has_weight: bool) -> Formula:
    names = ["g", "x", "mean", "var", "along", "level", "shift"] + ["weight"] * has_weight

    def formula(
        m: Any, g: Any, x: Any, mean: Any, var: Any, *rest: Any, eps: Any, share: Any
    ) -> Any:
        along = by_weight(m, *rest[:3], mean, var, eps=eps)
        shown = normalized(m, x, mean, var, eps=eps)
        out = (g - (rest[1] + shown * along) * share) * m.rsqrt(var + eps)
        return out * rest[3] if has_weight else out

    parameters = ["eps", "share"]
    expression = read(formula, names, parameters, {})
    return Formula("batch_norm_gradient", expression, names, parameters, dtype)


@cache
def _weight_gradient(dtype: str) -> Formula:
    names = ["along", "level", "shift", "mean", "var"]
    expression = read(by_weight, names, ["eps"], {})
    return Formula("batch_norm_weight_gradient", expression, names, ["eps"], dtype)


# -- kernels ---------------------------------------------------------------------------------------


def lies_well(x: Any) -> bool:
    """Whether results may lie as x does: row by row, or with the channels innermost."""
    import cupy

    return x.ndim > 1 and x.size > 0 and (x.flags.c_contiguous or is_channels_last(cupy, x))


def laid_as(g: Any, x: Any) -> Any:
    """g, or a copy that lies in memory as x does."""
    if g.strides == x.strides:
        return g
    import cupy

    out = cupy.empty_like(x, g.dtype)
    if not copy_into(out, g):
        out[...] = g
    return out


def _given(x: Any, *channels: Any) -> list[Any]:
    """(C,) as (C, 1, ...), which is broadcast against x; None is left out."""
    column = (-1, *[1] * (x.ndim - 2))
    return [c.reshape(column) for c in channels if c is not None]


@kernel("batch_normalize")
def batch_normalize(
    input: Any, weight: Any = None, bias: Any = None, *, dims: tuple[int, ...], eps: float
) -> Any:
    """The input is read twice and the result written once."""
    if not lies_well(input):
        return None
    count = math.prod([input.shape[d] for d in dims])
    moments = reduced("Moments", input, tuple(dims), wide(input), number=count)
    if moments is None:
        return None
    formula = forward(input.dtype.name, weight is not None, bias is not None)
    out = formula(input, *_given(input, *moments, weight, bias), eps=eps)
    if out is None:
        return None
    mean, var = moments.astype(input.dtype, copy=False)
    return out, mean, var


@kernel("batch_normalize_gradient")
def batch_normalize_gradient(
    g: Any, input: Any, weight: Any, mean: Any, var: Any, *, eps: float
) -> Any:
    """Both arrays are read twice and the result written once."""
    if not lies_well(input):
        return None
    g = laid_as(g, input)
    dims = (0, *range(2, g.ndim))
    sums = reduced("ShiftedProducts", g, dims, wide(g), other=input)
    if sums is None:
        return None
    share = g.shape[1] / g.size
    formula, dtype = _backward(g.dtype.name, weight is not None), g.dtype.name
    out = formula(g, input, *_given(g, mean, var, *sums, weight), eps=eps, share=share)
    along = _weight_gradient(dtype)(*sums, mean, var, eps=eps)
    if out is None or along is None:
        return None
    return out, along, sums[1].astype(g.dtype, copy=False)


@kernel("normalize_by")
def normalize_by(
    input: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, *, eps: float
) -> Any:
    """One pass."""
    if not lies_well(input):
        return None
    formula = forward(input.dtype.name, weight is not None, bias is not None)
    return formula(input, *_given(input, mean, var, weight, bias), eps=eps)


@kernel("scale_shift_channels")
def scale_shift_channels(input: Any, weight: Any = None, bias: Any = None) -> Any:
    """One pass."""
    if not lies_well(input) or (weight is None and bias is None):
        return None
    formula = _scaled(input.dtype.name, weight is not None, bias is not None)
    return formula(input, *_given(input, weight, bias))
