"""Blocks of images as columns and back, and the exchange of channels for pixels."""

from __future__ import annotations

import math
from typing import Any

from ..core import dtypes
from ..core.creation import tensor
from ..errors import ShapeError
from .convolution import per_dimension
from .declare import Spec
from .gather import select_places
from .padding import pad
from .updates import index_add
from .views import reshape

__all__ = ["channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def _lines(size: int, kernel: int, stride: int, dilation: int) -> list[list[int]]:
    """For each place in the kernel, the elements that it meets as it moves."""
    count = (size - dilation * (kernel - 1) - 1) // stride + 1
    return [[k * dilation + i * stride for i in range(count)] for k in range(kernel)]


def _pairs(name: str, *values: Any) -> list[tuple[int, int]]:
    found = []
    names = ("kernel_size", "dilation", "padding", "stride")
    for value, words in zip(values, names, strict=True):
        found.append(per_dimension(name, words, value, 2, 0 if words == "padding" else 1))
    return found  # type: ignore[return-value]


def unfold(
    input: Spec, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Spec:
    """Sliding blocks of images as columns: (N, C, H, W) -> (N, C * kernel elements, blocks).

    Raises: RuntimeError if no block fits or the input has not 3 or 4 dimensions.
    """
    kernel, spread, border, step = _pairs("unfold", kernel_size, dilation, padding, stride)
    if len(input.shape) not in (3, 4):
        raise ShapeError(f"unfold: expected (N, C, H, W) or (C, H, W). Got {tuple(input.shape)}.")
    batched = len(input.shape) == 4
    x = input if batched else input.unsqueeze(0)
    if any(border):
        x = pad(x, (border[1], border[1], border[0], border[0]))
    n, c, height, width = x.shape
    rows, columns = (
        _lines(size, *args)
        for size, args in zip((height, width), zip(kernel, step, spread, strict=True), strict=True)
    )
    if not rows[0] or not columns[0]:
        raise ShapeError(
            f"unfold: expected a kernel that fits into {(height, width)}. Got {kernel}, dilation "
            f"{spread}."
        )
    blocks = len(rows[0]), len(columns[0])
    for d, lines in ((2, rows), (4, columns)):
        x = select_places(x, d, [i for line in lines for i in line])
        x = reshape(x, *x.shape[:d], len(lines), len(lines[0]), *x.shape[d + 1 :])
    x = x.permute(0, 1, 2, 4, 3, 5).reshape(n, c * math.prod(kernel), math.prod(blocks))
    return x if batched else x.squeeze(0)


def fold(
    input: Spec,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Spec:
    """The images that columns of blocks add up to: (N, C * kernel elements, blocks) -> (N, C, H,
    W) of `output_size`.

    Raises: RuntimeError if the columns fit no such image.
    """
    kernel, spread, border, step = _pairs("fold", kernel_size, dilation, padding, stride)
    height, width = per_dimension("fold", "output_size", output_size, 2, 1)
    batched = len(input.shape) == 3
    x = input if batched else input.unsqueeze(0)
    tall, wide = height + 2 * border[0], width + 2 * border[1]
    rows = _lines(tall, kernel[0], step[0], spread[0])
    columns = _lines(wide, kernel[1], step[1], spread[1])
    area, blocks = math.prod(kernel), len(rows[0]) * len(columns[0])
    if len(x.shape) != 3 or x.shape[1] % area or x.shape[2] != blocks:
        raise ShapeError(
            f"fold: expected (N, C * {area}, {blocks}) for output_size {(height, width)} and "
            f"kernel {kernel}. Got {tuple(input.shape)}."
        )
    places = [r * wide + c for row in rows for column in columns for r in row for c in column]
    index = tensor(places, dtype=dtypes.int64, device=x.device)
    n, c = x.shape[0], x.shape[1] // area
    flat = x.new_zeros(n * c, tall * wide)
    image = index_add(flat, 1, index, x.reshape(n * c, area * blocks)).reshape(n, c, tall, wide)
    image = image[:, :, border[0] : tall - border[0], border[1] : wide - border[1]]
    return image if batched else image.squeeze(0)


def pixel_shuffle(input: Spec, upscale_factor: int) -> Spec:
    """(..., C * r**2, H, W) -> (..., C, H * r, W * r). Source: arXiv:1609.05158."""
    r = upscale_factor
    if len(input.shape) < 3 or r <= 0 or input.shape[-3] % (r * r):
        raise ShapeError(
            f"pixel_shuffle: expected channels divisible by {r * r}. Got {tuple(input.shape)}."
        )
    *batch, c, h, w = input.shape
    x = input.reshape(*batch, c // r**2, r, r, h, w)
    b = len(batch)
    order = [*range(b), b, b + 3, b + 1, b + 4, b + 2]
    return x.permute(*order).reshape(*batch, c // r**2, h * r, w * r)


def pixel_unshuffle(input: Spec, downscale_factor: int) -> Spec:
    """(..., C, H * r, W * r) -> (..., C * r**2, H, W)."""
    r = downscale_factor
    if len(input.shape) < 3 or r <= 0 or input.shape[-1] % r or input.shape[-2] % r:
        raise ShapeError(
            f"pixel_unshuffle: expected height and width divisible by {r}. Got "
            f"{tuple(input.shape)}."
        )
    *batch, c, h, w = input.shape
    x = input.reshape(*batch, c, h // r, r, w // r, r)
    b = len(batch)
    order = [*range(b), b, b + 2, b + 4, b + 1, b + 3]
    return x.permute(*order).reshape(*batch, c * r**2, h // r, w // r)


def channel_shuffle(input: Spec, groups: int) -> Spec:
    """Channels of (N, C, ...) dealt out from `groups` groups in turn."""
    if len(input.shape) < 3 or groups <= 0 or input.shape[1] % groups:
        raise ShapeError(
            f"channel_shuffle: expected channels divisible by {groups}. Got {tuple(input.shape)}."
        )
    n, c, *rest = input.shape
    return input.reshape(n, groups, c // groups, *rest).transpose(1, 2).reshape(n, c, *rest)


native_channel_shuffle = channel_shuffle
