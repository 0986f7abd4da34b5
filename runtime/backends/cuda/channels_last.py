"""Convolutions of images whose channels lie innermost, 16 bytes at a time.

Others are brought there first, with channels that fill vectors: to read and write an array once
more takes less time than to gather its elements one by one for every tap.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

from . import launch
from .launch import AMPERE, Template
from .pointwise import divisor
from .rows import VECTOR_BYTES, empty

Shape = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

TYPES = ("float16", "bfloat16", "float32")
RANK = 3
THREADS = 128
LINES = 128
"""Positions of a block's tile, or places of the depth."""
STAGES, LINE_BYTES = 3, 64
COLUMNS = (128, 64)
"""Outputs of a tile."""
BLOCKS_PER_MULTIPROCESSOR = 2
MOST_PLACES = 2**31 - 1
"""Elements of an array: offsets have 32 bits."""
WALK = "Pqqq" + "qqqqqqq2Qq" * RANK
"""The words of `struct Walk`."""

CONVOLVE = Template(
    "channels_last", "convolve_vectors", WALK + "PPPqqqqqq", AMPERE, T=TYPES, COLUMNS=COLUMNS
)
CORRELATE = Template(
    "channels_last", "correlate_vectors", WALK + "PqPqqqqq", AMPERE, T=TYPES, ROWS=COLUMNS
)
SUM = Template("channels_last", "sum_parts", "PPqqqq", T=TYPES)


class Axis(NamedTuple):
    """One dimension of a walk: position p sees with tap t the place p * stride + first +
    t * tap_step, with the tap weight_first + t * weight_step of the weights. `offset` and `step`
    say where positions lie along the axis of the other array."""

    positions: int
    stride: int
    first: int
    taps: int
    tap_step: int
    weight_first: int = 0
    weight_step: int = 1
    offset: int = 0
    step: int = 1


ONE = Axis(1, 1, 0, 1, 1)
"""A dimension that is not there."""


def shared_bytes(name: str, columns: int, itemsize: int) -> int:
    """What a block has of shared memory: tiles for each stage, and then the results."""
    lane = VECTOR_BYTES // itemsize
    depth = LINE_BYTES // itemsize
    if name == "correlate_vectors":
        return STAGES * depth * (columns + LINES + 2 * lane) * itemsize
    tiles = STAGES * (LINES + columns) * (depth + lane)
    return max(tiles, LINES * (columns + lane)) * itemsize


