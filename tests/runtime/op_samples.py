"""The table of operations and sample inputs that all generic tests run over.

Arrays are float64 (gradients are checked by differences), integers int64. `reference` is a NumPy
function of the same arguments, given wherever NumPy has a counterpart.
"""

# ruff: noqa: E501 - a table reads best with a sample a line

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

import flambeau as torch

from .samples import (
    core_samples,
    gamma_samples,
    linalg_samples,
    loss_samples,
    nn_samples,
    polynomial_samples,
    quantized_samples,
    recurrent_samples,
    sparse_samples,
)
from .samples.kit import Sample, apart, array, integers


def unary(
    reference: Callable[..., Any] | None, low: float = -2.0, high: float = 2.0, **kwargs: Any
) -> list[Sample]:
    """A vector, a matrix, a scalar and nothing, between `low` and `high`."""
    shapes = [(5,), (2, 3), (), (0, 3)]
    return [
        Sample((array(*s, low=low, high=high, seed=k),), kwargs, reference)
        for k, s in enumerate(shapes)
    ]


def kinked(
    reference: Callable[..., Any] | None, gradient: bool = True, **kwargs: Any
) -> list[Sample]:
    """Like `unary` with numbers away from 0 and from each other."""
    return [Sample((apart(*s),), kwargs, reference, gradient) for s in [(6,), (2, 3), (0, 3)]]


def binary(
    reference: Callable[..., Any] | None,
    low: float = -2.0,
    high: float = 2.0,
    gradient: bool = True,
) -> list[Sample]:
    """Equal shapes, broadcasting both ways, a number on the right, nothing."""
    pairs = [((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2,)), ((0, 2), (2,))]
    samples = [
        Sample((array(*a, low=low, high=high, seed=1), array(*b, low=low, high=high, seed=7)), {}, reference,
               gradient)
        for a, b in pairs
    ]  # fmt: skip
    return [*samples, Sample((array(4, low=low, high=high), 1.5), {}, reference, gradient)]


def distinct_pairs(reference: Callable[..., Any], gradient: bool = True) -> list[Sample]:
    """Operands that are nowhere equal."""
    values = apart(12, seed=3)
    pairs = [(values[:6].reshape(2, 3), values[6:9]), (values[:3], values[3:6])]
    return [Sample(p, {}, reference, gradient) for p in pairs]


def reduction(reference: Callable[..., Any], **kwargs: Any) -> list[Sample]:
    """All elements, one dimension kept or not, several, negative; `reference` takes axis and
    keepdims."""
    calls: list[dict[str, Any]] = [{}, {"dim": 1}, {"dim": -1, "keepdim": True}, {"dim": (0, 2)}]
    samples = []
    for call in calls:
        ref = functools.partial(
            reference, axis=call.get("dim"), keepdims=call.get("keepdim", False)
        )
        samples.append(Sample((apart(2, 3, 4),), {**kwargs, **call}, _ignoring_kwargs(ref)))
    return [
        *samples,
        Sample((np.asarray(1.5),), kwargs, _ignoring_kwargs(functools.partial(reference))),
    ]


