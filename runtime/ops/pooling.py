"""Pooling of any spatial rank: the largest element or the mean of each window.

A kernel of k elements is k strided slices of the input, so every step is one pass of the array
library over all windows. Shapes: input (N, C, *sizes) -> (N, C, *sizes').
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core import dtypes
from ..errors import ShapeError
from . import shapes
from .convolution import Pairs, padded_array, per_dimension, taps
from .declare import Spec, composite, primitive
from .shapes import Shape

# -- sizes -----------------------------------------------------------------------------------------


def pooled_sizes(
    operation: str,
    input: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    ceil_mode: bool,
) -> Shape:
    """Spatial sizes of the result. Raises: ShapeError if a window does not fit."""
    found = []
    for n, k, s, p, d in zip(input[2:], kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        size = (room + s - 1 if ceil_mode else room) // s + 1
        # A window must begin inside the input or the padding before it.
        found.append(size - 1 if ceil_mode and (size - 1) * s >= n + p else size)
    if min(found) <= 0:
        raise ShapeError(
            f"{operation}: expected an input at least as large as the kernel {kernel}. Got input "
            f"{input} with padding {padding}. Pad the input, or use a smaller kernel."
        )
    return tuple(found)


def _covering(
    input: Shape, sizes: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Pairs:
    """The padding with which every window lies inside."""
    pairs = []
    for n, m, k, s, p, d in zip(input[2:], sizes, kernel, stride, padding, dilation, strict=True):
        pairs.append((p, max(0, (m - 1) * s + d * (k - 1) + 1 - n - p)))
    return tuple(pairs)


def _offsets(kernel: Shape) -> Iterator[Shape]:
    return itertools.product(*map(range, kernel))


def _inside(like: Shape, pairs: Pairs) -> tuple[slice, ...]:
    """Where an array of shape `like` lies after padding by `pairs`."""
    spatial = [slice(low, low + n) for n, (low, _) in zip(like[2:], pairs, strict=True)]
    return (slice(None), slice(None), *spatial)


def _at(offset: Shape, sizes: Shape, stride: Shape, dilation: Shape) -> tuple[Any, ...]:
    return (slice(None), slice(None), *taps(offset, sizes, stride, dilation))


# -- the largest element ---------------------------------------------------------------------------


@primitive(node_name="MaxPool")
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
    pairs = _covering(input.shape, sizes, kernel, stride, padding, dilation)
    return padded_array(xp, input, 2, pairs, _lowest(input.dtype))


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
    first, *others = [padded[_at(o, sizes, stride, dilation)] for o in _offsets(kernel)]
    out = first.copy()
    for part in others:
        xp.maximum(out, part, out=out)
    return out


@max_pool.vjp(saves="input out")
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


@primitive
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
    pairs = _covering(input.shape, sizes, kernel, stride, padding, dilation)
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
    return grad if grad.shape == input.shape else grad[_inside(input.shape, pairs)]


def _hits(
    xp: Any, input: Any, best: Any, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Iterator[tuple[Any, Any]]:
    """For each slice its place, and the mask of windows whose first maximum it holds."""
    sizes = best.shape[2:]
    padded = _padded_input(xp, input, sizes, kernel, stride, padding, dilation)
    free = None
    for offset in _offsets(kernel):
        place = _at(offset, sizes, stride, dilation)
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
    pairs = _covering(input.shape, best.shape[2:], kernel, stride, padding, dilation)
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
    pairs = _covering(input.shape, best.shape[2:], kernel, stride, padding, dilation)
    positions = padded_array(xp, flat, 2, pairs)
    indices = xp.zeros(best.shape, xp.int64)
    for place, hit in _hits(xp, input, best, kernel, stride, padding, dilation):
        xp.copyto(indices, positions[place], where=hit)
    return indices


# -- the mean --------------------------------------------------------------------------------------


@primitive(node_name="AvgPool")
def avg_pool(
    input: Spec,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Spec:
    """The mean of each window; zeros stand outside the input, counted as elements or not."""
    name, ones = f"avg_pool{len(kernel)}d", (1,) * len(kernel)
    sizes = pooled_sizes(name, tuple(input.shape), kernel, stride, padding, ones, ceil_mode)
    return Spec((*input.shape[:2], *sizes), input.dtype)


@avg_pool.array
def avg_pool_array(
    xp: Any,
    input: Any,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """The sum over the slices, divided by how many elements each window has."""
    ones = (1,) * len(kernel)
    sizes = pooled_sizes(
        f"avg_pool{len(kernel)}d", input.shape, kernel, stride, padding, ones, ceil_mode
    )
    if input.dtype.kind in "biu":
        raise TypeError("mean of integers")
    padded = padded_array(
        xp, input, 2, _covering(input.shape, sizes, kernel, stride, padding, ones)
    )
    first, *others = [padded[_at(o, sizes, stride, ones)] for o in _offsets(kernel)]
    out = first.copy()
    for part in others:
        out += part
    how = (kernel, stride, padding, count_include_pad, divisor_override)
    out /= _divisor(xp, input.dtype, input.shape, sizes, *how)
    return out


def _divisor(
    xp: Any,
    dtype: Any,
    input: Shape,
    sizes: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """The number of elements per window: one number if all have the same, else (1, 1, *sizes)."""
    if divisor_override is not None:
        return dtype.type(divisor_override)
    counts = xp.ones((), dtype)
    for n, m, k, s, p in zip(input[2:], sizes, kernel, stride, padding, strict=True):
        start = xp.arange(m) * s - p
        stop = xp.minimum(start + k, n + p)
        if not count_include_pad:
            start, stop = xp.maximum(start, 0), xp.minimum(stop, n)
        counts = counts[..., None] * (stop - start).astype(dtype)
    return counts[None, None]


@avg_pool.vjp()
def avg_pool_vjp(
    F: Any,
    g: Any,
    needs: Any,
    input: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
) -> Any:
    """g shared among the elements of each window."""
    return F.avg_pool_gradient(
        g,
        like=input,
        kernel=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


@primitive
def avg_pool_gradient(
    g: Spec,
    *,
    like: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Spec:
    """Zeros of shape `like` with each element of g, divided by its window's count, added to all
    elements of the window."""
    return Spec(like, g.dtype)


@avg_pool_gradient.array
def avg_pool_gradient_array(
    xp: Any,
    g: Any,
    like: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """One pass per slice."""
    sizes, ones = g.shape[2:], (1,) * len(kernel)
    how = (kernel, stride, padding, count_include_pad, divisor_override)
    share = g / _divisor(xp, g.dtype, like, sizes, *how)
    pairs = _covering(like, sizes, kernel, stride, padding, ones)
    grad = xp.zeros(
        (*like[:2], *(n + a + b for n, (a, b) in zip(like[2:], pairs, strict=True))), g.dtype
    )
    for offset in _offsets(kernel):
        grad[_at(offset, sizes, stride, ones)] += share
    return grad if grad.shape == like else grad[_inside(like, pairs)]


@avg_pool_gradient.vjp()
def avg_pool_gradient_vjp(
    F: Any,
    h: Any,
    needs: Any,
    g: Any,
    like: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
) -> Any:
    """The mean again."""
    return F.avg_pool(
        h,
        kernel=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


@primitive(node_name="AdaptiveAvgPool")
def adaptive_avg_pool(input: Spec, *, sizes: Shape) -> Spec:
    """Means over windows that divide the input as evenly as can be into `sizes`: along n elements,
    window i of m is from floor(i * n / m) to ceil((i + 1) * n / m)."""
    return Spec((*input.shape[:2], *sizes), input.dtype)


@adaptive_avg_pool.array
def adaptive_avg_pool_array(xp: Any, input: Any, sizes: Shape) -> Any:
    """Along each dimension a product with the matrix of weights."""
    if input.dtype.kind in "biu":
        raise TypeError("mean of integers")
    out = input
    for axis, size in enumerate(sizes, 2):
        matrix = _window_weights(xp, input.shape[axis], size, input.dtype)
        out = xp.moveaxis(xp.matmul(xp.moveaxis(out, axis, -1), matrix), -1, axis)
    return xp.ascontiguousarray(out)


def _window_weights(xp: Any, n: int, m: int, dtype: Any) -> Any:
    """(n, m): 1 / count where element i lies in window j."""
    j, i = xp.arange(m), xp.arange(n)[:, None]
    start, stop = j * n // m, -(-(j + 1) * n // m)
    return ((i >= start) & (i < stop)).astype(dtype) / (stop - start).astype(dtype)


@adaptive_avg_pool.vjp()
def adaptive_avg_pool_vjp(F: Any, g: Any, needs: Any, input: Any, sizes: Any) -> Any:
    """g shared among the elements of each window."""
    return F.adaptive_avg_pool_gradient(g, like=input)


@primitive
def adaptive_avg_pool_gradient(g: Spec, *, like: Shape) -> Spec:
    """The transposed map of `adaptive_avg_pool` to the shape `like`."""
    return Spec(like, g.dtype)


@adaptive_avg_pool_gradient.array
def adaptive_avg_pool_gradient_array(xp: Any, g: Any, like: Shape) -> Any:
    """Along each dimension a product with the transposed matrix."""
    out = g
    for axis in range(2, len(like)):
        matrix = _window_weights(xp, like[axis], g.shape[axis], g.dtype).T
        out = xp.moveaxis(xp.matmul(xp.moveaxis(out, axis, -1), matrix), -1, axis)
    return xp.ascontiguousarray(out)


@adaptive_avg_pool_gradient.vjp()
def adaptive_avg_pool_gradient_vjp(F: Any, h: Any, needs: Any, g: Any, like: Any) -> Any:
    """The means again."""
    return F.adaptive_avg_pool_like(h, like=g)


@primitive
def adaptive_avg_pool_like(input: Spec, *, like: Shape) -> Spec:
    """`adaptive_avg_pool` to the sizes of the shape `like`."""
    return Spec(like, input.dtype)


@adaptive_avg_pool_like.array
def adaptive_avg_pool_like_array(xp: Any, input: Any, like: Shape) -> Any:
    """Sizes from the shape."""
    return adaptive_avg_pool_array(xp, input, like[2:])


@adaptive_avg_pool_like.vjp()
def adaptive_avg_pool_like_vjp(F: Any, g: Any, needs: Any, input: Any, like: Any) -> Any:
    """The transposed map."""
    return F.adaptive_avg_pool_gradient(g, like=input)


# -- what users call -------------------------------------------------------------------------------


def _batched(F: Any, operation: str, input: Any, rank: int) -> Any:
    shapes.require_ndim(operation, "input", input, rank + 1, rank + 2)
    return F.unsqueeze(input, dim=0) if len(input.shape) == rank + 1 else input


def _like_input(F: Any, out: Any, input: Any, rank: int) -> Any:
    return F.squeeze(out, dim=0) if len(input.shape) == rank + 1 else out


def _window(
    operation: str, rank: int, kernel_size: Any, stride: Any, padding: Any
) -> tuple[Shape, Shape, Shape]:
    kernel = per_dimension(operation, "kernel_size", kernel_size, rank, 1)
    steps = kernel if stride in (None, ()) else per_dimension(operation, "stride", stride, rank, 1)
    pads = per_dimension(operation, "padding", padding, rank, 0)
    if any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ShapeError(
            f"{operation}: expected padding of at most half the kernel. Got padding {pads} and "
            f"kernel_size {kernel}."
        )
    return kernel, steps, pads


def _max_pool(
    F: Any,
    rank: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    operation = f"max_pool{rank}d"
    kernel, steps, pads = _window(operation, rank, kernel_size, stride, padding)
    spread = per_dimension(operation, "dilation", dilation, rank, 1)
    how = {"kernel": kernel, "stride": steps, "padding": pads, "dilation": spread}
    batch = _batched(F, operation, input, rank)
    out = F.max_pool(batch, **how, ceil_mode=ceil_mode)
    if not return_indices:
        return _like_input(F, out, input, rank)
    indices = F.max_pool_indices(batch, out, **how)
    return _like_input(F, out, input, rank), _like_input(F, indices, input, rank)


@composite
def max_pool1d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window: (N, C, L) -> (N, C, L'). See `max_pool2d`."""
    return _max_pool(F, 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite
def max_pool2d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window: (N, C, H, W) -> (N, C, H', W'); N may be left out.

    `stride` is the kernel's size unless given, `ceil_mode` allows windows over the edge, and
    `return_indices` adds the position of each maximum in the flat H * W, int64.
    Raises: RuntimeError for windows that do not fit.

    Example:
        >>> F.max_pool2d(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), 2)
        tensor([[[4.]]])
    """
    return _max_pool(F, 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite
def max_pool3d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window: (N, C, D, H, W) -> (N, C, D', H', W'). See
    `max_pool2d`."""
    return _max_pool(F, 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(
    F: Any,
    rank: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    operation = f"avg_pool{rank}d"
    kernel, steps, pads = _window(operation, rank, kernel_size, stride, padding)
    if divisor_override == 0:
        raise ShapeError(f"{operation}: expected a divisor_override other than 0.")
    out = F.avg_pool(
        _batched(F, operation, input, rank),
        kernel=kernel,
        stride=steps,
        padding=pads,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )
    return _like_input(F, out, input, rank)


@composite
def avg_pool1d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Spec:
    """The mean of each window: (N, C, L) -> (N, C, L'). See `avg_pool2d`."""
    return _avg_pool(F, 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@composite
def avg_pool2d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Spec:
    """The mean of each window: (N, C, H, W) -> (N, C, H', W'); N may be left out.

    `count_include_pad` counts the zeros of the padding as elements; `divisor_override` divides by
    that number instead of the count.
    Raises: RuntimeError for windows that do not fit.
    """
    return _avg_pool(
        F,
        2,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


@composite
def avg_pool3d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Spec:
    """The mean of each window: (N, C, D, H, W) -> (N, C, D', H', W'). See `avg_pool2d`."""
    return _avg_pool(
        F,
        3,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


def _adaptive_avg_pool(F: Any, rank: int, input: Any, output_size: Any) -> Any:
    operation = f"adaptive_avg_pool{rank}d"
    batch = _batched(F, operation, input, rank)
    sizes = tuple(batch.shape[2:])
    given = output_size if hasattr(output_size, "__iter__") else (output_size,) * rank
    wanted = tuple(n if m is None else m for n, m in zip(sizes, given, strict=True))
    wanted = per_dimension(operation, "output_size", wanted, rank, 0)
    return _like_input(F, F.adaptive_avg_pool(batch, sizes=wanted), input, rank)


@composite
def adaptive_avg_pool1d(F: Any, input: Spec, output_size: Any) -> Spec:
    """Means over `output_size` windows that cover L: (N, C, L) -> (N, C, output_size)."""
    return _adaptive_avg_pool(F, 1, input, output_size)


@composite
def adaptive_avg_pool2d(F: Any, input: Spec, output_size: Any) -> Spec:
    """Means over windows that divide the image as evenly as can be: (N, C, H, W) ->
    (N, C, *output_size); None keeps a size, N may be left out.

    Example:
        >>> F.adaptive_avg_pool2d(torch.ones(1, 2, 5, 7), (1, None)).shape
        torch.Size([1, 2, 1, 7])
    """
    return _adaptive_avg_pool(F, 2, input, output_size)


@composite
def adaptive_avg_pool3d(F: Any, input: Spec, output_size: Any) -> Spec:
    """Means over windows that divide the volume as evenly as can be: (N, C, D, H, W) ->
    (N, C, *output_size)."""
    return _adaptive_avg_pool(F, 3, input, output_size)
