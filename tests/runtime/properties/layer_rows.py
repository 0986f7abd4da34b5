"""Functions of neural networks: convolutions, pooling, norms, attention, by loops in NumPy."""

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


def unit_dim(draw: Any) -> Arguments:
    (x,), kwargs = unit(draw)
    return (x,), {"dim": kwargs["dim"]}


def unit(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    return (In(shape),), {"p": draw(st.sampled_from([1.0, 2.0, 3.0])), "dim": dim}


def normalize(x: Any, p: float, dim: int) -> Any:
    size = (np.abs(x) ** p).sum(dim, keepdims=True) ** (1 / p)
    return x / np.maximum(size, 1e-12)


def halves(draw: Any) -> Arguments:
    shape = list(draw(shapes(min_dims=1)))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    shape[dim] = 2 * draw(st.integers(1, 2))
    return (In(tuple(shape)), dim), {}


def glu(x: Any, dim: int) -> Any:
    a, b = np.split(x, 2, dim)
    return a * sp.expit(b)


def blocks(draw: Any) -> Arguments:
    """Sizes for F.unfold: kernel, dilation, padding and stride."""
    kernel, dilation, padding, stride = (
        tuple(draw(st.integers(low, high)) for _ in range(2))
        for low, high in [(1, 2), (1, 2), (0, 1), (1, 2)]
    )
    size = [
        d * (k - 1) + 1 + draw(st.integers(0, 2)) for k, d in zip(kernel, dilation, strict=True)
    ]
    x = In((draw(st.integers(1, 2)), draw(st.integers(1, 2)), *size))
    return (x, kernel, dilation, padding, stride), {}


def unfold(x: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """Column by column what each place of the kernel meets."""
    wide = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    sizes = [(wide.shape[2 + k] - dilation[k] * (kernel[k] - 1) - 1) // stride[k] + 1
             for k in range(2)]  # fmt: skip
    met = [wide[_places(place, sizes, stride, dilation)] for place in np.ndindex(*kernel)]
    return np.stack(met, 2).reshape(len(x), x.shape[1] * len(met), -1)


def attention(draw: Any) -> Arguments:
    batch = draw(shapes(max_dims=2))
    n, m, d, e = (draw(st.integers(1, 3)) for _ in range(4))
    q, k, v = (In((*batch, *sides)) for sides in [(n, d), (m, d), (m, e)])
    return (q, k, v), {"is_causal": draw(st.booleans()) and n == m}


def attended(q: Any, k: Any, v: Any, is_causal: bool) -> Any:
    scores = np.exp(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
    scores = np.tril(scores) if is_causal else scores
    return scores / scores.sum(-1, keepdims=True) @ v


def slopes(draw: Any) -> Arguments:
    c = draw(st.integers(1, 3))
    return (In((draw(st.integers(1, 2)), c, *draw(shapes(0, 2)))), In((c,), 0.1, 0.9)), {}


def power_pool(x: Any, p: float, kernel: int) -> Any:
    found = np.lib.stride_tricks.sliding_window_view(x, kernel, -1)[..., ::kernel, :]
    return (found**p).sum(-1) ** (1 / p)


def enlarged(draw: Any) -> Arguments:
    size = tuple(draw(st.integers(1, 4)) for _ in range(2))
    goal = tuple(draw(st.integers(1, 6)) for _ in range(2))
    mode = draw(st.sampled_from(["nearest", "area"]))
    return (In((draw(st.integers(1, 2)), 2, *size)), goal), {"mode": mode}


def interpolate(x: Any, goal: Any, mode: str) -> Any:
    if mode == "area":
        return adaptive_pool(np.mean)(x, goal)
    h, w = (np.arange(m) * n // m for m, n in zip(goal, x.shape[2:], strict=True))
    return x[:, :, h][..., w]


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


ROWS = [
    *_layers(),
    Row("F.layer_norm", layers, layer_norm, only=WIDE, terms=64),
    Row("F.rms_norm", root_means, rms_norm, only=WIDE, terms=64),
    Row("F.batch_norm", batches, batch_norm, only=WIDE, terms=64),
    Row("F.instance_norm", channels(), instance_norm, only=WIDE, terms=64),
    Row("F.group_norm", groups, group_norm, only=WIDE, terms=64),
    Row("F.normalize", unit, normalize, only=WIDE, terms=64),
    Row("F.prelu", slopes, lambda x, a: np.where(x > 0, x, x * _spread(a, x)), only=WIDE),
    Row("F.scaled_dot_product_attention", attention, attended, only=WIDE, terms=256),
    Row("F.unfold", blocks, unfold, only=WIDE),
    Row("F.interpolate", enlarged, interpolate, only=WIDE, terms=64),
    Row("F.lp_pool1d", lambda draw: ((In((2, draw(st.integers(2, 5))), **POSITIVE), 2.0, 2), {}),
        power_pool, only=WIDE, terms=64),
    Row("F.softmin", unit_dim, lambda x, dim: np.exp(-x) / np.exp(-x).sum(dim, keepdims=True),
        only=WIDE, terms=64),
    Row("F.glu", halves, glu, only=WIDE),
    Row("F.embedding", rows_of, lambda i, w: w[i]),
    Row("F.one_hot", lambda draw: ((In(draw(shapes()), 0, 3, dtype=int64), 4), {}),
        lambda i, n: np.eye(n, dtype=np.int64)[i], gradient=False),
]  # fmt: skip
