"""Windows over spatial dimensions, as pooling moves them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from ..errors import ShapeError
from .shapes import Shape
from .window_matrices import Pairs, taps


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


def covering_pairs(
    input: Shape, sizes: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Pairs:
    """The padding with which every window lies inside."""
    pairs = []
    for n, m, k, s, p, d in zip(input[2:], sizes, kernel, stride, padding, dilation, strict=True):
        pairs.append((p, max(0, (m - 1) * s + d * (k - 1) + 1 - n - p)))
    return tuple(pairs)


def offsets(kernel: Shape) -> Iterator[Shape]:
    return itertools.product(*map(range, kernel))


def inside(like: Shape, pairs: Pairs) -> tuple[slice, ...]:
    """Where an array of shape `like` lies after padding by `pairs`."""
    spatial = [slice(low, low + n) for n, (low, _) in zip(like[2:], pairs, strict=True)]
    return (slice(None), slice(None), *spatial)


def window_at(offset: Shape, sizes: Shape, stride: Shape, dilation: Shape) -> tuple[Any, ...]:
    return (slice(None), slice(None), *taps(offset, sizes, stride, dilation))
