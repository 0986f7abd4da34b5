"""Convolutions on tensor cores, where no library computes them: products of matrices of windows
that are never made."""

from __future__ import annotations

import math
from typing import Any

from ..layout import is_channels_last
from . import channels_last, launch
from .launch import AMPERE, Template
from .registry import kernel
from .rows import empty

Shape = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

TYPES = ("float16", "bfloat16", "float32")
THREADS = 128
SIDE = 64
"""Positions and channels of a block's tile."""
DEPTH = 32
RANK = 3
BLOCKS_PER_MULTIPROCESSOR = 4
MOST_POSITIONS = 2**31 - SIDE
WINDOWS = "P" + "q" * 25
"""The words of `struct Windows`."""

CONVOLVE = Template("convolutions", "convolve", WINDOWS + "PP" + "Pqqqqq" + "qqq", AMPERE, T=TYPES)
CORRELATE = Template("convolutions", "correlate", WINDOWS * 2 + "Pqqqqq", AMPERE, T=TYPES)


def _threefold(values: Any, filler: int) -> tuple[int, ...]:
    return (*[filler] * (RANK - len(values)), *values)


def _steps(array: Any) -> tuple[int, ...]:
    """Of images, of channels and of up to three places, in elements."""
    image, channel, *places = [step // array.itemsize for step in array.strides]
    return image, channel, *_threefold(places, 0)


def _windows(
    array: Any,
    positions: Shape,
    taps: Shape,
    channels: int,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    is_spread: bool = False,
) -> tuple[int, ...]:
    ones, zeros = (array.shape[2:], positions, taps), [low for low, _ in padding]
    return (
        array.data.ptr, *_steps(array), *[n for sizes in ones for n in _threefold(sizes, 1)],
        *_threefold(stride, 1), *_threefold(zeros, 0), *_threefold(dilation, 1), channels,
        int(is_spread),
    )  # fmt: skip


def _is_fit(shape: Shape, *arrays: Any) -> bool:
    """Whether images of `shape` and all arrays, of one dtype, are not empty and not too large."""
    return (
        3 <= len(shape) <= 2 + RANK
        and all(a.size and a.dtype == arrays[0].dtype for a in arrays)
        and 0 < shape[0] * math.prod(shape[2:]) < MOST_POSITIONS
    )


def _empty_like(first: Any, shape: Shape) -> Any:
    """New memory, its channels innermost if those of `first` are."""
    import cupy

    if first.flags.c_contiguous or not is_channels_last(cupy, first):
        return empty(shape, first.dtype)
    return cupy.moveaxis(empty((shape[0], *shape[2:], shape[1]), first.dtype), -1, 1)


def _convolve(windows: Any, weight: Any, bias: Any, out: Any, groups: int) -> Any:
    """Fill `out` by products with weight (groups, outputs, depth)."""
    _, outputs, depth = weight.shape
    count = out.shape[0] * math.prod(out.shape[2:])
    grid = -(-count // SIDE), -(-outputs // SIDE), groups
    place = 0 if bias is None else bias.data.ptr
    image = (out.data.ptr, *_steps(out))
    chosen = CONVOLVE[out.dtype.name]
    chosen(grid, THREADS, *windows, weight.data.ptr, place, *image, count, outputs, depth)
    return out


@kernel("convolution", TYPES, since=AMPERE)
def convolution(
    input: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Any:
    """Positions times taps and channels, times weights."""
    import cupy

    from ...ops.convolution import output_sizes

    taps = weight.shape[2:]
    sizes = output_sizes(input.shape[2:], taps, stride, padding, dilation)
    shape = (input.shape[0], weight.shape[0], *sizes)
    given = (input, weight) if bias is None else (input, weight, bias)
    is_right = input.ndim == weight.ndim and input.shape[1] == weight.shape[1] * groups
    if not _is_fit(shape, *given) or not is_right:
        return None  # the array kernel says what is wrong
    bias = None if bias is None else cupy.ascontiguousarray(bias)
    how = stride, padding, dilation, groups
    out = _empty_like(input, shape)
    found = channels_last.convolved(input, weight, bias, out, *how)
    if found is not None:
        return found
    matrix = cupy.ascontiguousarray(cupy.moveaxis(weight, 1, -1))
    matrix = matrix.reshape(groups, weight.shape[0] // groups, -1)
    windows = _windows(input, sizes, taps, weight.shape[1], stride, padding, dilation)
    return _convolve(windows, matrix, bias, out, groups)


@kernel("convolution_input", TYPES, since=AMPERE)
def convolution_input(
    g: Any,
    weight: Any,
    like: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Any:
    """Windows of g, whose places lie a stride apart, times weights by input channel."""
    import cupy

    if not _is_fit(like, g, weight) or not math.prod(like):
        return None
    out = _empty_like(g, like)
    found = channels_last.input_gradient(g, weight, out, stride, padding, dilation, groups)
    if found is not None:
        return found
    taps, outputs = weight.shape[2:], weight.shape[0] // groups
    matrix = weight.reshape(groups, outputs, *weight.shape[1:])
    matrix = cupy.ascontiguousarray(cupy.moveaxis(cupy.moveaxis(matrix, 2, 1), 2, -1))
    matrix = matrix.reshape(groups, weight.shape[1], -1)
    windows = _windows(g, like[2:], taps, outputs, stride, padding, dilation, is_spread=True)
    return _convolve(windows, matrix, None, out, groups)


@kernel("convolution_weight", TYPES, since=AMPERE)
def convolution_weight(
    g: Any,
    input: Any,
    like: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Any:
    """Parts of the positions side by side, and then their sum, in one order."""
    import cupy

    if not _is_fit(g.shape, g, input):
        return None
    found = channels_last.weight_gradient(g, input, like, stride, padding, dilation, groups)
    if found is not None:
        return found
    taps, outputs, positions = like[2:], like[0] // groups, g.shape[2:]
    depth = like[1] * math.prod(taps)
    count = g.shape[0] * math.prod(positions)
    tiles = -(-depth // SIDE) * -(-outputs // SIDE) * groups
    wanted = -(-BLOCKS_PER_MULTIPROCESSOR * launch.driver.multiprocessors() // tiles)
    length = -(-count // (max(1, min(wanted, count // (4 * DEPTH))) * DEPTH)) * DEPTH
    parts = -(-count // length)
    ones = (1,) * len(taps)
    nothing = ((0, 0),) * len(taps)
    of_g = _windows(g, positions, ones, outputs, ones, nothing, ones)
    windows = _windows(input, positions, taps, like[1], stride, padding, dilation)
    partial = empty((parts, groups, outputs, depth), "float32")
    grid = -(-depth // SIDE), -(-outputs // SIDE), groups * parts
    sizes = count, length, groups, outputs, depth
    CORRELATE[g.dtype.name](grid, THREADS, *of_g, *windows, partial.data.ptr, *sizes)
    total = partial.sum(0).reshape(like[0], *taps, like[1]).astype(g.dtype)
    return cupy.ascontiguousarray(cupy.moveaxis(total, -1, 1))
