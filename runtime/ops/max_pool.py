"""The largest element of each window."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backends.cpu.onednn import pooling as onednn
from ..core import dtypes
from .declare import Spec, kernel, primitive
from .shapes import Shape
from .window_matrices import padded_array
from .windows import covering_pairs, inside, offsets, pooled_sizes, window_at


@primitive(node_name="MaxPool", layout="channels_last")
def max_pool(
    input: Spec,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    ceil_mode: bool,
) -> Spec:
    """The largest element of each window; minus infinity stands outside the input."""
    name = f"max_pool{len(kernel)}d"
    sizes = pooled_sizes(name, tuple(input.shape), kernel, stride, padding, dilation, ceil_mode)
    return Spec((*input.shape[:2], *sizes), input.dtype)


def _lowest(dtype: Any) -> Any:
    return -math.inf if dtype.kind not in "iu" else int(np.iinfo(dtype).min)


def _padded_input(
    xp: Any, input: Any, sizes: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Any:
    pairs = covering_pairs(input.shape, sizes, kernel, stride, padding, dilation)
    return padded_array(xp, input, 2, pairs, _lowest(input.dtype))


@max_pool.naming
def max_pool_name(node: Any) -> str:
    """PyTorch pools one dimension by two."""
    return f"MaxPool{max(len(node.attributes[0]), 2)}DWithIndicesBackward0"


@max_pool.array
def max_pool_array(
    xp: Any,
    input: Any,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    ceil_mode: bool,
) -> Any:
    """Maximum over the slices; NaN wins."""
    sizes = pooled_sizes(
        f"max_pool{len(kernel)}d", input.shape, kernel, stride, padding, dilation, ceil_mode
    )
    padded = _padded_input(xp, input, sizes, kernel, stride, padding, dilation)
    first, *others = [padded[window_at(o, sizes, stride, dilation)] for o in offsets(kernel)]
    out = first.copy()
    for part in others:
        xp.maximum(out, part, out=out)
    return out


@max_pool.vjp(saves="input out", copies_out=True)
def max_pool_vjp(
    F: Any,
    g: Any,
    needs: Any,
    input: Any,
    out: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
) -> Any:
    """g to the first largest element of each window."""
    return F.max_pool_gradient(
        g, input, out, kernel=kernel, stride=stride, padding=padding, dilation=dilation
    )


@primitive(layout="channels_last")
def max_pool_gradient(
    g: Spec,
    input: Spec,
    best: Spec,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
) -> Spec:
    """Zeros in the shape of `input` with g added at each window's first largest element, `best`."""
    return Spec(input.shape, g.dtype)


@max_pool_gradient.array
def max_pool_gradient_array(
    xp: Any,
    g: Any,
    input: Any,
    best: Any,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
) -> Any:
    """One pass per slice: where it holds the maximum and none before did, g goes there."""
    sizes = best.shape[2:]
    pairs = covering_pairs(input.shape, sizes, kernel, stride, padding, dilation)
    grad = xp.zeros(
        (*input.shape[:2], *(n + a + b for n, (a, b) in zip(input.shape[2:], pairs, strict=True))),
        g.dtype,
    )
    disjoint = all(s >= d * (k - 1) + 1 for k, s, d in zip(kernel, stride, dilation, strict=True))
    for place, hit in _hits(xp, input, best, kernel, stride, padding, dilation):
        if disjoint:
            xp.copyto(grad[place], g, where=hit)
        else:
            grad[place] += xp.where(hit, g, g.dtype.type(0))
    return grad if grad.shape == input.shape else grad[inside(input.shape, pairs)]


def _hits(
    xp: Any, input: Any, best: Any, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Iterator[tuple[Any, Any]]:
    """For each slice its place, and the mask of windows whose first maximum it holds."""
    sizes = best.shape[2:]
    padded = _padded_input(xp, input, sizes, kernel, stride, padding, dilation)
    free = None
    for offset in offsets(kernel):
        place = window_at(offset, sizes, stride, dilation)
        hit = padded[place] == best
        if free is None:
            free = ~hit
        else:
            hit &= free
            free ^= hit
        yield place, hit


@max_pool_gradient.vjp(saves="input best")
def max_pool_gradient_vjp(
    F: Any,
    h: Any,
    needs: Any,
    g: Any,
    input: Any,
    best: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
) -> Any:
    """The elements of h at the maxima."""
    how = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return F.max_pool_picks(h, input, best, **how), None, None


@primitive
def max_pool_picks(
    h: Spec,
    input: Spec,
    best: Spec,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
) -> Spec:
    """The elements of h, shaped like `input`, at each window's first largest element."""
    return Spec(best.shape, h.dtype)


@max_pool_picks.array
def max_pool_picks_array(
    xp: Any,
    h: Any,
    input: Any,
    best: Any,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
) -> Any:
    """One pass per slice."""
    pairs = covering_pairs(input.shape, best.shape[2:], kernel, stride, padding, dilation)
    padded = padded_array(xp, h, 2, pairs)
    picks = xp.zeros(best.shape, h.dtype)
    for place, hit in _hits(xp, input, best, kernel, stride, padding, dilation):
        xp.copyto(picks, padded[place], where=hit)
    return picks


@max_pool_picks.vjp(saves="input best")
def max_pool_picks_vjp(
    F: Any,
    g: Any,
    needs: Any,
    h: Any,
    input: Any,
    best: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
) -> Any:
    """g back to the maxima."""
    how = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return F.max_pool_gradient(g, input, best, **how), None, None


@primitive
def max_pool_indices(
    input: Spec, best: Spec, *, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Spec:
    """Where each window's first largest element stands in the flat spatial dimensions; int64."""
    return Spec(best.shape, dtypes.int64)


@max_pool_indices.array
def max_pool_indices_array(
    xp: Any, input: Any, best: Any, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Any:
    """Positions of the slices, kept where they hold the maximum."""
    flat = xp.arange(math.prod(input.shape[2:])).reshape(1, 1, *input.shape[2:])
    pairs = covering_pairs(input.shape, best.shape[2:], kernel, stride, padding, dilation)
    positions = padded_array(xp, flat, 2, pairs)
    indices = xp.zeros(best.shape, xp.int64)
    for place, hit in _hits(xp, input, best, kernel, stride, padding, dilation):
        xp.copyto(indices, positions[place], where=hit)
    return indices


kernel(max_pool, "cpu", onednn.serves_max)(onednn.max_pool)
kernel(max_pool_gradient, "cpu", onednn.serves_max_gradient)(onednn.max_pool_gradient)
