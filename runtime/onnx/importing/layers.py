"""Convolutions, pooling, normalizations, resampling and losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...core.tensor import Tensor
from ...nn import functional as F
from .products import LIMITS, _along, _centred
from .registry import operator, torch

Ends = list[tuple[int, int]]
"""How much a dimension is padded before and behind."""


def _ends(
    x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int],
    pads: Sequence[int] | None, auto_pad: str,
) -> Ends:  # fmt: skip
    """Padding as told, or so that the output has ceil(size / stride) positions."""
    rank = len(kernel)
    if auto_pad in ("NOTSET", "VALID", ""):
        given = list(pads) if pads is not None and auto_pad != "VALID" else [0] * (2 * rank)
        return [(given[k], given[k + rank]) for k in range(rank)]
    found = []
    for n, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        less, more = total // 2, total - total // 2
        found.append((less, more) if auto_pad == "SAME_UPPER" else (more, less))
    return found


def _padded(x: Tensor, ends: Ends, value: float = 0.0) -> Tensor:
    flat = [n for pair in reversed(ends) for n in pair]
    return F.pad(x, flat, value=value) if any(flat) else x


def _symmetric(x: Tensor, ends: Ends) -> tuple[Tensor, list[int]]:
    """x padded where both ends differ, and the padding that is left to the operation."""
    if all(a == b for a, b in ends):
        return x, [a for a, _ in ends]
    return _padded(x, ends), [0] * len(ends)


@operator("Conv")
def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, kernel_shape: Any = None,
    strides: Any = None, pads: Any = None, dilations: Any = None, group: int = 1,
    auto_pad: str = "NOTSET",
) -> Tensor:  # fmt: skip
    """Cross-correlation."""
    rank = x.ndim - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    ends = _ends(x, weight.shape[2:], strides, dilations, pads, auto_pad)
    x, padding = _symmetric(x, ends)
    function = getattr(F, f"conv{rank}d")
    return function(x, weight, bias, strides, padding, dilations, group)  # type: ignore[no-any-return]


@operator("ConvTranspose")
def conv_transpose(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, kernel_shape: Any = None,
    strides: Any = None, pads: Any = None, dilations: Any = None, group: int = 1,
    auto_pad: str = "NOTSET", output_padding: Any = None, output_shape: Any = None,
) -> Tensor:  # fmt: skip
    """The transposed map, with more at the ends cut off or added as told."""
    rank = x.ndim - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    extra = output_padding or [0] * rank
    ends = _ends(x, weight.shape[2:], strides, dilations, pads, "NOTSET")
    whole = [
        (n - 1) * s + (k - 1) * d + 1 + e
        for n, s, k, d, e in zip(
            x.shape[2:], strides, weight.shape[2:], dilations, extra, strict=True
        )
    ]
    if output_shape is None and auto_pad.startswith("SAME"):
        output_shape = [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
    if output_shape is not None:
        totals = [w - n for w, n in zip(whole, output_shape[-rank:], strict=True)]
        ends = [(t - t // 2, t // 2) for t in totals]
        ends = [(b, a) for a, b in ends] if auto_pad == "SAME_UPPER" else ends
    function = getattr(F, f"conv_transpose{rank}d")
    if all(a == b and a >= 0 for a, b in ends):
        padding = [a for a, _ in ends]
        return function(x, weight, bias, strides, padding, extra, group, dilations)  # type: ignore[no-any-return]
    zero = [0] * rank
    out = function(x, weight, bias, strides, zero, zero, group, dilations)
    return _padded(out, [(-a, e - b) for (a, b), e in zip(ends, extra, strict=True)])


@operator("ConvInteger")
def conv_integer(
    x: Tensor, weight: Tensor, x_point: Tensor | None = None, w_point: Tensor | None = None,
    **how: Any,
) -> Tensor:  # fmt: skip
    """A convolution of codes in int32, by float64, which is exact."""
    wide = _centred(x, x_point, 1).double(), _centred(weight, w_point, 0).double()
    return conv(*wide, **how).to(torch.int32)


@operator("QLinearConv")
def quantized_conv(
    x: Tensor, x_scale: Tensor, x_point: Tensor, weight: Tensor, w_scale: Tensor, w_point: Tensor,
    scale: Tensor, point: Tensor, bias: Tensor | None = None, **how: Any,
) -> Tensor:  # fmt: skip
    """A convolution of codes as codes."""
    sums = conv_integer(x, weight, x_point, w_point, **how).double()
    sums = sums if bias is None else sums + bias.double().reshape(-1, *[1] * (x.ndim - 2))
    factor = x_scale.double() * w_scale.double() / scale.double()
    wide = sums * _along(factor, sums, 1)
    low, high = LIMITS[str(point.dtype).removeprefix("torch.")]
    return (torch.round(wide) + point.double()).clamp(low, high).to(point.dtype)  # type: ignore[no-any-return]


def _overhang(
    x: Tensor, ends: Ends, kernel: Sequence[int], strides: Sequence[int],
    dilations: Sequence[int], ceil_mode: int,
) -> list[int]:  # fmt: skip
    """How far the last window reaches beyond the padding, where sizes are rounded up."""
    found = []
    for n, (a, b), k, s, d in zip(x.shape[2:], ends, kernel, strides, dilations, strict=True):
        reach = (k - 1) * d + 1
        count = -(-(n + a + b - reach) // s)
        if (count * s) >= n + a:  # a window that begins in the padding behind is none
            count -= 1
        found.append(max(0, count * s + reach - (n + a + b)) if ceil_mode else 0)
    return found


@operator("MaxPool")
def max_pool(
    x: Tensor, *, kernel_shape: Sequence[int], strides: Any = None, pads: Any = None,
    dilations: Any = None, ceil_mode: int = 0, auto_pad: str = "NOTSET", storage_order: int = 0,
    outputs: int,
) -> Any:  # fmt: skip
    """The largest of each window, and its place among all elements."""
    rank = len(kernel_shape)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    ends = _ends(x, kernel_shape, strides, dilations, pads, auto_pad)
    over = _overhang(x, ends, kernel_shape, strides, dilations, ceil_mode)
    given = x if x.is_floating_point() else x.to(torch.float32)
    padded = _padded(given, [(a, b + o) for (a, b), o in zip(ends, over, strict=True)], -math.inf)
    function = getattr(F, f"max_pool{rank}d")
    if outputs == 1:
        return function(padded, kernel_shape, strides, 0, dilations).to(x.dtype)
    out, places = function(padded, kernel_shape, strides, 0, dilations, return_indices=True)
    return out.to(x.dtype), _whole_places(places, x, padded, ends, storage_order)


def _whole_places(
    places: Tensor, x: Tensor, padded: Tensor, ends: Ends, storage_order: int
) -> Tensor:
    """Places in a padded image as places among all elements of x."""
    coordinates = []
    for n, (a, _) in zip(reversed(padded.shape[2:]), reversed(ends), strict=True):
        coordinates.append(places % n - a)
        places = torch.div(places, n, rounding_mode="floor")
    sizes = list(x.shape[2:])
    coordinates = coordinates[::-1]
    if storage_order:  # columns first
        sizes, coordinates = sizes[::-1], coordinates[::-1]
    found = torch.zeros_like(places)
    for n, c in zip(sizes, coordinates, strict=True):
        found = found * n + c
    images = torch.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * len(sizes))
    return found + images * math.prod(sizes)  # type: ignore[no-any-return]


@operator("AveragePool")
def average_pool(
    x: Tensor, *, kernel_shape: Sequence[int], strides: Any = None, pads: Any = None,
    dilations: Any = None, ceil_mode: int = 0, count_include_pad: int = 0,
    auto_pad: str = "NOTSET",
) -> Tensor:  # fmt: skip
    """The mean of each window; what lies beyond does not count."""
    rank = len(kernel_shape)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    ends = _ends(x, kernel_shape, strides, dilations, pads, auto_pad)
    over = _overhang(x, ends, kernel_shape, strides, dilations, ceil_mode)
    is_plain = all(d == 1 for d in dilations)
    if is_plain and not any(over) and (count_include_pad or not any(map(any, ends))):
        return getattr(F, f"avg_pool{rank}d")(_padded(x, ends), kernel_shape, strides)  # type: ignore[no-any-return]
    beyond = [(0, o) for o in over]
    counted = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    counted = _padded(counted, ends, float(bool(count_include_pad)))
    sums = _window_sums(_padded(_padded(x, ends), beyond), kernel_shape, strides, dilations)
    return sums / _window_sums(_padded(counted, beyond), kernel_shape, strides, dilations)


def _window_sums(
    x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Tensor:
    """Sums of windows, by a convolution of each channel with ones."""
    channels = x.shape[1]
    ones = torch.ones((channels, 1, *kernel), dtype=x.dtype)
    function = getattr(F, f"conv{len(kernel)}d")
    return function(x, ones, None, strides, 0, dilations, channels)  # type: ignore[no-any-return]


@operator("LpPool")
def lp_pool(
    x: Tensor, *, kernel_shape: Sequence[int], p: int = 2, strides: Any = None, pads: Any = None,
    dilations: Any = None, ceil_mode: int = 0, auto_pad: str = "NOTSET",
) -> Tensor:  # fmt: skip
    """sum(|x|**p)**(1/p) of each window."""
    rank = len(kernel_shape)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    ends = _ends(x, kernel_shape, strides, dilations, pads, auto_pad)
    over = _overhang(x, ends, kernel_shape, strides, dilations, ceil_mode)
    padded = _padded(_padded(x, ends), [(0, o) for o in over])
    return _window_sums(padded.abs() ** p, kernel_shape, strides, dilations) ** (1 / p)


def _spatial(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


@operator("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    """The mean of each channel."""
    return x.mean(_spatial(x), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    """The largest of each channel."""
    return x.amax(_spatial(x), keepdim=True)


@operator("GlobalLpPool")
def global_lp_pool(x: Tensor, *, p: int = 2) -> Tensor:
    """sum(|x|**p)**(1/p) of each channel."""
    return (x.abs() ** p).sum(_spatial(x), keepdim=True) ** (1 / p)
