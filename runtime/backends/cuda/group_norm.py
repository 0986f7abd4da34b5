"""Group norm: moments per group in one reduction, then one pass that scales and shifts, in either
layout of images."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from ...core.expressions import read
from .batch_norm import by_weight, forward, laid_as, lies_well, normalized
from .pointwise import Formula
from .reductions import reduced
from .registry import kernel
from .rows import wide


def _grouped(x: Any, groups: int) -> Any:
    """(N, C, ...) as a view (N, groups, C / groups, ...)."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])


def _moments(x: Any) -> Any:
    """Mean and variance of each group of a grouped array, as (N, groups, 1, ...)."""
    dims = tuple(range(2, x.ndim))
    count = math.prod(x.shape[2:])
    moments = reduced("Moments", x, dims, wide(x), number=count)
    return None if moments is None else moments.reshape(2, *x.shape[:2], *[1] * (x.ndim - 2))


def _channels(x: Any, *given: Any) -> list[Any]:
    """(C,) as (groups, C / groups, 1, ...), which is broadcast against a grouped array."""
    shape = (*x.shape[1:3], *[1] * (x.ndim - 3))
    return [c.reshape(shape) for c in given if c is not None]


@cache
def _along(dtype: str) -> Formula:
    """sum(g * x) of each channel, with x normalized."""
    names = ["along", "level", "shift", "mean", "var"]
    return Formula("group_norm_along", read(by_weight, names, ["eps"], {}), names, ["eps"], dtype)


@cache
def _product(dtype: str) -> Formula:
    names = ["x", "weight"]
    return Formula("weighted", read(lambda m, x, w: x * w, names, [], {}), names, [], dtype)


@cache
def _backward(dtype: str, has_weight: bool) -> Formula:
    names = ["g", "x", "mean", "var", "along", "level"] + ["weight"] * has_weight

    def formula(m: Any, g: Any, x: Any, mean: Any, var: Any, *rest: Any, eps: Any) -> Any:
        weighted = g * rest[2] if has_weight else g
        out = normalized(m, x, mean, var, eps=eps)
        return (weighted - rest[1] - out * rest[0]) * m.rsqrt(var + eps)

    expression = read(formula, names, ["eps"], {})
    return Formula("group_norm_gradient", expression, names, ["eps"], dtype)


@kernel("group_norm_over")
def group_norm(input: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
    """The input is read twice and the result written once."""
    if not lies_well(input):
        return None
    x = _grouped(input, groups)
    moments = _moments(x)
    if moments is None:
        return None
    formula = forward(input.dtype.name, weight is not None, bias is not None)
    out = formula(x, *moments, *_channels(x, weight, bias), eps=eps)
    return None if out is None else out.reshape(input.shape)


@kernel("group_norm_gradient")
def group_norm_gradient(g: Any, input: Any, weight: Any, groups: int, eps: float) -> Any:
    """The input is read three times, its gradient twice; sums of channels are small."""
    if not lies_well(input) or input.ndim < 3:
        return None
    g = laid_as(g, input)
    x, kind = _grouped(input, groups), wide(input)
    moments = _moments(x)
    sums = reduced("ShiftedProducts", g, tuple(range(2, g.ndim)), kind, other=input)
    if moments is None or sums is None:
        return None
    mean, var = moments
    name = "float32" if input.itemsize == 2 else input.dtype.name
    along, level, shift = sums.reshape(3, *x.shape[:3])
    flat = [a.reshape(*x.shape[:2], 1) for a in (mean, var)]
    by_channel = _along(name)(along, level, shift, *flat, eps=eps)
    if by_channel is None:
        return None
    totals = []
    for part in (by_channel, level):
        if weight is not None:
            part = _product(name)(part, weight.astype(kind, copy=False).reshape(*x.shape[1:3]))
        total = reduced("SumOf", part, (2,), kind, number=math.prod(x.shape[2:]))
        totals.append(total.reshape(mean.shape))
    formula = _backward(input.dtype.name, weight is not None)
    out = formula(_grouped(g, groups), x, mean, var, *totals, *_channels(x, weight), eps=eps)
    if out is None:
        return None
    sums_of = [
        reduced("SumOf", part, (0,), kind).reshape(-1).astype(input.dtype, copy=False)
        for part in (by_channel, level)
    ]
    return out.reshape(input.shape), *sums_of
