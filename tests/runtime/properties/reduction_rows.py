"""Reductions: how their arguments are drawn, and what NumPy and SciPy make of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats
from hypothesis import strategies as st

from .calls import REAL, Arguments, In, Row, Type, axes, axis, of_scalars_too, scan, widened
from .drawing import shapes


def whole(draw: Any, **bounds: Any) -> Arguments:
    """A tensor alone."""
    return (In(draw(shapes()), **bounds),), {}


def filled_whole(draw: Any) -> Arguments:
    """A tensor alone, with elements."""
    return (In(draw(shapes(min_side=1))),), {}


def over(draw: Any, several: bool = True, filled: bool = False, all_too: bool = True) -> Arguments:
    """A tensor, dim (None, a number or several) and keepdim; no empty dims if `filled`."""
    shape = draw(shapes(min_side=int(filled)))
    form = draw(st.sampled_from(["one"] + ["several"] * several + ["all"] * all_too))
    dim = {"one": axis, "several": axes, "all": lambda *_: None}[form](draw, len(shape))
    return (In(shape),), {"dim": dim, "keepdim": draw(st.booleans())}


one = functools.partial(over, several=False)
one_dim = functools.partial(over, several=False, all_too=False)
one_filled_dim = functools.partial(over, several=False, all_too=False, filled=True)
filled_over = functools.partial(over, filled=True)


def product(draw: Any) -> Arguments:
    """prod takes no None for dim, and keepdim only with one."""
    (x,), kwargs = one(draw)
    x = In(x.shape, -1.5, 1.5)
    return (x,), kwargs if kwargs["dim"] is not None else {}


def typed(arguments: Callable[..., Arguments], *names: str) -> Callable[..., Arguments]:
    """The same arguments and dtype=."""

    def with_dtype(draw: Any) -> Arguments:
        args, kwargs = arguments(draw)
        return args, {**kwargs, "dtype": Type(draw(st.sampled_from(names)))}

    return with_dtype


def corrected(draw: Any) -> Arguments:
    args, kwargs = over(draw)
    return args, {**kwargs, "correction": draw(st.integers(0, 2))}


def normed(draw: Any) -> Arguments:
    args, kwargs = over(draw, filled=True)
    p = draw(st.sampled_from([0, 1, 2, 3, 0.5, float("inf"), float("-inf")]))
    return args, {"p": p, **kwargs}


def with_quantiles(draw: Any) -> Arguments:
    """q as a number or a vector, dim, keepdim and the rule between two elements."""
    (x,), kwargs = one(draw, filled=True)
    q: Any = In((), 0, 1)
    if draw(st.booleans()):
        q = In((draw(st.integers(0, 3)),), 0, 1)
    rules = ["linear", "lower", "higher", "midpoint", "nearest"]
    return (x, q), {**kwargs, "interpolation": draw(st.sampled_from(rules))}


def logits(draw: Any) -> Arguments:
    shape = draw(shapes())
    return (In(shape), axis(draw, len(shape))), {}


# -- references ------------------------------------------------------------------------------------


def by(function: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
    """A reduction of NumPy, which has other names for dim, keepdim and correction."""

    def reference(x: Any, dim: Any = None, keepdim: bool = False, **rest: Any) -> Any:
        if rest.pop("dtype", None):
            x = x.real  # PyTorch drops imaginary parts
        if "correction" in rest:
            rest["ddof"] = rest.pop("correction")
        found = function(x, axis=dim, keepdims=keepdim, **fixed, **rest)
        return tuple(found) if isinstance(found, tuple) else np.asarray(found)

    return of_scalars_too(reference)


def chosen(rank: Callable[..., Any]) -> Callable[..., Any]:
    """Values and indices along one dim where `rank(x, axis)` is the index of each result."""

    def reference(x: Any, dim: int, keepdim: bool) -> Any:
        index = np.expand_dims(rank(x, dim), dim)
        found = np.take_along_axis(x, index, dim), index
        return [a if keepdim else a.squeeze(dim) for a in found]

    return of_scalars_too(reference)


def middle(x: Any, dim: int, skips: bool = False) -> Any:
    """The index of the lower median. NaN is sorted behind all numbers: where it `skips` none, one
    NaN makes the median NaN."""
    order = np.argsort(x, dim, kind="stable")
    missing = np.isnan(x).sum(dim, keepdims=True)
    count = np.maximum(x.shape[dim] - missing, 1)
    rank = (count - 1) // 2
    if not skips:
        rank = np.where(missing > 0, x.shape[dim] - 1, rank)
    return np.take_along_axis(order, rank, dim).squeeze(dim)


def value_at_index(reference: Callable[..., Any]) -> Callable[..., Any]:
    """Of equal elements any index will do: that the element there is the result is what counts."""

    def checked(x: Any, dim: int, keepdim: bool) -> Any:
        value, _ = reference(x, dim=dim, keepdim=keepdim)

        def points(found: Any) -> bool:
            wide, index = (a if keepdim or not x.ndim else np.expand_dims(a, dim) for a in found)
            at = np.take_along_axis(x, index, dim) if x.ndim else x
            return index.dtype == np.int64 and bool(
                np.array_equal(widened(at), widened(wide), equal_nan=True)
            )

        return value, points

    return lambda x, dim, keepdim: checked(x, dim, keepdim)


def most_common(x: Any, dim: int) -> Any:
    value = scipy.stats.mode(x * 1, dim, keepdims=True).mode
    return np.argmax(x == value, dim)


def norm(x: Any, p: Any, axis: Any, keepdims: bool) -> Any:
    size = np.abs(x)
    if p == 0:
        return (size != 0).sum(axis, keepdims=keepdims).astype(float)
    if np.isinf(p):
        return (np.max if p > 0 else np.min)(size, axis, keepdims=keepdims)
    return (size**p).sum(axis, keepdims=keepdims) ** (1 / p)


def quantile(function: Callable[..., Any]) -> Callable[..., Any]:
    def reference(x: Any, q: Any, dim: Any, keepdim: bool, interpolation: str) -> Any:
        found = function(x, q, axis=dim, keepdims=keepdim, method=interpolation)
        return np.asarray(found)

    def of_any_rank(x: Any, *args: Any, dim: Any, keepdim: bool, **kwargs: Any) -> Any:
        if x.ndim == 0:
            return reference(x.reshape(1), *args, dim=0, keepdim=False, **kwargs)
        return reference(x, *args, dim=dim, keepdim=keepdim, **kwargs)

    return of_any_rank


def variance_and_mean(variance: Any, x: Any, axis: Any, keepdims: bool, ddof: int) -> Any:
    return variance(x, axis, ddof=ddof, keepdims=keepdims), np.mean(x, axis, keepdims=keepdims)


def logsumexp(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.log(np.exp(x.astype(float)).sum(axis, keepdims=keepdims))


def softmax(x: Any, axis: int) -> Any:
    weights = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
    return weights / weights.sum(axis, keepdims=True)


def truth(function: Callable[..., Any]) -> Callable[..., Any]:
    return by(lambda x, axis, keepdims: function(x != 0, axis, keepdims=keepdims))


def extremes(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.min(x, axis, keepdims=keepdims), np.max(x, axis, keepdims=keepdims)


ROWS = [
    Row("sum", over, by(np.sum)),
    Row("sum", typed(over, "float64"), by(np.sum), "dtype"),
    Row("nansum", over, by(np.nansum)),
    Row("sum", typed(over, "int8"), by(np.sum), "narrow", only=REAL[1:6]),
    Row("prod", typed(product, "int16"), by(np.prod), "narrow", only=REAL[1:6]),
    Row("mean", over, by(np.mean)),
    Row("mean", typed(over, "float64"), by(np.mean), "dtype"),
    Row("nanmean", over, by(np.nanmean)),
    Row("prod", product, by(np.prod)),
    Row("prod", typed(product, "float64"), by(np.prod), "dtype"),
    Row("amax", filled_over, by(np.max)),
    Row("amin", filled_over, by(np.min)),
    Row("aminmax", functools.partial(one, filled=True), by(extremes)),
    Row("max", filled_whole, np.max),
    Row("min", filled_whole, np.min),
    Row("max", one_filled_dim, chosen(np.argmax), "dim"),
    Row("min", one_filled_dim, chosen(np.argmin), "dim"),
    Row("argmax", functools.partial(one, filled=True), by(np.argmax)),
    Row("argmin", functools.partial(one, filled=True), by(np.argmin)),
    Row("all", over, truth(np.all)),
    Row("any", over, truth(np.any)),
    Row("count_nonzero", lambda draw: ((In(draw(shapes())),), {}), np.count_nonzero),
    Row("count_nonzero", lambda draw: _no_keepdim(over(draw)),
        of_scalars_too(lambda x, dim: np.count_nonzero(x, dim)), "dim"),
    Row("var", corrected, by(np.var)),
    Row("std", corrected, by(np.std)),
    Row("var_mean", corrected, by(functools.partial(variance_and_mean, np.var))),
    Row("std_mean", corrected, by(functools.partial(variance_and_mean, np.std))),
    # Second derivatives by complex numbers are left out until those of abs are right.
    Row("norm", normed, of_scalars_too(lambda x, p, dim, keepdim: norm(x, p, dim, keepdim)),
        second=False),
    Row("linalg.vector_norm", lambda draw: _named("ord", normed(draw)),
        of_scalars_too(lambda x, ord, dim, keepdim: norm(x, ord, dim, keepdim)), second=False),
    # Complex numbers are left out until logsumexp takes them.
    Row("logsumexp", functools.partial(over, all_too=False),
        by(logsumexp), only=REAL),
    Row("median", filled_whole, lambda x: x.reshape(-1)[middle(x.reshape(-1), 0)]),
    Row("nanmedian", filled_whole, lambda x: x.reshape(-1)[middle(x.reshape(-1), 0, True)]),
    Row("median", one_filled_dim, value_at_index(chosen(middle)), "dim"),
    Row("nanmedian", one_filled_dim,
        value_at_index(chosen(functools.partial(middle, skips=True))), "dim"),
    Row("mode", one_filled_dim, value_at_index(chosen(most_common)), only=REAL),
    Row("quantile", with_quantiles, quantile(np.quantile), second=False),
    Row("nanquantile", with_quantiles, quantile(np.nanquantile), second=False),
    Row("softmax", logits, scan(softmax)),
    Row("log_softmax", logits, scan(lambda x, axis: np.log(softmax(x, axis)))),
]  # fmt: skip


def _no_keepdim(call: Arguments) -> Arguments:
    return call[0], {"dim": call[1]["dim"]}


def _named(name: str, call: Arguments) -> Arguments:
    args, kwargs = call
    return args, {name: kwargs.pop("p"), **kwargs}
