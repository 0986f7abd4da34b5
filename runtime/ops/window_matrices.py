"""Windows of images as rows of a matrix, so that a product does what a convolution asks for.

Windows are views of the padded image, copied block by block so that a block stays in cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from .shapes import Shape

Pairs = tuple[tuple[int, int], ...]

BLOCK = 1 << 18
"""Elements of a gathered matrix: 1 MiB of float32, which stays in the L2 cache."""

FEW_CHANNELS = 4
"""Up to here, runs along the last spatial dimension are longer than runs along channels."""


def prefers_last(weight: Shape, groups: int) -> bool:
    """Whether windows along channels serve a convolution best."""
    return groups == 1 and weight[1] > FEW_CHANNELS and math.prod(weight[2:]) > 1


def taps(offset: Shape, sizes: Shape, stride: Shape, dilation: Shape) -> tuple[slice, ...]:
    """Where the kernel element `offset` meets a padded input, for all `sizes` output positions."""
    return tuple(
        slice(o * d, o * d + s * (n - 1) + 1, s)
        for o, n, s, d in zip(offset, sizes, stride, dilation, strict=True)
    )


def padded_array(xp: Any, array: Any, first: int, padding: Pairs, value: float = 0) -> Any:
    """`array` in row-major memory with `value` around its dimensions from `first` on.

    Negative padding crops.
    """
    none = (0, 0)
    pairs = [none] * first + list(padding) + [none] * (array.ndim - first - len(padding))
    if any(low < 0 or high < 0 for low, high in pairs):
        crop = [
            slice(max(-low, 0), n - max(-high, 0))
            for n, (low, high) in zip(array.shape, pairs, strict=True)
        ]
        array = array[tuple(crop)]
        pairs = [(max(low, 0), max(high, 0)) for low, high in pairs]
    if all(pair == none for pair in pairs):
        return xp.ascontiguousarray(array)
    sizes = [n + low + high for n, (low, high) in zip(array.shape, pairs, strict=True)]
    out = xp.zeros(sizes, array.dtype) if value == 0 else xp.full(sizes, value, array.dtype)
    inside = [slice(low, low + n) for n, (low, _) in zip(array.shape, pairs, strict=True)]
    out[tuple(inside)] = array
    return out


def windows_last(
    xp: Any,
    input: Any,
    kernel: Shape,
    sizes: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
) -> Any:
    """All windows as a view (N, *sizes, *kernel, C) of the input with channels last."""
    rank = len(kernel)
    padded = padded_array(xp, xp.moveaxis(input, 1, -1), 1, padding)
    batch, *spatial, channel = padded.strides
    steps = [t * s for t, s in zip(spatial, stride, strict=True)]
    reach = [t * d for t, d in zip(spatial, dilation, strict=True)]
    return xp.lib.stride_tricks.as_strided(
        padded,
        (input.shape[0], *sizes, *kernel, input.shape[1]),
        (batch, *steps, *reach[:rank], channel),
    )


def _blocks(windows: Any, rank: int) -> Iterator[tuple[slice, slice]]:
    """Parts of the batch and of the first output dimension that make about BLOCK elements."""
    row = max(1, math.prod(windows.shape[2:]))
    rows, image = windows.shape[1], row * windows.shape[1]
    images = max(1, BLOCK // max(1, image))
    height = rows if image <= BLOCK else max(1, BLOCK // row)
    for start in range(0, windows.shape[0], images):
        for top in range(0, rows, max(1, height)):
            yield slice(start, start + images), slice(top, top + height)


def product_last(xp: Any, windows: Any, weight: Any, shape: Shape, groups: int) -> Any:
    """(positions, kernel * C) @ (kernel * C, O), written to (N, O, *sizes)."""
    out = xp.empty(shape, windows.dtype)
    channels_last = xp.moveaxis(out, 1, -1)
    matrix = xp.moveaxis(weight, (0, 1), (-1, -2)).reshape(-1, shape[1])
    for part in _blocks(windows, len(shape) - 2):
        target = channels_last[part]
        product = xp.matmul(windows[part].reshape(-1, matrix.shape[0]), matrix)
        target[...] = product.reshape(target.shape)
    return out


def correlation_last(xp: Any, windows: Any, g: Any, like: Shape, groups: int) -> Any:
    """(kernel * C, positions) @ (positions, O), summed over blocks, as (O, C, *kernel)."""
    channels_last = xp.ascontiguousarray(xp.moveaxis(g, 1, -1))
    total = xp.zeros((math.prod(like[1:]), like[0]), g.dtype)
    for part in _blocks(windows, g.ndim - 2):
        columns = windows[part].reshape(-1, total.shape[0])
        total += xp.matmul(columns.T, channels_last[part].reshape(-1, like[0]))
    folded = total.reshape(*like[2:], like[1], like[0])
    return xp.ascontiguousarray(xp.moveaxis(folded, (-1, -2), (0, 1)))


def windows_first(
    xp: Any,
    input: Any,
    kernel: Shape,
    sizes: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
) -> Any:
    """All windows as a view (N, C, *kernel, *sizes) of the input."""
    padded = padded_array(xp, input, 2, padding)
    batch, channel, *spatial = padded.strides
    steps = [t * s for t, s in zip(spatial, stride, strict=True)]
    reach = [t * d for t, d in zip(spatial, dilation, strict=True)]
    return xp.lib.stride_tricks.as_strided(
        padded, (*input.shape[:2], *kernel, *sizes), (batch, channel, *reach, *steps)
    )


def product_first(xp: Any, windows: Any, weight: Any, shape: Shape, groups: int) -> Any:
    """(O, C * kernel) @ (C * kernel, positions) for each image and group; no copy for kernel 1."""
    matrix = weight.reshape(groups, shape[1] // groups, -1)
    columns = windows.reshape(shape[0], groups, matrix.shape[2], math.prod(shape[2:]))
    return xp.matmul(matrix, columns).reshape(shape)


def correlation_first(xp: Any, windows: Any, g: Any, like: Shape, groups: int) -> Any:
    """(O, N * positions) @ (N * positions, C * kernel) for each group."""
    positions, count = math.prod(g.shape[2:]), len(g) * math.prod(g.shape[2:])
    grouped = g.reshape(len(g), groups, like[0] // groups, positions)
    left = xp.moveaxis(grouped, 0, 2).reshape(groups, like[0] // groups, count)
    right = xp.moveaxis(windows, 0, len(like) - 1).reshape(groups, math.prod(like[1:]), count)
    return xp.matmul(left, right.swapaxes(1, 2)).reshape(like)
