"""Functions of neural networks: convolutions, pooling, norms and losses, by loops in NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sp
from hypothesis import strategies as st

from flambeau import int64

from .calls import Arguments, In, Row
from .drawing import FLOATS, shapes

WIDE = FLOATS[2:]
POSITIVE = {"low": 0.2, "high": 3.0}

# -- convolutions and pooling ----------------------------------------------------------------------


def convolved(dims: int, transposed: bool = False) -> Callable[[Any], Arguments]:
    """input, weight, perhaps bias; stride, padding, dilation and groups."""

    def arguments(draw: Any) -> Arguments:
        def each(low: int, high: int) -> tuple[int, ...]:
            return tuple(draw(st.integers(low, high)) for _ in range(dims))

        groups, inside, out = (draw(st.integers(1, 2)) for _ in range(3))
        kernel, dilation, padding = each(1, 3 - dims // 3), each(1, 2), each(0, 1)
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        size = tuple(r + draw(st.integers(0, 2)) for r in reach)
        x = In((draw(st.integers(0, 2)), groups * inside, *size))
        weight = (groups * inside, out) if transposed else (groups * out, inside)
        bias = (In((groups * out,)),) if draw(st.booleans()) else ()
        options = {"stride": each(1, 2), "padding": padding, "dilation": dilation}
        return (x, In((*weight, *kernel)), *bias), {**options, "groups": groups}

    return arguments


def convolution(
    x: Any, w: Any, b: Any = None, *, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Each place of the kernel times the part of the input that it meets."""
    kernel, n = w.shape[2:], len(stride)
    x = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    sizes = [
        (x.shape[2 + k] - dilation[k] * (kernel[k] - 1) - 1) // stride[k] + 1 for k in range(n)
    ]
    out = np.zeros((len(x), len(w), *sizes), x.dtype)
    into, fro = len(w) // groups, x.shape[1] // groups
    for g, place in itertools.product(range(groups), np.ndindex(*kernel)):
        met = x[:, g * fro : (g + 1) * fro][_places(place, sizes, stride, dilation)]
        part = w[(slice(g * into, (g + 1) * into), slice(None), *place)]
        out[:, g * into : (g + 1) * into] += np.einsum("nc...,oc->no...", met, part)
    return out if b is None else out + b.reshape(-1, *[1] * n)


def _places(place: Any, sizes: Any, stride: Any, dilation: Any) -> Any:
    starts = [p * d for p, d in zip(place, dilation, strict=True)]
    return (slice(None), slice(None), *[
        slice(s, s + (m - 1) * t + 1, t) for s, m, t in zip(starts, sizes, stride, strict=True)
    ])  # fmt: skip