def _ignoring_kwargs(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: function(*args)


def _stable_softmax(x: Any, dim: int) -> Any:
    return scipy.special.softmax(x, dim)


POSITIVE = {"low": 0.3, "high": 3.0}
INSIDE = {"low": -0.9, "high": 0.9}
sp = scipy.special

POINTWISE: dict[str, list[Sample]] = {
    "add": [*binary(np.add), Sample((array(3), array(3, seed=1)), {"alpha": 2.0},
                                    lambda x, y, alpha: x + alpha * y)],
    "sub": [*binary(np.subtract), Sample((array(3), array(3, seed=1)), {"alpha": 2.0},
                                         lambda x, y, alpha: x - alpha * y)],
    "rsub": binary(lambda x, y: y - x),
    "mul": binary(np.multiply),
    "div": [
        *binary(np.divide, **POSITIVE),
        Sample((apart(6), np.asarray(0.7)), {"rounding_mode": "floor"},
               lambda x, y, rounding_mode: np.floor_divide(x, y), second_order=False),
        Sample((apart(6), np.asarray(0.7)), {"rounding_mode": "trunc"},
               lambda x, y, rounding_mode: np.trunc(x / y), second_order=False),
    ],
    "floor_divide": [Sample((integers(5, high=9), integers(5, high=4, seed=1) + 1), {}, np.floor_divide)],
    "remainder": [Sample((apart(6), np.full(6, 0.7)), {}, np.remainder)],
    "fmod": [Sample((apart(6), np.full(6, 0.7)), {}, np.fmod)],
    "neg": unary(np.negative),
    "abs": kinked(np.abs),
    "sign": kinked(np.sign),
    "floor": kinked(np.floor),
    "ceil": kinked(np.ceil),
    "trunc": kinked(np.trunc),
    "round": [Sample((apart(2, 3) + 0.05,), {}, np.round), Sample((apart(4),), {"decimals": 1}, lambda x, decimals: np.round(x, 1))],
    "square": unary(np.square),
    "reciprocal": unary(np.reciprocal, **POSITIVE),
    "pow": [
        *binary(np.power, **POSITIVE),
        *[Sample((array(4), p), {}, np.power) for p in (0, 1, 2, 3, 4, 2.0)],
        *[Sample((array(4, **POSITIVE), p), {}, np.power) for p in (-1, 0.5, -2.5, 1.7)],
        Sample((2.0, array(3)), {}, np.power),
    ],
    "maximum": distinct_pairs(np.maximum),
    "minimum": distinct_pairs(np.minimum),
    "clamp": [
        Sample((apart(8),), {"min": -0.45, "max": 0.35}, lambda x, min, max: np.clip(x, min, max)),
        Sample((apart(8),), {"min": 0.0}, lambda x, min: np.maximum(x, min)),
        Sample((apart(8), apart(8, seed=4) - 0.03), {}, np.maximum),
        Sample((apart(8), apart(8, seed=4) - 0.8, apart(8, seed=5) + 0.83), {}, np.clip),
    ],
    "where": [
        Sample((np.array([True, False, True]), array(3), array(3, seed=1)), {}, np.where),
        Sample((np.array([[True], [False]]), array(3), 2.5), {}, np.where),
    ],
    "masked_fill": [
        Sample((array(2, 3), np.array([True, False, True]), 7.0), {}, lambda x, m, v: np.where(m, v, x))
    ],
    "lerp": [
        Sample((array(3), array(3, seed=1), array(3, seed=2)), {}, lambda x, e, w: x + w * (e - x)),
        Sample((array(3), array(3, seed=1), 0.7), {}, lambda x, e, w: x + w * (e - x)),
             Sample((array(3), array(3, seed=1), 0.3), {}, lambda x, e, w: x + w * (e - x))],
    "addcmul": [Sample((array(2, 3), array(3, seed=1), array(2, 1, seed=2)), {"value": 0.5},
                       lambda x, a, b, value: x + value * a * b)],
    "addcdiv": [Sample((array(3), array(3, seed=1), array(3, **POSITIVE)), {"value": 0.5},
                       lambda x, a, b, value: x + value * a / b)],
    "exp": unary(np.exp),
    "exp2": unary(np.exp2),
    "expm1": unary(np.expm1),
    "log": unary(np.log, **POSITIVE),
    "log2": unary(np.log2, **POSITIVE),
    "log10": unary(np.log10, **POSITIVE),
    "log1p": unary(np.log1p, low=-0.5, high=3.0),
    "sqrt": unary(np.sqrt, **POSITIVE),
    "rsqrt": unary(lambda x: 1 / np.sqrt(x), **POSITIVE),
    "sin": unary(np.sin),
    "cos": unary(np.cos),
    "tan": unary(np.tan, low=-1.0, high=1.0),
    "asin": unary(np.arcsin, **INSIDE),
    "acos": unary(np.arccos, **INSIDE),
    "atan": unary(np.arctan),
    "sinh": unary(np.sinh),
    "cosh": unary(np.cosh),
    "tanh": unary(np.tanh),
    "asinh": unary(np.arcsinh),
    "acosh": unary(np.arccosh, low=1.2, high=3.0),
    "atanh": unary(np.arctanh, **INSIDE),
    "erf": unary(sp.erf),
    "erfc": unary(sp.erfc),
    "erfinv": unary(sp.erfinv, **INSIDE),
    "lgamma": [Sample(s.args, s.kwargs, s.reference, second_order=False)
               for s in unary(sp.gammaln, **POSITIVE)],
    "sigmoid": unary(sp.expit),
    "atan2": binary(np.arctan2, **POSITIVE),
    "logaddexp": binary(np.logaddexp)[:-1],
    "relu": kinked(lambda x: np.maximum(x, 0)),
    "leaky_relu": kinked(lambda x, negative_slope: np.where(x > 0, x, x * negative_slope), negative_slope=0.1),
    "elu": kinked(lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x)), alpha=0.7),
    "gelu": [*unary(lambda x: x * 0.5 * (1 + sp.erf(x / np.sqrt(2)))),
             *unary(lambda x, approximate: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
                    approximate="tanh")],
    "silu": unary(lambda x: x * sp.expit(x)),
    "mish": unary(lambda x: x * np.tanh(np.logaddexp(x, 0))),
    "softplus": [*unary(lambda x: np.logaddexp(x, 0)),
                 Sample((array(5),), {"beta": 2.0, "threshold": 1.0},
                        lambda x, beta, threshold: np.where(x * beta > threshold, x,
                                                            np.logaddexp(x * beta, 0) / beta))],
    "logsigmoid": unary(lambda x: -np.logaddexp(-x, 0)),
    "hardtanh": kinked(lambda x: np.clip(x, -1, 1)),
    "relu6": kinked(lambda x: np.clip(x, 0, 6)),
    "hardsigmoid": kinked(lambda x: np.clip(x + 3, 0, 6) / 6),
    "hardswish": kinked(lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "softsign": kinked(lambda x: x / (1 + np.abs(x))),
}  # fmt: skip

