"""Convolutions that the CPU computes in ways of their own: which arrays they take.

Those with a stride and kernels of size 1 are matrix products; depthwise ones of images that lie row
by row are loops of ours.
"""

from __future__ import annotations

import math
from typing import Any

from ..backends.cpu import loops
from ..backends.cpu.onednn import thinned
from .convolution import (
    arranged,
    convolution,
    convolution_input,
    convolution_weight,
    output_sizes,
)
from .declare import kernel
from .fused import LARGE, SINGLE
from .shapes import Shape
from .window_matrices import Pairs

kernel(convolution, "cpu", thinned.serves_convolution)(thinned.convolution)
kernel(convolution_input, "cpu", thinned.serves_input)(thinned.convolution_input)
kernel(convolution_weight, "cpu", thinned.serves_weight)(thinned.convolution_weight)

MOST_TAPS = 49
"""Places of the largest kernel, 7x7: each is an instruction of the loop."""


def _is_row_major(images: Any, stride: Shape, groups: int) -> bool:
    """Whether the images lie row by row and each channel is a group. With channels innermost, and
    for strides, oneDNN serves."""
    return bool(
        images.ndim == 4
        and groups == images.shape[1] > 1
        and images.size >= LARGE
        and images.dtype == SINGLE
        and images.flags.c_contiguous
        and tuple(stride) == (1, 1)
        and loops.is_available()
    )


def _fits(input: Shape, weight: Any, output: Shape, padding: Pairs, dilation: Shape) -> bool:
    """Whether the convolution takes images of shape `input` to such of shape `output`, one small
    kernel a channel."""
    if len(input) != 4 or len(weight) != 4 or tuple(weight[:2]) != (input[1], 1):
        return False
    sizes = output_sizes(input[2:], tuple(weight[2:]), (1, 1), padding, dilation)
    return (
        math.prod(weight[2:]) <= MOST_TAPS
        and min(sizes) > 0
        and tuple(output) == (*input[:2], *sizes)
    )


def _is_arranged(g: Any, *, like: Shape, stride: Shape, groups: int) -> bool:
    return _is_row_major(g, stride, groups)


@kernel(arranged, "cpu", when=_is_arranged)
def as_it_is(g: Any, **how: Any) -> Any:
    """Row by row, as the loops take it."""
    return g


def _is_depthwise(
    input: Any, weight: Any, bias: Any = None, *, stride: Shape, padding: Pairs, dilation: Shape,
    groups: int,
) -> bool:  # fmt: skip
    if not _is_row_major(input, stride, groups) or weight.ndim != 4 or weight.dtype != SINGLE:
        return False
    sizes = output_sizes(input.shape[2:], weight.shape[2:], (1, 1), padding, dilation)
    return _fits(input.shape, weight.shape, (*input.shape[:2], *sizes), padding, dilation) and (
        bias is None or (bias.dtype == SINGLE and bias.shape == weight.shape[:1])
    )


@kernel(convolution, "cpu", when=_is_depthwise)
def depthwise(
    input: Any, weight: Any, bias: Any = None, *, stride: Shape, padding: Pairs, dilation: Shape,
    groups: int,
) -> Any:  # fmt: skip
    """Each plane by its own kernel."""
    from ..backends.cpu.loops.depthwise import correlate

    sizes = output_sizes(input.shape[2:], weight.shape[2:], (1, 1), padding, dilation)
    start = -padding[0][0], -padding[1][0]
    return correlate(input, weight, bias, sizes, start, dilation)


def _is_depthwise_input(
    g: Any, weight: Any, *, like: Shape, stride: Shape, padding: Pairs, dilation: Shape,
    groups: int,
) -> bool:  # fmt: skip
    return (
        _is_row_major(g, stride, groups)
        and weight.dtype == SINGLE
        and _fits(like, weight.shape, g.shape, padding, dilation)
    )


@kernel(convolution_input, "cpu", when=_is_depthwise_input)
def depthwise_input(
    g: Any, weight: Any, *, like: Shape, stride: Shape, padding: Pairs, dilation: Shape,
    groups: int,
) -> Any:  # fmt: skip
    """The same with mirrored kernels."""
    from ..backends.cpu.loops.depthwise import correlate

    reach = [d * (k - 1) for k, d in zip(weight.shape[2:], dilation, strict=True)]
    start = padding[0][0] - reach[0], padding[1][0] - reach[1]
    return correlate(g, weight[:, :, ::-1, ::-1], None, like[2:], start, dilation)


def _is_depthwise_weight(
    g: Any, input: Any, *, like: Shape, stride: Shape, padding: Pairs, dilation: Shape,
    groups: int,
) -> bool:  # fmt: skip
    return (
        _is_row_major(g, stride, groups)
        and _is_row_major(input, stride, groups)
        and _fits(input.shape, like, g.shape, padding, dilation)
    )


@kernel(convolution_weight, "cpu", when=_is_depthwise_weight)
def depthwise_weight(
    g: Any, input: Any, *, like: Shape, stride: Shape, padding: Pairs, dilation: Shape,
    groups: int,
) -> Any:  # fmt: skip
    """Sums over each plane, and those over the images."""
    from ..backends.cpu.loops.depthwise import correlate_weight

    start = -padding[0][0], -padding[1][0]
    return correlate_weight(input, g, like[2:], start, dilation)
