"""Pointwise convolutions with strides: matrix products with the pixels that they read.

The quarter of the pixels that a stride of 2 leaves is copied sooner than oneDNN's convolution
steps over the others. Shapes as in `convolution`; kernels are of size 1.
"""

from __future__ import annotations

import math
from typing import Any

from .convolution import LEAST
from .layouts import FLOAT32, channel_axes, channels_last, empty_channels_last
from .library import library
from .products import matmul, product

Shape = tuple[int, ...]


def _serves(
    images: Shape, weight: Shape, thin: Shape, arrays: Any, stride: Any, padding: Any,
    dilation: Any, groups: int,
) -> bool:  # fmt: skip
    """Whether the convolution leaves pixels out, is worth it, and takes `images` to `thin`."""
    if len(images) != len(weight) or min(images) <= 0 or groups != 1 or max(stride) == 1:
        return False
    if max(weight[2:]) > 1 or any(map(any, padding)) or images[1] != weight[1]:
        return False
    sizes = tuple(-(-n // s) for n, s in zip(images[2:], stride, strict=True))
    return (
        tuple(thin) == (images[0], weight[0], *sizes)
        and math.prod(thin) * weight[1] >= LEAST
        and all(a is None or a.dtype == FLOAT32 for a in arrays)
        and library() is not None
    )


def _pixels(images: Any, stride: Any) -> Any:
    """The pixels that are read, (N, C, *sizes')."""
    return images[(slice(None), slice(None), *[slice(None, None, s) for s in stride])]


def _rows(images: Any) -> Any:
    """Images as the matrix of their pixels, (N * sizes, C)."""
    last = channels_last(images).transpose(channel_axes(images.ndim)[0])
    return last.reshape(-1, images.shape[1])


def serves_convolution(input: Any, weight: Any, bias: Any = None, **how: Any) -> bool:
    """Whether `convolution` can compute this."""
    if input.ndim != weight.ndim or (bias is not None and bias.shape != weight.shape[:1]):
        return False
    sizes = [-(-n // s) for n, s in zip(input.shape[2:], how["stride"], strict=True)]
    thin = (input.shape[0], weight.shape[0], *sizes)
    return _serves(input.shape, weight.shape, thin, (input, weight, bias), **how)


def convolution(input: Any, weight: Any, bias: Any = None, *, stride: Any, **how: Any) -> Any:
    """The pixels times the weight."""
    pixels = _pixels(input, stride)
    out = product(_rows(pixels), _matrix(weight).T, bias)
    return _images(out, (input.shape[0], weight.shape[0], *pixels.shape[2:]))


def _matrix(weight: Any) -> Any:
    return weight.reshape(weight.shape[:2])


def _images(rows: Any, shape: Shape) -> Any:
    """The matrix of pixels as images of that shape."""
    last = rows.reshape(shape[0], *shape[2:], shape[1])
    return last.transpose(channel_axes(len(shape))[1])


def serves_input(g: Any, weight: Any, *, like: Shape, **how: Any) -> bool:
    """Whether `convolution_input` can compute this."""
    return _serves(like, weight.shape, g.shape, (g, weight), **how)


def convolution_input(g: Any, weight: Any, *, like: Shape, stride: Any, **how: Any) -> Any:
    """The gradient by the input: zero at the other pixels."""
    out = empty_channels_last(like)
    pixels = _pixels(out, stride)
    values = _images(matmul(_rows(g), _matrix(weight)), pixels.shape)
    for image, read, value in zip(out, pixels, values, strict=True):  # each while it is cached
        image.fill(0)
        read[...] = value
    return out


def serves_weight(g: Any, input: Any, *, like: Shape, **how: Any) -> bool:
    """Whether `convolution_weight` can compute this."""
    return _serves(input.shape, like, g.shape, (g, input), **how)


def convolution_weight(g: Any, input: Any, *, like: Shape, stride: Any, **how: Any) -> Any:
    """The gradient by the weight."""
    return matmul(_rows(g).T, _rows(_pixels(input, stride))).reshape(like)