PREDICATES: dict[str, list[Sample]] = {
    name: [Sample((integers(2, 3), integers(3, seed=1)), {}, reference, False),
           Sample((array(3), 0.5), {}, reference, False)]
    for name, reference in {
        "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
        "ge": np.greater_equal, "logical_and": np.logical_and, "logical_or": np.logical_or,
        "logical_xor": np.logical_xor,
    }.items()
} | {
    name: [Sample((np.array([0.0, 1.0, np.nan, np.inf, -np.inf]),), {}, reference, False)]
    for name, reference in {
        "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite, "logical_not": np.logical_not,
    }.items()
} | {
    name: [Sample((integers(4), integers(4, seed=2)), {}, reference, False)]
    for name, reference in {
        "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    }.items()
} | {"bitwise_not": [Sample((integers(4),), {}, np.invert, False),
                     Sample((np.array([True, False]),), {}, np.invert, False)]}  # fmt: skip

REDUCTIONS: dict[str, list[Sample]] = {
    "sum": reduction(np.sum),
    "mean": reduction(np.mean),
    "prod": [*reduction(np.prod),
             Sample((np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 1.0]]),), {"dim": 1},
                    lambda x, dim: np.prod(x, dim))],
    "amax": reduction(np.max),
    "amin": reduction(np.min),
    "max": [Sample((apart(3, 4),), {}, np.max), Sample((apart(3, 4), 1), {}, None),
            *distinct_pairs(np.maximum)],
    "min": [Sample((apart(3, 4),), {}, np.min), Sample((apart(3, 4), 0, True), {}, None),
            *distinct_pairs(np.minimum)],
    "argmax": [Sample((apart(3, 4),), {}, np.argmax, False),
               Sample((apart(3, 4), 1), {}, np.argmax, False)],
    "argmin": [Sample((apart(3, 4),), {}, np.argmin, False),
               Sample((apart(3, 4), -1), {}, np.argmin, False)],
    "var": [Sample((array(3, 4),), {}, lambda x: np.var(x, ddof=1)),
            Sample((array(3, 4), 1), {"keepdim": True}, lambda x, d, keepdim: np.var(x, d, ddof=1, keepdims=True)),
            Sample((array(3, 4), (0, 1)), {"correction": 0}, lambda x, d, correction: np.var(x, d))],
    "var_over": [Sample((array(3, 4),), {"dim": 1, "freedom": 2.5}, lambda x, dim, freedom: np.var(x, dim) * 4 / freedom)],
    "std": [Sample((array(3, 4), 0), {}, lambda x, d: np.std(x, d, ddof=1)),
            Sample((array(3, 4), 0, False), {}, lambda x, d, u: np.std(x, d))],
    "norm": [Sample((array(3, 4),), {}, np.linalg.norm),
             *[Sample((apart(3, 4), p, 1), {}, lambda x, p, d: np.linalg.norm(x, p, d))
               for p in (1, 2, 3, float("inf"), float("-inf"))]],
    "logsumexp": [Sample((array(3, 4), 1), {}, sp.logsumexp),
                  Sample((array(3, 4), (0, 1), True), {}, lambda x, d, k: sp.logsumexp(x, d, keepdims=True))],
    "all": [Sample((np.array([[True, False], [True, True]]), 1), {}, np.all, False)],
    "any": [Sample((np.array([[True, False], [False, False]]), 1), {}, np.any, False)],
    "hash_tensor": [
        Sample(
            (np.array([[1.0, -2.0], [0.5, 3.0]]),),
            {"dim": 1},
            lambda x, dim: np.bitwise_xor.reduce(x.view(np.uint64), dim),
            False,
        )
    ],
    "count_nonzero": [Sample((np.array([[1.0, 0.0], [2.0, 3.0]]),), {}, np.count_nonzero, False)],
    "cumsum": [Sample((array(3, 4), 1), {}, np.cumsum), Sample((array(3, 4), 0), {}, np.cumsum)],
    "softmax": [Sample((array(3, 4), 1), {}, sp.softmax), Sample((array(2, 3, 2), 1), {}, sp.softmax)],
    "log_softmax": [Sample((array(3, 4), -1), {}, sp.log_softmax)],
}  # fmt: skip

