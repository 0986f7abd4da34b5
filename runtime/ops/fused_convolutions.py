"""Convolutions that the CPU computes in ways of their own: which arrays they take.

Those with a stride and kernels of size 1 are matrix products, as are gradients of images with few
channels; 3x3 ones without strides save multiplications by Winograd's filtering; depthwise ones of
images that lie row by row are loops of ours.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from ..backends.cpu import loops
from ..backends.cpu.onednn import packed, thinned
from ..backends.cpu.onednn.library import library
from ..backends.cpu.onednn.products import numpy_with_products
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

FEW_CHANNELS = 4
"""Channels up to which the gradient by images is sooner products scattered over windows than
oneDNN's convolution, whose vectors are along channels (7x7, stride 2, 3-64: 82 ms, not 180)."""


def _has_few_channels(
    g: Any, weight: Any, *, like: Shape, stride: Shape, padding: Pairs, dilation: Shape,
    groups: int,
) -> bool:  # fmt: skip
    return bool(
        groups == 1
        and like[1] <= FEW_CHANNELS
        and g.size >= LARGE
        and g.dtype == weight.dtype == SINGLE
        and library() is not None
    )


kernel(convolution_input, "cpu", when=_has_few_channels)(
    partial(convolution_input.operation.array, numpy_with_products)
)

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


# -- 3x3 -------------------------------------------------------------------------------------------

LEAST_CHANNELS, LANES = 32, 16
"""Channels from which on products of planes are worth their preparation, whole vectors of them."""

LEAST_WORK = 1 << 22
"""Multiplications of the definition from which on it is done."""

CHANNELS_A_TILE = 8
"""Channels for each tile at most: kernels are rearranged as well as tiles (1 x 512 x 7 x 7 with its
16 tiles takes twice the time of oneDNN). Half as many with a stride, where less is saved."""

LEAST_COVERED = 0.85
"""Pixels of the result for each that its tiles have, with a stride: 7 x 7 are too few for 8 x 8."""


def _is_winograd(
    input: Shape, weight: Shape, output: Shape, arrays: Any, stride: Shape, padding: Pairs,
    dilation: Shape, groups: int,
) -> bool:  # fmt: skip
    """Whether filtering pays for a convolution of these shapes."""
    if groups != 1 or tuple(weight[2:]) != (3, 3) or any(d != 1 for d in dilation):
        return False
    if tuple(stride) not in ((1, 1), (2, 2)):
        return False
    if len(input) != 4 or input[1] != weight[1] or min(input) <= 0 or min(output) <= 0:
        return False
    few, many = sorted(weight[:2])
    tiles = input[0] * ((output[2] + 1) // 2) * ((output[3] + 1) // 2)
    sizes = output_sizes(input[2:], (3, 3), stride, padding, dilation)
    return (
        few >= LEAST_CHANNELS
        and not (few % LANES or many % LANES)
        and tiles * CHANNELS_A_TILE // stride[0] >= many
        and (stride[0] == 1 or math.prod(output[2:]) * output[0] >= LEAST_COVERED * 4 * tiles)
        and math.prod(output) * weight[1] * 9 >= LEAST_WORK
        and tuple(output) == (input[0], weight[0], *sizes)
        and all(a is None or a.dtype == SINGLE for a in arrays)
        and loops.is_available()
        and library() is not None
    )


def _planes(weight: Any, stride: int, is_mirrored: bool) -> Any:
    """The weight's planes; kept where it does not change."""
    from ..backends.cpu.loops.winograd import kernel_planes

    how = stride, is_mirrored
    return packed.copy_of(weight, ("winograd", *how), lambda: kernel_planes(weight, *how))


def _is_filtered(input: Any, weight: Any, bias: Any = None, **how: Any) -> bool:
    if input.ndim != 4 or weight.ndim != 4 or (bias is not None and len(bias) != len(weight)):
        return False
    sizes = output_sizes(input.shape[2:], weight.shape[2:], how["stride"], how["padding"],
                         how["dilation"])  # fmt: skip
    output = (input.shape[0], weight.shape[0], *sizes)
    return _is_winograd(input.shape, weight.shape, output, (input, weight, bias), **how)


@kernel(convolution, "cpu", when=_is_filtered)
def filtered(
    input: Any, weight: Any, bias: Any = None, *, stride: Shape, padding: Pairs, dilation: Shape,
    groups: int,
) -> Any:  # fmt: skip
    """16 multiplications where the definition has 36, or 25 with a stride."""
    from ..backends.cpu.loops.winograd import correlate

    sizes = output_sizes(input.shape[2:], (3, 3), stride, padding, dilation)
    planes = _planes(weight, stride[0], False)
    return correlate(input, planes, bias, sizes, (padding[0][0], padding[1][0]), stride[0])


def _is_filtered_input(g: Any, weight: Any, *, like: Shape, **how: Any) -> bool:
    if max(how["stride"]) > 1:  # 6 % more tiles and less to save: oneDNN is as fast
        return False
    return _is_winograd(tuple(like), weight.shape, g.shape, (g, weight), **how)


@kernel(convolution_input, "cpu", when=_is_filtered_input)
def filtered_input(
    g: Any, weight: Any, *, like: Shape, stride: Shape, padding: Pairs, **how: Any
) -> Any:
    """The same with mirrored kernels."""
    from ..backends.cpu.loops.winograd import correlate_input

    planes = _planes(weight, stride[0], True)
    return correlate_input(g, planes, like[2:], (padding[0][0], padding[1][0]))


def _is_filtered_weight(g: Any, input: Any, *, like: Shape, **how: Any) -> bool:
    return _is_winograd(input.shape, tuple(like), g.shape, (g, input), **how)


@kernel(convolution_weight, "cpu", when=_is_filtered_weight)
def filtered_weight(
    g: Any, input: Any, *, like: Shape, stride: Shape, padding: Pairs, **how: Any
) -> Any:
    """The adjoint: products of planes summed over tiles."""
    from ..backends.cpu.loops.winograd import correlate_weight

    return correlate_weight(input, g, (padding[0][0], padding[1][0]), stride[0])
