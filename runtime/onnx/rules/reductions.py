"""Reductions, softmax, norms of vectors, sorting and cumulative sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import dtypes
from ..builder import Builder, OnnxExporterError, Value
from .registry import rule

REDUCTIONS = {"sum_over": "ReduceSum", "mean_over": "ReduceMean", "prod_over": "ReduceProd",
              "amax": "ReduceMax", "amin": "ReduceMin", "euclidean_norm": "ReduceL2"}  # fmt: skip


def axes_of(dim: Any) -> list[int] | None:
    """The dimensions as a list; None for all."""
    if dim is None or dim == ():
        return None
    return [dim] if isinstance(dim, int) else list(dim)


@rule(*REDUCTIONS)
def reduce(b: Builder, x: Value, *, dim: Any = None, keepdim: bool = False) -> Value:
    """Over some dimensions or all."""
    name = b.operation.name
    axes = axes_of(dim) if x.ndim else None
    if x.dtype is dtypes.bool_:
        flags = b.reduce(REDUCTIONS[name], b.cast(x, dtypes.int32), axes, keepdim)
        return b.cast(flags, dtypes.bool_ if name in ("amax", "amin") else dtypes.int64)
    return b.reduce(REDUCTIONS[name], x, axes, keepdim)


@rule("all", "any")
def truth(b: Builder, x: Value, *, dim: Any = None, keepdim: bool = False) -> Value:
    """The least, or largest, of 0 and 1."""
    flags = b.cast(b.cast(x, dtypes.bool_), dtypes.int32)
    kind = "ReduceMin" if b.operation.name == "all" else "ReduceMax"
    return b.cast(b.reduce(kind, flags, axes_of(dim) if x.ndim else None, keepdim), dtypes.bool_)


@rule("argmax", "argmin")
def position(b: Builder, x: Value, *, dim: Any = None, keepdim: bool = False) -> Value:
    """The first of equals, as NumPy."""
    kind = "ArgMax" if b.operation.name == "argmax" else "ArgMin"
    if dim is not None and x.ndim:
        return b.add(kind, x, axis=dim, keepdims=int(keepdim))
    flat = b.add(kind, b.Reshape(x, b.ints([-1])), axis=0, keepdims=0)
    return b.Reshape(flat, b.ints([1] * x.ndim)) if keepdim else flat


@rule("var_over")
def variance(
    b: Builder, x: Value, *, dim: Any = None, keepdim: bool = False, freedom: Any = 1.0
) -> Value:
    """Squares about the mean, divided by the degrees of freedom."""
    axes = axes_of(dim) if x.ndim else None
    centred = b.Sub(x, b.reduce("ReduceMean", x, axes, True))
    total = b.reduce("ReduceSum", b.Mul(centred, centred), axes, keepdim)
    divisor = (
        b.cast(freedom, x.dtype)
        if isinstance(freedom, Value)
        else b.constant(float(freedom), x.dtype)
    )
    return b.Div(total, divisor)


@rule("power_norm")
def power_norm(b: Builder, x: Value, *, ord: float, dim: Any, keepdim: bool) -> Value:
    """sum(|x|**ord)**(1/ord)."""
    axes = axes_of(dim) if x.ndim else None
    if ord in (1, 2):
        return b.reduce("ReduceL1" if ord == 1 else "ReduceL2", x, axes, keepdim)
    powers = b.Pow(b.Abs(x), b.constant(float(ord), x.dtype))
    total = b.reduce("ReduceSum", powers, axes, keepdim)
    return b.Pow(total, b.constant(1.0 / ord, x.dtype))


@rule("logsumexp_over")
def logsumexp(b: Builder, x: Value, *, dim: Any, keepdim: bool) -> Value:
    """About the largest element, unless that is infinite."""
    axes = axes_of(dim) if x.ndim else None
    top = b.reduce("ReduceMax", x, axes, True)
    shift = b.Where(b.IsInf(top), b.constant(0.0, x.dtype), top)
    total = b.Log(b.reduce("ReduceSum", b.Exp(b.Sub(x, shift)), axes, True))
    out = b.Add(total, shift)
    if keepdim:
        return out
    kept = range(x.ndim) if axes is None else [a % x.ndim for a in axes]
    return b.squeeze(out, *kept) if x.ndim else out


@rule("softmax_over", "log_softmax_over")
def softmax(b: Builder, x: Value, *, dim: int) -> Value:
    """One operator; a scalar is taken as a vector of one."""
    kind = "LogSoftmax" if b.operation.name.startswith("log") else "Softmax"
    if x.ndim == 0:
        return b.squeeze(b.add(kind, b.unsqueeze(x, 0), axis=0), 0)
    return b.add(kind, x, axis=dim)


@rule("cumsum_along")
def cumsum(b: Builder, x: Value, *, dim: int) -> Value:
    """Sums from the beginning."""
    if x.ndim == 0:
        return b.Identity(x)
    return b.CumSum(x, b.constant(dim, dtypes.int64))


@rule("cumprod_along")
def cumprod(b: Builder, x: Value, *, dim: int) -> Value:
    """Products of all prefixes."""
    if x.ndim == 0:
        return b.Identity(x)
    spread, back = _prefixes(b, x, dim, 1)
    return b.permuted(b.reduce("ReduceProd", spread, [-1], False), back)


def _prefixes(b: Builder, x: Value, dim: int, rest: Any) -> tuple[Value, list[int]]:
    """(..., n, n): in row k the first k + 1 elements along `dim`, and `rest` behind them; and the
    order in which the dimensions of what is left of the first n get back. Memory is n times x's."""
    n, axis = x.size(dim), dim % x.ndim
    order = [k for k in range(x.ndim) if k != axis] + [axis]
    rows = b.unsqueeze(b.permuted(x, order), x.ndim - 1)
    shown = b.constant(np.tril(np.ones((n, n), bool)))
    spread = b.Where(shown, rows, b.constant(rest, x.dtype))
    spread.dims = (None,) * (x.ndim + 1)
    return spread, [int(k) for k in np.argsort(order)]