PRODUCTS: dict[str, list[Sample]] = {
    "matmul": [Sample((array(*a), array(*b, seed=1)), {}, np.matmul) for a, b in [
        ((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((5, 2, 3), (3, 4)),
        ((5, 2, 3), (5, 3, 4)), ((2, 3), (5, 3, 4)), ((2, 1, 2, 3), (4, 3, 2)), ((3,), (2, 3, 4)),
        ((2, 4, 3), (3,)), ((0, 3), (3, 2)),
    ]],
    "mm": [Sample((array(2, 3), array(3, 4)), {}, np.matmul)],
    "bmm": [Sample((array(2, 2, 3), array(2, 3, 4)), {}, np.matmul)],
    "mv": [Sample((array(2, 3), array(3)), {}, np.matmul)],
    "dot": [Sample((array(3), array(3, seed=1)), {}, np.dot)],
    "outer": [Sample((array(3), array(2)), {}, np.outer)],
    "_int_mm": [Sample((np.arange(-6, 6, dtype=np.int8).reshape(3, 4), np.arange(-64, 64, 8, dtype=np.int8).reshape(4, 4)), {}, lambda a, b: a.astype(np.int32) @ b.astype(np.int32), gradient=False)],
    "addmm": [Sample((array(4), array(2, 3), array(3, 4)), {"beta": 0.5, "alpha": 2.0},
                     lambda c, a, b, beta, alpha: beta * c + alpha * (a @ b)),
              Sample((array(4), array(2, 3), array(3, 4)), {}, lambda c, a, b: c + a @ b)],
    "linear": [
        Sample((array(5, 3), array(2, 3), array(2)), {}, lambda x, w, b: x @ w.T + b),
        Sample((array(4, 5, 3), array(2, 3)), {}, lambda x, w: x @ w.T),
        Sample((array(3), array(2, 3), array(2)), {}, lambda x, w, b: x @ w.T + b),
    ],
}  # fmt: skip

MOVEMENT: dict[str, list[Sample]] = {
    "view": [Sample((array(2, 6), 3, -1), {}, lambda x, *s: x.reshape(s))],
    "reshape": [Sample((array(2, 6), (4, 3)), {}, np.reshape), Sample((array(0, 3), (3, 0)), {}, np.reshape)],
    "permute": [Sample((array(2, 3, 4), (2, 0, 1)), {}, np.transpose),
                Sample((array(2, 3, 4), -1, 0, 1), {}, lambda x, *d: np.transpose(x, d))],
    "transpose": [Sample((array(2, 3, 4), 0, -1), {}, np.swapaxes)],
    "view_as_dtype": [Sample((integers(2, 3),), {"dtype": torch.complex64}, lambda x, dtype: x.view(dtype.numpy), False)],
    "t": [Sample((array(2, 3),), {}, np.transpose), Sample((array(3),), {}, np.transpose)],
    "movedim": [Sample((array(2, 3, 4), 0, 2), {}, np.moveaxis),
                Sample((array(2, 3, 4), (0, 1), (2, 0)), {}, np.moveaxis)],
    "expand": [Sample((array(2, 1), 2, 3), {}, lambda x, *s: np.broadcast_to(x, s)),
               Sample((array(1, 3), (4, -1, 3)), {}, lambda x, s: np.broadcast_to(x, (4, 1, 3)))],
    "broadcast_to": [Sample((array(3), (2, 3)), {}, np.broadcast_to)],
    "unsqueeze": [Sample((array(2, 3), 1), {}, np.expand_dims), Sample((array(2), -1), {}, np.expand_dims)],
    "squeeze": [Sample((array(2, 1, 3, 1),), {}, np.squeeze), Sample((array(2, 1, 3), 1), {}, np.squeeze)],
    "flatten": [Sample((array(2, 3, 4), 1), {}, lambda x, s: x.reshape(2, 12)),
                Sample((array(2, 3, 4),), {}, np.ravel)],
    "unflatten": [Sample((array(2, 12), 1, (3, -1)), {}, lambda x, d, s: x.reshape(2, 3, 4))],
    "ravel": [Sample((array(2, 3),), {}, np.ravel)],
    "clone": [Sample((array(2, 3),), {}, np.copy)],
    "contiguous": [Sample((array(2, 3),), {}, np.copy)],
    "cat": [Sample(([array(2, 3), array(1, 3, seed=1)],), {}, np.concatenate),
            Sample(([array(2, 3), array(2, 2)], -1), {}, np.concatenate),
            Sample(([array(0), array(2, 3)],), {}, lambda xs: xs[1])],
    "pass_through": [Sample(([array(2, 3), array(3)],), {}, lambda xs: list(xs))],
    "stack": [Sample(([array(2, 3), array(2, 3, seed=1)], 1), {}, np.stack)],
    "split": [Sample((array(5, 2), 2), {}, lambda x, n: [x[:2], x[2:4], x[4:]]),
              Sample((array(2, 5), [1, 4], 1), {}, lambda x, s, d: [x[:, :1], x[:, 1:]])],
    "chunk": [Sample((array(5, 2), 2), {}, lambda x, n: [x[:3], x[3:]])],
    "unbind": [Sample((array(3, 2), 1), {}, lambda x, d: [x[:, 0], x[:, 1]])],
    "narrow": [Sample((array(3, 4), 1, 1, 2), {}, lambda x, d, s, n: x[:, 1:3])],
    "select": [Sample((array(3, 4), 1, -1), {}, lambda x, d, i: x[:, -1])],
    "flip": [Sample((array(3, 4), (0, 1)), {}, np.flip)],
    "roll": [Sample((array(3, 4), 1, 0), {}, np.roll), Sample((array(3, 4), 2), {}, np.roll),
             Sample((array(3, 4), (1, 2), (0, 1)), {}, np.roll)],
    "repeat": [Sample((array(2, 3), 2, 1), {}, lambda x, *n: np.tile(x, n)),
               Sample((array(3), (2, 2)), {}, np.tile)],
    "tril": [Sample((array(3, 4),), {}, np.tril), Sample((array(2, 3, 3), -1), {}, np.tril)],
    "triu": [Sample((array(3, 4), 1), {}, np.triu)],
    "pad_constant": [Sample((array(2, 3),), {"pad": (1, 2, 0, 1), "value": 1.5},
                            lambda x, pad, value: np.pad(x, ((0, 1), (1, 2)), constant_values=value)),
                     Sample((array(2, 4),), {"pad": (-1, -2)}, lambda x, pad: x[:, 1:2])],
}  # fmt: skip

_ROWS = np.array([0, 2, 2])
INDEXING: dict[str, list[Sample]] = {
    "getitem": [
        Sample((array(3, 4), 1), {}, lambda x, i: x[i]),
        Sample((array(3, 4), (slice(None), slice(1, 4, 2))), {}, lambda x, i: x[i]),
        Sample((array(3, 4), (None, Ellipsis, -1)), {}, lambda x, i: x[i]),
        Sample((array(3, 4), _ROWS), {}, lambda x, i: x[i]),
        Sample((array(3, 4), (slice(None), _ROWS)), {}, lambda x, i: x[i]),
        Sample((array(3, 4), (_ROWS, np.array([1, 0, 0]))), {}, lambda x, i: x[i]),
    ],
    "index_put_values": [
        Sample((array(3, 4), array(2, 1, seed=1)), {"index": (_ROWS[:2],), "accumulate": False}, None),
        Sample((array(3, 4), array(3, 4, seed=1)), {"index": (_ROWS,), "accumulate": True}, None),
    ],
    "gather": [Sample((array(3, 4), 1, integers(3, 2, high=4)), {}, lambda x, d, i: np.take_along_axis(x, i, d)),
               Sample((array(3, 4), 0, integers(2, 4, high=3)), {}, lambda x, d, i: np.take_along_axis(x, i, d))],
    "take_along_dim": [Sample((array(3, 4), integers(3, 2, high=4), 1), {}, np.take_along_axis)],
    "scatter": [Sample((array(3, 4), 1, np.array([[0, 2], [1, 0], [3, 1]]), array(3, 2, seed=1)), {}, None),
                Sample((array(3, 4), 1, np.array([[0, 2], [1, 0], [3, 1]])), {"value": 2.0}, None)],
    "scatter_add": [Sample((array(3, 4), 1, integers(3, 2, high=2), array(3, 2, seed=1)), {}, None)],
    "index_select": [Sample((array(3, 4), 1, _ROWS), {}, lambda x, d, i: x[:, i])],
    "nonzero": [Sample((np.array([[1.0, 0.0], [0.0, 2.0]]),), {}, lambda x: np.argwhere(x), False)],
    "embedding_lookup": [Sample((array(5, 3), integers(2, 4)), {}, lambda w, i: w[i]),
                         Sample((array(5, 3), integers(4)), {"padding_idx": 0}, None, gradient=False)],
    "sort": [Sample((apart(3, 4),), {}, None), Sample((apart(3, 4), 0, True), {}, None)],
    "argsort": [Sample((apart(3, 4),), {}, np.argsort, False)],
    "topk": [Sample((apart(3, 4), 2), {}, None)],
}  # fmt: skip

SAMPLES: dict[str, list[Sample]] = {
    **POINTWISE, **PREDICATES, **REDUCTIONS, **PRODUCTS, **MOVEMENT, **INDEXING, **nn_samples.SAMPLES,
    **core_samples.SAMPLES, **gamma_samples.SAMPLES, **linalg_samples.SAMPLES,
    **loss_samples.SAMPLES, **polynomial_samples.SAMPLES, **recurrent_samples.SAMPLES,
    **quantized_samples.SAMPLES, **sparse_samples.SAMPLES,
}  # fmt: skip
for _name in ("atan2", "logical_and", "logical_or", "logical_xor"):  # they take no numbers
    SAMPLES[_name] = SAMPLES[_name][:-1]