def transposed(
    x: Any, w: Any, b: Any = None, *, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Each element of the input times the kernel, added where it falls."""
    kernel, n = w.shape[2:], len(stride)
    whole = [(x.shape[2 + k] - 1) * stride[k] + dilation[k] * (kernel[k] - 1) + 1 for k in range(n)]
    fro, into = len(w) // groups, w.shape[1]
    out = np.zeros((len(x), groups * into, *whole), x.dtype)
    for g, place in itertools.product(range(groups), np.ndindex(*kernel)):
        part = w[(slice(g * fro, (g + 1) * fro), slice(None), *place)]
        added = np.einsum("nc...,co->no...", x[:, g * fro : (g + 1) * fro], part)
        target = out[:, g * into : (g + 1) * into]
        target[_places(place, x.shape[2:], stride, dilation)] += added
    out = out[(..., *[slice(p, m - p) for p, m in zip(padding, whole, strict=True)])]
    return out if b is None else out + b.reshape(-1, *[1] * n)


def not_empty(arguments: Callable[[Any], Arguments]) -> Callable[[Any], Arguments]:
    """Padding may cut a transposed convolution down to nothing, which PyTorch refuses."""

    def drawn(draw: Any) -> Arguments:
        args, kwargs = arguments(draw)
        return args, {**kwargs, "padding": (0,) * len(kwargs["padding"])}

    return drawn


def pooled(dims: int, **options: Any) -> Callable[[Any], Arguments]:
    """input, kernel_size, stride and padding."""

    def arguments(draw: Any) -> Arguments:
        kernel = tuple(draw(st.integers(1, 3)) for _ in range(dims))
        size = tuple(k + draw(st.integers(0, 2)) for k in kernel)
        stride = tuple(draw(st.integers(1, 3)) for _ in range(dims))
        padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
        chosen = {k: draw(st.sampled_from(v)) for k, v in options.items()}
        x = In((draw(st.integers(1, 2)), draw(st.integers(1, 2)), *size))
        return (x, kernel, stride, padding), chosen

    return arguments


def windows(x: Any, kernel: Any, stride: Any, padding: Any, fill: float) -> Any:
    """(n, c, *places, *kernel)"""
    wide = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]], constant_values=fill)
    spatial = tuple(range(2, x.ndim))
    found = np.lib.stride_tricks.sliding_window_view(wide, kernel, spatial)
    return found[(slice(None), slice(None), *[slice(None, None, s) for s in stride])]


def max_pool(x: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    found = windows(x, kernel, stride, padding, -np.inf)
    return found.max(tuple(range(-len(kernel), 0)))


def avg_pool(x: Any, kernel: Any, stride: Any, padding: Any, count_include_pad: bool) -> Any:
    inner = tuple(range(-len(kernel), 0))
    total = windows(x, kernel, stride, padding, 0).sum(inner)
    counted = windows(np.ones_like(x), kernel, stride, padding, float(count_include_pad))
    return total / counted.sum(inner)


def adaptive(dims: int) -> Callable[[Any], Arguments]:
    def arguments(draw: Any) -> Arguments:
        size = tuple(draw(st.integers(1, 5)) for _ in range(dims))
        goal = tuple(draw(st.integers(1, 4)) for _ in range(dims))
        return (In((draw(st.integers(1, 2)), 2, *size)), goal), {}

    return arguments


def adaptive_pool(reduce: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """Cell i of m over n elements reaches from floor(i n / m) to ceil((i + 1) n / m)."""

    def reference(x: Any, goal: Any) -> Any:
        out = np.zeros((*x.shape[:2], *goal), x.dtype)
        inner = tuple(range(2, x.ndim))
        for place in np.ndindex(*goal):
            cell = tuple(slice(i * n // m, -(-(i + 1) * n // m))
                         for i, n, m in zip(place, x.shape[2:], goal, strict=True))  # fmt: skip
            out[(..., *place)] = reduce(x[(..., *cell)], inner)
        return out

    return reference


# -- norms -----------------------------------------------------------------------------------------


def normalized(x: Any, dims: Any, eps: float) -> Any:
    centred = x - x.mean(dims, keepdims=True)
    return centred / np.sqrt((centred**2).mean(dims, keepdims=True) + eps)


def layers(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1, min_side=1))
    last = shape[-draw(st.integers(1, len(shape))) :]
    return (In(shape), last, In(last), In(last)), {"eps": 0.1}


def layer_norm(x: Any, last: Any, w: Any, b: Any, eps: float) -> Any:
    return normalized(x, tuple(range(-len(last), 0)), eps) * w + b


def root_means(draw: Any) -> Arguments:
    (x, last, w, _), kwargs = layers(draw)
    return (x, last, w), kwargs


def rms_norm(x: Any, last: Any, w: Any, eps: float) -> Any:
    dims = tuple(range(-len(last), 0))
    return x / np.sqrt((x * x).mean(dims, keepdims=True) + eps) * w


def channels(least: int = 1) -> Callable[[Any], Arguments]:
    """input (n, c, ...), weight and bias of c."""

    def arguments(draw: Any) -> Arguments:
        c = draw(st.integers(1, 2)) * 2
        x = In((draw(st.integers(2, 3)), c, *draw(shapes(least, 2, 2))))
        return (x, None, None, In((c,)), In((c,))), {"eps": 0.1}

    return arguments


def batches(draw: Any) -> Arguments:
    args, kwargs = channels(0)(draw)
    return args, {**kwargs, "training": True}


def _spread(v: Any, x: Any) -> Any:
    return v.reshape(-1, *[1] * (x.ndim - 2))


def batch_norm(x: Any, _m: Any, _v: Any, w: Any, b: Any, eps: float, training: bool) -> Any:
    return normalized(x, (0, *range(2, x.ndim)), eps) * _spread(w, x) + _spread(b, x)


def instance_norm(x: Any, _m: Any, _v: Any, w: Any, b: Any, eps: float) -> Any:
    return normalized(x, tuple(range(2, x.ndim)), eps) * _spread(w, x) + _spread(b, x)


def groups(draw: Any) -> Arguments:
    (x, _, _, w, b), kwargs = channels()(draw)
    return (x, draw(st.sampled_from([1, 2])), w, b), kwargs


def group_norm(x: Any, count: int, w: Any, b: Any, eps: float) -> Any:
    parts = x.reshape(len(x), count, -1)
    return normalized(parts, -1, eps).reshape(x.shape) * _spread(w, x) + _spread(b, x)


def unit(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    return (In(shape),), {"p": draw(st.sampled_from([1.0, 2.0, 3.0])), "dim": dim}


def normalize(x: Any, p: float, dim: int) -> Any:
    size = (np.abs(x) ** p).sum(dim, keepdims=True) ** (1 / p)
    return x / np.maximum(size, 1e-12)


# -- losses ----------------------------------------------------------------------------------------

REDUCTIONS = st.sampled_from(["none", "mean", "sum"])


def paired(least: int = 0, target: Any = None, **options: Any) -> Callable[[Any], Arguments]:
    """input and target of one shape, one of each of the `options`, and reduction."""

    def arguments(draw: Any) -> Arguments:
        shape = draw(shapes(min_dims=least, max_dims=3))
        y = In(shape, **target) if target else In(shape)
        chosen = {k: draw(st.sampled_from(v)) for k, v in options.items()}
        return (In(shape), y), {**chosen, "reduction": draw(REDUCTIONS)}

    return arguments


def reduced(formula: Callable[..., Any]) -> Callable[..., Any]:
    """The elements' losses by `formula`, all of them, their mean or their sum."""

    def reference(*args: Any, reduction: str, **kwargs: Any) -> Any:
        each = np.asarray(formula(*args, **kwargs))
        return each if reduction == "none" else getattr(np, reduction)(each)

    return reference


def huber(x: Any, y: Any, delta: float) -> Any:
    d = np.abs(x - y)
    return np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def smooth(x: Any, y: Any, beta: float) -> Any:
    return huber(x, y, beta) / beta


def probabilities(draw: Any) -> Arguments:
    inside = {"low": 0.1, "high": 0.9}
    (x, _), kwargs = paired()(draw)
    return (In(x.shape, **inside), In(x.shape, **inside)), kwargs


def signs(a: Any) -> Any:
    return np.where(a > 0, 1.0, -1.0)


def ranks(draw: Any) -> Arguments:
    (x, _), kwargs = paired()(draw)
    return (x, In(x.shape), In(x.shape, made=signs)), {**kwargs, "margin": 0.5}


def labelled(draw: Any) -> Arguments:
    """Rows of scores and a class for each, with a weight for each class."""
    n, c = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    where = In((n,), 0, c - 1, dtype=int64)
    weight = {"weight": In((c,), **POSITIVE, constant=True)} if draw(st.booleans()) else {}
    return (In((n, c)), where), {**weight, "reduction": draw(REDUCTIONS)}


def nll(x: Any, y: Any, reduction: str, weight: Any = None) -> Any:
    w = np.ones(x.shape[1]) if weight is None else weight
    each = -x[np.arange(len(y)), y] * w[y]
    return {"none": each, "sum": each.sum(), "mean": each.sum() / w[y].sum()}[reduction]


def cross_entropy(x: Any, y: Any, **options: Any) -> Any:
    return nll(x - np.log(np.exp(x).sum(1, keepdims=True)), y, **options)


def multi_margin(x: Any, y: Any, reduction: str, weight: Any = None) -> Any:
    rows = np.arange(len(y))
    gaps = np.maximum(0, 1 - x[rows, y][:, None] + x)
    gaps = gaps if weight is None else gaps * weight[y][:, None]
    gaps[rows, y] = 0
    each = gaps.sum(1) / x.shape[1]
    return each if reduction == "none" else getattr(np, reduction)(each)


def gaussians(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1, max_dims=3))
    return (In(shape), In(shape), In(shape, **POSITIVE)), {"reduction": draw(REDUCTIONS)}