@rule("cummax_positions", "cummin_positions")
def running_extreme(b: Builder, x: Value, *, dim: int) -> Value:
    """Where the extreme of each prefix lies, the last of equals."""
    if x.ndim == 0:
        return b.constant(np.zeros((), np.int64))
    is_largest = b.operation.name == "cummax_positions"
    wide = x if x.is_float else b.cast(x, dtypes.float64)  # exact up to 2**53
    spread, back = _prefixes(b, wide, dim, -math.inf if is_largest else math.inf)
    kind = "ArgMax" if is_largest else "ArgMin"
    places = b.add(kind, spread, axis=-1, keepdims=0, select_last_index=1)
    return b.permuted(places, back)


@rule("real_logcumsumexp")
def logcumsumexp(b: Builder, x: Value, *, dim: int) -> Value:
    """log(sum(exp)) of all prefixes."""
    if x.ndim == 0:
        return b.Identity(x)
    spread, back = _prefixes(b, x, dim, -math.inf)
    return b.permuted(logsumexp(b, spread, dim=-1, keepdim=False), back)


@rule("sort_order", "top_positions")
def order(
    b: Builder, x: Value, *, dim: int, k: Any = None, descending: bool = False,
    largest: bool | None = None, stable: bool = False,
) -> Value:  # fmt: skip
    """TopK of all or some; of equal elements the first come first."""
    if x.ndim == 0:
        return b.constant(np.zeros((), np.int64))
    count = b.size_of(x, dim) if k is None else k
    wanted = descending if largest is None else largest
    values = b.cast(x, dtypes.int32) if x.dtype is dtypes.bool_ else x
    found = b.add(
        "TopK", values, b.ints([count]), outputs=2, axis=dim, largest=int(wanted), sorted=1
    )
    found[1].dtype = b.dtypes[found[1].name] = dtypes.int64
    return found[1]


@rule("rank_positions")
def rank(b: Builder, x: Value, *, dim: int, rank: int) -> Value:
    """Of the smallest in order, the last."""
    if x.ndim == 0:
        return b.constant(np.zeros((), np.int64))
    return b.slice(order(b, x, dim=dim, k=rank + 1, largest=False), rank, rank + 1, dim % x.ndim)


@rule("hash_tensor")
def refuse_hash(b: Builder, x: Value, **attributes: Any) -> Value:
    """Bits of floating-point numbers are not seen in ONNX."""
    raise OnnxExporterError("ONNX: hash_tensor reads bits, for which ONNX has no operator.")


def last_axes(dims: Sequence[int], ndim: int) -> bool:
    """Whether `dims` are the last ones in order."""
    return [d % ndim for d in dims] == list(range(ndim - len(dims), ndim))
