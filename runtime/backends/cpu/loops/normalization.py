"""Layer and RMS norm over rows, with their gradients: memory is read once."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .language import Position, Value
from .rows import CHUNK, Passes, Row, RowLoop


def _mean_and_var(p: Passes, x: Row) -> tuple[Value, Value]:
    """Of a row: two passes, as the mean of squares minus the squared mean would cancel."""
    mean = p.mean(lambda at: x[at])
    return mean, p.mean(lambda at: p.m.square(x[at] - mean))


def _statistics(p: Passes, x: Row, eps: Value) -> tuple[Value, Value]:
    """The mean of a row, and 1 / sqrt(var + eps)."""
    mean, var = _mean_and_var(p, x)
    return mean, p.m.rsqrt(var + eps)


def _normalize(
    p: Passes, index: Value, x: Row, out: Row, means: Row, variances: Row, eps: Value
) -> None:
    mean, var = _mean_and_var(p, x)
    means.set_element(p.zero, mean)
    variances.set_element(p.zero, var)
    scale = p.m.rsqrt(var + eps)
    p.map(out, lambda at: (x[at] - mean) * scale, is_last=True)


def _normalize_gradient(
    p: Passes, index: Value, g: Row, y: Row, variances: Row, out: Row, eps: Value
) -> None:
    level = p.mean(lambda at: g[at])
    along = p.mean(lambda at: g[at] * y[at])
    scale = p.m.rsqrt(variances.element(p.zero) + eps)
    p.map(out, lambda at: (g[at] - level - y[at] * along) * scale, is_last=True)


NORMALIZE = RowLoop(_normalize, "real", "real", "one real", "one real", numbers=1)
NORMALIZE_GRADIENT = RowLoop(_normalize_gradient, "real", "real", "one real", "real", numbers=1)


def normalize(x: Any, columns: int, eps: float) -> tuple[Any, Any, Any]:
    """(x - mean) / sqrt(var + eps) over rows of `columns`, and the means and variances (rows,)."""
    rows = x.size // columns
    out, mean, var = np.empty_like(x), np.empty(rows, x.dtype), np.empty(rows, x.dtype)
    NORMALIZE([x, out, mean, var], rows, columns, eps)
    return out, mean, var


def normalize_gradient(g: Any, normalized: Any, var: Any, columns: int, eps: float) -> Any:
    """(g - mean(g) - normalized * mean(g * normalized)) / sqrt(var + eps) over such rows."""
    out = np.empty_like(g)
    NORMALIZE_GRADIENT([g, normalized, var, out], g.size // columns, columns, eps)
    return out


@cache
def _forward(has_weight: bool, has_bias: bool) -> RowLoop:
    def layer_norm(p: Passes, index: Value, x: Row, *rest: Any) -> None:
        *scales, out, eps = rest
        mean, scale = _statistics(p, x, eps)
        weight = scales[0] if has_weight else None
        bias = scales[-1] if has_bias else None

        def element(at: Position) -> Value:
            y = (x[at] - mean) * scale
            y = y if weight is None else y * weight[at]
            return y if bias is None else y + bias[at]

        p.map(out, element, is_last=True)

    shared = ["shared real"] * (has_weight + has_bias)
    return RowLoop(layer_norm, "real", *shared, "real", numbers=1)


@cache
def _backward(has_weight: bool) -> RowLoop:
    def layer_norm_gradient(p: Passes, index: Value, g: Row, x: Row, *rest: Any) -> None:
        *scales, out, weight_part, bias_part, eps = rest
        mean, scale = _statistics(p, x, eps)

        def scaled(at: Position) -> Value:
            return g[at] * scales[0][at] if has_weight else g[at]

        def normalized(at: Position) -> Value:
            return (x[at] - mean) * scale

        level = p.mean(scaled)
        along = p.mean(lambda at: scaled(at) * normalized(at))

        def body(at: Position) -> None:
            y = normalized(at)
            weight_part[at] = weight_part[at] + g[at] * y
            bias_part[at] = bias_part[at] + g[at]
            out[at] = (scaled(at) - level - y * along) * scale

        p.each(body)

    shared = ["shared real"] * has_weight
    kinds = ["real", "real", *shared, "real", "part real", "part real"]
    return RowLoop(layer_norm_gradient, *kinds, numbers=1)


@cache
def _rms_forward(has_weight: bool) -> RowLoop:
    def rms_norm(p: Passes, index: Value, x: Row, *rest: Any) -> None:
        *weight, out, eps = rest
        scale = p.m.rsqrt(p.mean(lambda at: p.m.square(x[at])) + eps)

        def element(at: Position) -> Value:
            y = x[at] * scale
            return y * weight[0][at] if has_weight else y

        p.map(out, element, is_last=True)

    return RowLoop(rms_norm, "real", *["shared real"] * has_weight, "real", numbers=1)


@cache
def _rms_backward(has_weight: bool) -> RowLoop:
    def rms_norm_gradient(p: Passes, index: Value, g: Row, x: Row, *rest: Any) -> None:
        *weight, out, weight_part, eps = rest
        scale = p.m.rsqrt(p.mean(lambda at: p.m.square(x[at])) + eps)

        def scaled(at: Position) -> Value:
            return g[at] * weight[0][at] if has_weight else g[at]

        along = p.mean(lambda at: scaled(at) * (x[at] * scale))

        def body(at: Position) -> None:
            y = x[at] * scale
            weight_part[at] = weight_part[at] + g[at] * y
            out[at] = (scaled(at) - y * along) * scale

        p.each(body)

    kinds = ["real", "real", *["shared real"] * has_weight, "real", "part real"]
    return RowLoop(rms_norm_gradient, *kinds, numbers=1)


def rms_norm(x: Any, weight: Any, columns: int, eps: float) -> Any:
    """x / sqrt(mean(x**2) + eps) * weight over rows of `columns`."""
    out = np.empty_like(x)
    given = [] if weight is None else [weight]
    _rms_forward(weight is not None)([x, *given, out], x.size // columns, columns, eps)
    return out


def rms_norm_gradient(g: Any, x: Any, weight: Any, columns: int, eps: float) -> tuple[Any, Any]:
    """The gradients by x and weight; that is of `columns` elements."""
    rows = x.size // columns
    out = np.empty_like(x)
    part = np.zeros((-(-rows // max(1, CHUNK // columns)), columns), x.dtype)
    given = [] if weight is None else [weight]
    _rms_backward(weight is not None)([g, x, *given, out, part], rows, columns, eps)
    return out, part.sum(0)


def layer_norm(x: Any, weight: Any, bias: Any, columns: int, eps: float) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias over rows of `columns`."""
    out = np.empty_like(x)
    given = [a for a in (weight, bias) if a is not None]
    loop = _forward(weight is not None, bias is not None)
    loop([x, *given, out], x.size // columns, columns, eps)
    return out


def layer_norm_gradient(
    g: Any, x: Any, weight: Any, columns: int, eps: float
) -> tuple[Any, Any, Any]:
    """The gradients by x, weight and bias; those are of `columns` elements."""
    rows = x.size // columns
    chunk = max(1, CHUNK // columns)
    out = np.empty_like(x)
    parts = [np.zeros((-(-rows // chunk), columns), x.dtype) for _ in range(2)]
    given = [] if weight is None else [weight]
    _backward(weight is not None)([g, x, *given, out, *parts], rows, columns, eps)
    return out, parts[0].sum(0), parts[1].sum(0)
