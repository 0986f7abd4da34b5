"""Winograd's minimal filtering F(2x2, 3x3): 3x3 convolutions with 16 multiplications for every 36,
and with 25 for a stride of 2.

Images with channels innermost are cut into tiles of 4x4 pixels, two apart. Tiles and kernels become
16 numbers each, in planes that multiply as matrices over channels, and the products become tiles of
2x2 pixels. All coefficients are 0, 1 and 1/2, and sums are shorter than in a direct convolution: of
256 channels oneDNN's has an error of 7.9e-7, this one of 4.7e-7. What is infinite or NaN makes all
results of its tiles NaN. Source: Lavin and Gray, arXiv:1509.09308, section 4.1; the gradient by the
weight is the adjoint of the bilinear map.
"""

from __future__ import annotations

import struct
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..onednn.layouts import channels_last, empty_channels_last
from ..onednn.library import library
from ..onednn.primitives import kept
from ..onednn.products import compiled
from .language import Position, Program, Value
from .machine import Code
from .threads import pool
from .transposition import transposed_copy

Matrix = tuple[tuple[float, ...], ...]
Pair = tuple[int, int]


def _adjoint(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


class Filtering(NamedTuple):
    """The matrices of a minimal filtering along one dimension, all with as many rows or columns as
    there are products: result @ ((kernel @ w) * (tile @ x)) for a kernel w of three and a tile x.
    """

    kernel: Matrix
    tile: Matrix
    result: Matrix

    @property
    def planes(self) -> int:
        """Products in two dimensions."""
        return len(self.kernel) ** 2


DENSE = Filtering(
    kernel=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),  # G of the source
    tile=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),  # B^T
    result=((1, 1, 1, 0), (0, 1, -1, -1)),  # A^T
)
"""F(2, 3): 4 products for 6."""