def triplets(draw: Any) -> Arguments:
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 4)))
    return (In(shape), In(shape), In(shape)), {"margin": 1.0, "reduction": draw(REDUCTIONS)}


def distance(x: Any, y: Any) -> Any:
    return np.sqrt(((x - y + 1e-6) ** 2).sum(-1))


def triplet(a: Any, p: Any, n: Any, margin: float) -> Any:
    return np.maximum(distance(a, p) - distance(a, n) + margin, 0)


def halves(draw: Any) -> Arguments:
    shape = list(draw(shapes(min_dims=1)))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    shape[dim] = 2 * draw(st.integers(1, 2))
    return (In(tuple(shape)), dim), {}


def glu(x: Any, dim: int) -> Any:
    a, b = np.split(x, 2, dim)
    return a * sp.expit(b)


def rows_of(draw: Any) -> Arguments:
    n, d = draw(st.integers(1, 4)), draw(st.integers(0, 3))
    return (In(draw(shapes(max_dims=2)), 0, n - 1, dtype=int64), In((n, d))), {}


def _layers() -> list[Row]:
    wide: dict[str, Any] = {"only": WIDE, "terms": 256}
    found = []
    for d in (1, 2, 3):
        found += [
            Row(f"conv{d}d", convolved(d), convolution, **wide),
            Row(f"conv_transpose{d}d", not_empty(_ordered(d)), transposed, **wide),
            Row(f"F.max_pool{d}d", pooled(d), max_pool, **wide),
            Row(f"F.avg_pool{d}d", _averaged(d), avg_pool, **wide),
            Row(f"F.adaptive_avg_pool{d}d", adaptive(d), adaptive_pool(np.mean), **wide),
            Row(f"F.adaptive_max_pool{d}d", adaptive(d), adaptive_pool(np.max), **wide),
        ]
    return found