def _steps(array: Any) -> tuple[int, list[int]]:
    """Of images and of three places, in elements."""
    image, _, *places = [step // array.itemsize for step in array.strides]
    return image, [0] * (RANK - len(places)) + places


def _walk(array: Any, other: Any, axes: tuple[Axis, ...], channels: int, weight: int) -> list[int]:
    """The words of `struct Walk` over `array`; positions are those of `other`, a tap of the weights
    has `weight` elements."""
    image, steps = _steps(array)
    _, others = _steps(other)
    sizes = (1,) * (RANK - array.ndim + 2) + array.shape[2:]
    taps = (1,) * (RANK - len(axes))
    axes = (ONE,) * len(taps) + axes
    first, each = 0, []
    for d, axis in enumerate(axes):
        first += axis.weight_first * weight
        magic, shift = divisor(axis.positions)
        each += [sizes[d], steps[d], axis.stride, axis.first, axis.taps, axis.tap_step,
                 axis.weight_step * weight, axis.positions | magic << 32, shift,
                 others[d] * axis.step]  # fmt: skip
    return [array.data.ptr, image, channels, first, *each]


def _last(array: Any, channels: int, groups: int) -> Any:
    """The array with its channels innermost and aligned, and, if it has one group, with zeros
    behind them up to `channels` of them; None where that would not fill vectors."""
    import cupy

    lane = VECTOR_BYTES // array.itemsize
    count = array.shape[1]
    if channels % lane or (groups > 1 and count != channels * groups):
        return None
    places = cupy.moveaxis(array, 1, -1)
    if count != channels * groups:
        wide = cupy.zeros((*places.shape[:-1], channels), array.dtype)
        wide[..., :count] = places
        places = wide
    elif not places.flags.c_contiguous or array.data.ptr % VECTOR_BYTES:
        places = places.copy(order="C")
    return cupy.moveaxis(places, -1, 1) if places.size <= MOST_PLACES else None


def _filled(channels: int, itemsize: int, groups: int) -> int:
    """So many channels that they fill vectors."""
    lane = VECTOR_BYTES // itemsize
    return channels if groups > 1 else -(-channels // lane) * lane


def _weights(weight: Any, channels: int, groups: int) -> Any:
    """(groups * outputs, channels, taps) as (groups, outputs, taps * channels), with zeros for
    channels that it does not have."""
    import cupy

    outputs, own = weight.shape[:2]
    places = cupy.moveaxis(weight, 1, -1)
    if own != channels:
        wide = cupy.zeros((*places.shape[:-1], channels), weight.dtype)
        wide[..., :own] = places
        places = wide
    return cupy.ascontiguousarray(places).reshape(groups, outputs // groups, -1)


def _columns(outputs: int, lines: int) -> int:
    """Outputs of a tile: fewer, where there are few of them or few blocks, of which a
    multiprocessor has two with 128 and three with 64."""
    blocks = lines * -(-outputs // 128)
    many = BLOCKS_PER_MULTIPROCESSOR * launch.driver.multiprocessors()
    return 128 if outputs > 64 and blocks >= many else 64


def _convolve(
    image: Any, matrix: Any, bias: Any, out: Any, axes: tuple[Axis, ...], channels: int
) -> None:
    """Fill positions of `out` by products of windows with matrix (groups, outputs, depth)."""
    groups, outputs, depth = matrix.shape
    count = out.shape[0] * math.prod([axis.positions for axis in axes])
    length = math.prod([axis.taps for axis in axes]) * channels
    columns = _columns(outputs, -(-count // LINES) * groups)
    grid = -(-count // LINES), -(-outputs // columns), groups
    step_image, step_channel = (step // out.itemsize for step in out.strides[:2])
    offset = sum(axis.offset * step for axis, step in zip(axes, out.strides[2:], strict=True))
    walk = _walk(image, out, axes, channels, channels)
    CONVOLVE[out.dtype.name, columns](
        grid, THREADS, *walk, matrix.data.ptr, 0 if bias is None else bias.data.ptr,
        out.data.ptr + offset, step_image, step_channel, count, outputs, depth, length,
        shared=shared_bytes("convolve_vectors", columns, out.itemsize),
    )  # fmt: skip


def _tap_steps(taps: Shape) -> list[int]:
    """Taps from one to the next along each dimension."""
    return [math.prod(taps[d + 1 :]) for d in range(len(taps))]


def convolved(
    input: Any, weight: Any, bias: Any, out: Any, stride: Shape, padding: Pairs, dilation: Shape,
    groups: int,
) -> Any:  # fmt: skip
    """`out`, filled with the convolution; None for what is left to other kernels."""
    channels = _filled(weight.shape[1], input.itemsize, groups)
    image = _last(input, channels, groups)
    if image is None:
        return None
    taps = weight.shape[2:]
    axes = tuple(
        Axis(positions, step, -low, count, apart, weight_step=each)
        for positions, step, (low, _), count, apart, each in zip(
            out.shape[2:], stride, padding, taps, dilation, _tap_steps(taps), strict=True
        )
    )
    _convolve(image, _weights(weight, channels, groups), bias, out, axes, channels)
    return out


def _classes(size: int, stride: int, low: int, taps: int, apart: int, each: int) -> list[Axis]:
    """The places of an image along one dimension, by their rest to the stride: those of one class
    are seen through the same taps, of which some see none."""
    found = []
    for rest in range(min(stride, size)):
        seen = [t for t in range(taps) if (rest + low - t * apart) % stride == 0]
        begin = seen[0] if seen else 0
        between = stride // math.gcd(stride, apart)
        found.append(
            Axis(
                positions=-(-(size - rest) // stride), stride=1,
                first=(rest + low - begin * apart) // stride, taps=len(seen),
                tap_step=-(between * apart // stride), weight_first=begin * each,
                weight_step=between * each, offset=rest, step=stride,
            )
        )  # fmt: skip
    return found


def input_gradient(
    g: Any, weight: Any, out: Any, stride: Shape, padding: Pairs, dilation: Shape, groups: int
) -> Any:
    """`out`, filled with the gradient by the input: with a stride, a convolution for each class of
    its places. None for what is left to other kernels."""
    import cupy

    outputs = weight.shape[0] // groups
    channels = _filled(outputs, g.itemsize, groups)
    image = _last(g, channels, groups)
    if image is None:
        return None
    turned = weight.reshape(groups, outputs, *weight.shape[1:])
    turned = cupy.moveaxis(turned, 2, 1).reshape(-1, outputs, *weight.shape[2:])
    matrix, taps = _weights(turned, channels, groups), weight.shape[2:]
    classes = [
        _classes(size, step, low, count, apart, each)
        for size, step, (low, _), count, apart, each in zip(
            out.shape[2:], stride, padding, taps, dilation, _tap_steps(taps), strict=True
        )
    ]
    for axes in itertools.product(*classes):
        _convolve(image, matrix, None, out, axes, channels)
    return out


def weight_gradient(
    g: Any, input: Any, like: Shape, stride: Shape, padding: Pairs, dilation: Shape, groups: int
) -> Any:
    """The gradient by the weight, of parts of the positions side by side, which are then summed in
    one order; None for what is left to other kernels."""
    outputs, own, taps = like[0] // groups, like[1], like[2:]
    channels = _filled(own, input.itemsize, groups)
    image, given = _last(input, channels, groups), _last(g, outputs, groups)
    if image is None or given is None:
        return None
    depth, count = channels * math.prod(taps), g.shape[0] * math.prod(g.shape[2:])
    rows = 64 if outputs <= 64 else 128
    grid = -(-depth // LINES), -(-outputs // rows)
    step = LINE_BYTES // g.itemsize
    wanted = BLOCKS_PER_MULTIPROCESSOR * launch.driver.multiprocessors()
    parts = max(1, min(wanted // (grid[0] * grid[1] * groups), count // (8 * step)))
    length = -(-count // (parts * step)) * step
    parts = -(-count // length)
    axes = tuple(
        Axis(positions, each, -low, many, apart)
        for positions, each, (low, _), many, apart in zip(
            g.shape[2:], stride, padding, taps, dilation, strict=True
        )
    )
    partial = empty((parts, like[0], depth), "float32")
    CORRELATE[g.dtype.name, rows](
        (*grid, groups * parts), THREADS, *_walk(image, given, axes, channels, 0), given.data.ptr,
        _steps(given)[0], partial.data.ptr, count, length, groups, outputs, depth,
        shared=shared_bytes("correlate_vectors", rows, g.itemsize),
    )  # fmt: skip
    out = empty((like[0], channels, *taps), g.dtype)
    SUM[g.dtype.name](
        -(-out.size // 256), 256, partial.data.ptr, out.data.ptr, parts, out.size,
        math.prod(taps), channels,
    )  # fmt: skip
    return out if own == channels else out[:, :own].copy()