MIRRORED = tuple((3, 1, 2, 0)[k // 4] * 4 + (3, 1, 2, 0)[k % 4] for k in range(16))
"""Plane k of a mirrored kernel is this plane of the kernel."""

STRIDED = Filtering(
    kernel=((1, 0, 0), (1, 0, 1), (0, 0, 1), (0, 1, 0), (0, 1, 0)),
    tile=((1, 0, -1, 0, 0), (0, 0, 1, 0, 0), (0, 0, -1, 0, 1), (0, 1, 0, 0, 0), (0, 0, 0, 1, 0)),
    result=((1, 1, 0, 1, 0), (0, 1, 1, 0, 1)),
)
"""Every other result, in 5 products for 6: the outer two numbers of the kernel meet the even
pixels, F(2, 2), and the middle one the odd ones."""

FILTERINGS = {1: DENSE, 2: STRIDED}
"""By stride."""

BYTES = 4 << 20
"""Memory of the planes of the tiles at a time; the cache that cores share has room for them."""

CHUNK = 2_048
"""Vectors that a thread takes at a time, about."""


class Tiles(NamedTuple):
    """Tiles of images (N, H, W, C): `down` x `across` of them an image, `every` so many pixels, the
    first of which begins at pixel (top, left), or before the image."""

    images: Any
    down: int
    across: int
    every: int
    top: int = 0
    left: int = 0

    @property
    def count(self) -> int:
        """All tiles."""
        return len(self.images) * self.down * self.across


# -- programs --------------------------------------------------------------------------------------


def _combined(matrix: Matrix, values: list[Value]) -> list[Value]:
    """The matrix times the vector of values."""
    found = []
    for row in matrix:
        total: Value | None = None
        for factor, value in zip(row, values, strict=True):
            if not factor:
                continue
            term = value if abs(factor) == 1 else value * abs(factor)
            if total is None:
                total = term if factor > 0 else -term
            else:
                total = total + term if factor > 0 else total - term
        assert total is not None
        found.append(total)
    return found


def _transformed(matrix: Matrix, values: list[Value]) -> list[Value]:
    """matrix @ tile @ matrix.T for the square tile of these values, row by row."""
    size = len(matrix[0])
    columns = [_combined(matrix, values[k::size]) for k in range(size)]
    rows = [_combined(matrix, list(row)) for row in zip(*columns, strict=True)]
    return [value for row in rows for value in row]


class _Walk:
    """The parts that programs over tiles share: arguments, and where pixels and planes are."""

    def __init__(self, name: str) -> None:
        self.p = p = Program(name)
        self.images, self.planes, self.row = p.array(0), p.array(1), p.array(2)
        words = [p.word(3 + k) for k in range(10)]
        self.height, self.width, self.channels, self.down, self.across = words[:5]
        self.every, self.top, self.left, self.first, self.apart = words[5:]

    def pixels(self, tile: Value, size: int) -> list[tuple[Value, Value]]:
        """Address of each pixel of a square tile, and whether it exists."""
        number = tile + self.first
        x = number % self.across * self.every + self.left
        rest = number // self.across
        y, image = rest % self.down * self.every + self.top, rest // self.down
        found = []
        for k in range(size * size):
            row, column = y + k // size, x + k % size
            exists = ~(row < 0) & (row < self.height) & ~(column < 0) & (column < self.width)
            place = (image * self.height + row) * self.width + column
            found.append((self.images + place * self.channels * 4, exists))
        return found

    def plane(self, k: int, tile: Value) -> Value:
        """Address of the tile's row in plane `k`; planes lie `apart` rows from each other."""
        return self.planes + (self.apart * k + tile) * self.channels * 4


@cache
def _into_planes(matrix: Matrix, order: tuple[int, ...]) -> Code:
    """From tiles of images into planes; what is outside is read from a row of zeros."""
    walk = _Walk(f"winograd_{len(matrix[0])}_{order[0]}")
    p, size = walk.p, len(matrix[0])
    with p.loop(p.begin, p.end) as tile:
        places = [p.where(exists, a, walk.row) for a, exists in walk.pixels(tile, size)]
        targets = [walk.plane(k, tile) for k in order]
        with p.loop(p.constant(0), walk.channels, p.lanes) as c:
            values = [p.load(place, c, "float32", p.lanes) for place in places]
            for target, value in zip(targets, _transformed(matrix, values), strict=True):
                p.store(value, target, c)
    return Code(p.name, p.text())


@cache
def _into_images(matrix: Matrix, order: tuple[int, ...]) -> Code:
    """From planes into tiles of images, each with the row of a bias added."""
    walk = _Walk(f"winograd_back_{order[0]}")
    p, size = walk.p, len(matrix)
    with p.loop(p.begin, p.end) as tile:
        sources = [walk.plane(k, tile) for k in order]
        pixels = walk.pixels(tile, size)
        with p.loop(p.constant(0), walk.channels, p.lanes) as c:
            bias = p.load(walk.row, c, "float32", p.lanes)
            values = [p.load(source, c, "float32", p.lanes) for source in sources]
            found = _transformed(matrix, values)
            for (place, exists), value in zip(pixels, found, strict=True):
                with p.when(exists):
                    p.store(value + bias, place, c)
    return Code(p.name, p.text())


@cache
def _between_kernels(matrix: Matrix) -> Code:
    """From kernels of one size to such of another: target[r, :, c] for source[r, :, c]."""
    p = Program(f"winograd_kernels_{len(matrix)}")
    source, target, length, *steps = p.array(0), p.array(1), *(p.word(k) for k in range(2, 7))
    with p.loop(p.begin, p.end) as row:
        sources = [source + (row * steps[0] + steps[1] * k) * 4 for k in range(len(matrix[0]) ** 2)]
        targets = [target + (row * steps[2] + steps[3] * k) * 4 for k in range(len(matrix) ** 2)]

        def body(at: Position) -> None:
            values = [at.load(place, "float32") for place in sources]
            found = _transformed(matrix, values)
            for place, value in zip(targets, found, strict=True):
                at.store(place, value)

        p.across(p.constant(0), length, body)
    return Code(p.name, p.text())


def _run(code: Code, tiles: Tiles, first: int, planes: Any, row: Any) -> None:
    """For the tiles from number `first` on, of which `planes` has as many rows."""
    _, height, width, channels = tiles.images.shape
    words = (
        id(tiles.images), id(planes), id(row), height, width, channels, tiles.down, tiles.across,
        tiles.every, tiles.top, tiles.left, first, planes.strides[0] // planes.strides[1],
    )  # fmt: skip
    pool.run(code, struct.pack("=13q", *words), planes.shape[1], max(1, CHUNK // channels))


def _run_kernels(matrix: Matrix, source: Any, target: Any) -> None:
    """target[r, :, c] for source[r, :, c]; their last dimension lies without gaps."""
    rows, _, length = source.shape
    steps = (s // 4 for s in (*source.strides[:2], *target.strides[:2]))
    words = struct.pack("=7q", id(source), id(target), length, *steps)
    pool.run(_between_kernels(matrix), words, rows, max(1, CHUNK // length))


# -- maps ------------------------------------------------------------------------------------------


def kernel_planes(weight: Any, stride: int, is_mirrored: bool) -> Any:
    """The weight (O, C, 3, 3) as planes (planes, C, O), by which images of C channels are
    multiplied; for the gradient as (planes, O, C)."""
    out, channels = weight.shape[:2]
    weight, filtering = np.ascontiguousarray(weight), FILTERINGS[stride]
    if is_mirrored:
        source = np.empty((out, 9, channels), np.float32)
        transposed_copy(weight.reshape(1, out, channels, 9), source[None])
    else:
        source = np.empty((channels, 9, out), np.float32)
        transposed_copy(weight.reshape(1, 1, out, -1), source.reshape(1, 1, -1, out))
    planes = np.empty((filtering.planes, source.shape[0], source.shape[2]), np.float32)
    _run_kernels(filtering.kernel, source, planes.transpose(1, 0, 2))
    return planes


def _kernel_gradient(planes: Any, filtering: Filtering) -> Any:
    """The gradient (O, C, 3, 3) by the weight from that by its planes (planes, O, C)."""
    _, out, channels = planes.shape
    rows = np.empty((out, 9, channels), np.float32)
    _run_kernels(_adjoint(filtering.kernel), planes.transpose(1, 0, 2), rows)
    result = np.empty((out, channels, 3, 3), np.float32)
    transposed_copy(rows[None], result.reshape(1, out, channels, 9))
    return result


def _last(images: Any) -> Any:
    return channels_last(images).transpose(0, 2, 3, 1)


def _steps(count: int, planes: int, widest: int) -> list[tuple[int, int]]:
    """First tile and number of tiles of each part, for so many planes and channels at most."""
    most = max(BYTES // (4 * planes * widest), widest)
    parts = -(-count // most)
    ends = [count * k // parts for k in range(parts + 1)]
    return [(a, b - a) for a, b in pairwise(ends)]


def _planes(steps: list[tuple[int, int]], planes: int, channels: int) -> Any:
    """Memory for the planes of a part. An odd number of rows lies between them: at a distance of a
    power of two all would share few places of the caches."""
    rows = max(count for _, count in steps) | 1
    return np.empty((planes, rows, channels), np.float32)


def _multiply(x: Any, y: Any, out: Any) -> None:
    """out = x @ y, plane by plane."""
    found = library()
    assert found is not None
    identity = ("planes", x.shape, x.strides, y.shape, y.strides, out.strides)
    primitive = kept(identity, lambda: compiled(found, x, y, out))
    assert primitive is not None
    primitive.run(x, y, out)


def _filtered(
    source: Tiles, planes: Any, target: Tiles, row: Any, filtering: Filtering,
    order: tuple[int, ...],
) -> None:  # fmt: skip
    """Write the tiles of `target`, from those of `source` and the kernel's planes."""
    count, channels, width = planes.shape
    zeros = np.zeros(max(channels, width), np.float32)
    steps = _steps(source.count, count, max(channels, width))
    before, after = _planes(steps, count, channels), _planes(steps, count, width)
    for first, tiles in steps:
        _run(_into_planes(filtering.tile, order), source, first, before[:, :tiles], zeros)
        _multiply(before[:, :tiles], planes, after[:, :tiles])
        _run(
            _into_images(filtering.result, order), target, first, after[:, :tiles],
            zeros if row is None else row,
        )  # fmt: skip


def correlate(
    images: Any, planes: Any, bias: Any, sizes: Pair, padding: Pair, stride: int
) -> Any:  # fmt: skip
    """The convolution of images (N, C, H, W) by a weight whose planes (planes, C, O) are given, to
    images of `sizes`; `padding` is that above and to the left."""
    filtering = FILTERINGS[stride]
    out = empty_channels_last((len(images), planes.shape[2], *sizes))
    down, across = ((n + 1) // 2 for n in sizes)
    top, left = padding
    source = Tiles(_last(images), down, across, 2 * stride, -top, -left)
    target = Tiles(out.transpose(0, 2, 3, 1), down, across, 2)
    row = None if bias is None else np.ascontiguousarray(bias)
    _filtered(source, planes, target, row, filtering, tuple(range(filtering.planes)))
    return out


def correlate_input(g: Any, planes: Any, sizes: Pair, padding: Pair) -> Any:
    """The gradient of `correlate` with stride 1 by the images, which have `sizes`; planes are
    (16, O, C). It is a convolution with mirrored kernels."""
    out = empty_channels_last((len(g), planes.shape[2], *sizes))
    down, across = ((n + 1) // 2 for n in sizes)
    top, left = padding
    source = Tiles(_last(g), down, across, 2, top - 2, left - 2)
    target = Tiles(out.transpose(0, 2, 3, 1), down, across, 2)
    _filtered(source, planes, target, None, DENSE, MIRRORED)
    return out


def correlate_weight(images: Any, g: Any, padding: Pair, stride: int) -> Any:
    """The gradient of `correlate` by the weight, for the gradient g (N, O, H', W')."""
    filtering = FILTERINGS[stride]
    down, across = ((n + 1) // 2 for n in g.shape[2:])
    top, left = padding
    source = Tiles(_last(images), down, across, 2 * stride, -top, -left)
    target = Tiles(_last(g), down, across, 2)
    count, channels, width = filtering.planes, images.shape[1], g.shape[1]
    zeros, order = np.zeros(max(channels, width), np.float32), tuple(range(count))
    steps = _steps(source.count, count, max(channels, width))
    before, after = _planes(steps, count, channels), _planes(steps, count, width)
    spread = _into_planes(_adjoint(filtering.result), order)
    total: Any = None
    for first, tiles in steps:
        _run(_into_planes(filtering.tile, order), source, first, before[:, :tiles], zeros)
        _run(spread, target, first, after[:, :tiles], zeros)
        part = np.empty((count, width, channels), np.float32)
        _multiply(after[:, :tiles].transpose(0, 2, 1), before[:, :tiles], part)
        total = part if total is None else np.add(total, part, out=total)
    return _kernel_gradient(total, filtering)