def _ordered(dims: int) -> Callable[[Any], Arguments]:
    return convolved(dims, transposed=True)


def _averaged(dims: int) -> Callable[[Any], Arguments]:
    return pooled(dims, count_include_pad=[False, True])


def loss(name: str, arguments: Any, formula: Any, **options: Any) -> Row:
    return Row(f"F.{name}", arguments, reduced(formula), **{"only": WIDE, "terms": 64, **options})


ROWS = [
    *_layers(),
    Row("F.layer_norm", layers, layer_norm, only=WIDE, terms=64),
    Row("F.rms_norm", root_means, rms_norm, only=WIDE, terms=64),
    Row("F.batch_norm", batches, batch_norm, only=WIDE, terms=64),
    Row("F.instance_norm", channels(), instance_norm, only=WIDE, terms=64),
    Row("F.group_norm", groups, group_norm, only=WIDE, terms=64),
    Row("F.normalize", unit, normalize, only=WIDE, terms=64),
    loss("mse_loss", paired(), lambda x, y: (x - y) ** 2),
    loss("l1_loss", paired(), lambda x, y: np.abs(x - y)),
    loss("smooth_l1_loss", paired(beta=[0.5, 1.0]), smooth),
    loss("huber_loss", paired(delta=[0.5, 1.0]), huber),
    loss("binary_cross_entropy", probabilities,
         lambda p, t: -(t * np.log(p) + (1 - t) * np.log1p(-p))),
    loss("binary_cross_entropy_with_logits", paired(target={"low": 0.1, "high": 0.9}),
         lambda x, t: np.logaddexp(0, x) - x * t),
    loss("kl_div", paired(1, target=POSITIVE), lambda x, t: sp.xlogy(t, t) - t * x),
    loss("soft_margin_loss", paired(target={"made": signs}), lambda x, y: np.log1p(np.exp(-x * y))),
    loss("hinge_embedding_loss", paired(target={"made": signs}),
         lambda x, y: np.where(y > 0, x, np.maximum(0, 1 - x))),
    loss("margin_ranking_loss", ranks, lambda a, b, y, margin: np.maximum(0, margin - y * (a - b))),
    loss("poisson_nll_loss", paired(target=POSITIVE), lambda x, t: np.exp(x) - t * x),
    loss("gaussian_nll_loss", gaussians, lambda x, t, v: 0.5 * (np.log(v) + (x - t) ** 2 / v)),
    loss("triplet_margin_loss", triplets, triplet),
    Row("F.nll_loss", labelled, nll, only=WIDE, terms=64),
    Row("F.cross_entropy", labelled, cross_entropy, only=WIDE, terms=64),
    Row("F.multi_margin_loss", labelled, multi_margin, only=WIDE, terms=64),
    Row("F.pairwise_distance", lambda draw: (triplets(draw)[0][:2], {}), distance, only=WIDE,
        terms=64),
    Row("F.glu", halves, glu, only=WIDE),
    Row("F.embedding", rows_of, lambda i, w: w[i]),
    Row("F.one_hot", lambda draw: ((In(draw(shapes()), 0, 3, dtype=int64), 4), {}),
        lambda i, n: np.eye(n, dtype=np.int64)[i], gradient=False),
]  # fmt: skip
