"""Winograd's minimal filtering F(2x2, 3x3): 3x3 convolutions with 16 multiplications for every 36.

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

TILE: Matrix = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # B^T of the source
KERNEL: Matrix = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # G
RESULT: Matrix = ((1, 1, 1, 0), (0, 1, -1, -1))  # A^T
ADJOINT: dict[Matrix, Matrix] = {m: tuple(zip(*m, strict=True)) for m in (KERNEL, RESULT)}

PLANES = 16
MIRRORED = tuple((3, 1, 2, 0)[k // 4] * 4 + (3, 1, 2, 0)[k % 4] for k in range(PLANES))
"""Plane k of a mirrored kernel is this plane of the kernel."""

BYTES = 4 << 20
"""Memory of the planes of the tiles at a time; the cache that cores share has room for them."""

CHUNK = 2_048
"""Vectors that a thread takes at a time, about."""


class Tiles(NamedTuple):
    """Tiles of images (N, H, W, C): `down` x `across` of them an image, two pixels apart, the first
    of which begins at pixel (top, left), or before the image."""

    images: Any
    down: int
    across: int
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
        words = [p.word(3 + k) for k in range(9)]
        self.height, self.width, self.channels, self.down, self.across = words[:5]
        self.top, self.left, self.first, self.apart = words[5:]

    def pixels(self, tile: Value, size: int) -> list[tuple[Value, Value]]:
        """Address of each pixel of a square tile, and whether it exists."""
        number = tile + self.first
        x = number % self.across * 2 + self.left
        rest = number // self.across
        y, image = rest % self.down * 2 + self.top, rest // self.down
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
        tiles.top, tiles.left, first, planes.strides[0] // planes.strides[1],
    )  # fmt: skip
    pool.run(code, struct.pack("=12q", *words), planes.shape[1], max(1, CHUNK // channels))


def _run_kernels(matrix: Matrix, source: Any, target: Any) -> None:
    """target[r, :, c] for source[r, :, c]; their last dimension lies without gaps."""
    rows, _, length = source.shape
    steps = (s // 4 for s in (*source.strides[:2], *target.strides[:2]))
    words = struct.pack("=7q", id(source), id(target), length, *steps)
    pool.run(_between_kernels(matrix), words, rows, max(1, CHUNK // length))


# -- maps ------------------------------------------------------------------------------------------


def kernel_planes(weight: Any, is_mirrored: bool) -> Any:
    """The weight (O, C, 3, 3) as planes (16, C, O), by which images of C channels are multiplied;
    for the gradient as (16, O, C)."""
    out, channels = weight.shape[:2]
    weight = np.ascontiguousarray(weight)
    if is_mirrored:
        source = np.empty((out, 9, channels), np.float32)
        transposed_copy(weight.reshape(1, out, channels, 9), source[None])
    else:
        source = np.empty((channels, 9, out), np.float32)
        transposed_copy(weight.reshape(1, 1, out, -1), source.reshape(1, 1, -1, out))
    planes = np.empty((PLANES, source.shape[0], source.shape[2]), np.float32)
    _run_kernels(KERNEL, source, planes.transpose(1, 0, 2))
    return planes


def _kernel_gradient(planes: Any) -> Any:
    """The gradient (O, C, 3, 3) by the weight from that by its planes (16, O, C)."""
    _, out, channels = planes.shape
    rows = np.empty((out, 9, channels), np.float32)
    _run_kernels(ADJOINT[KERNEL], planes.transpose(1, 0, 2), rows)
    result = np.empty((out, channels, 3, 3), np.float32)
    transposed_copy(rows[None], result.reshape(1, out, channels, 9))
    return result


def _last(images: Any) -> Any:
    return channels_last(images).transpose(0, 2, 3, 1)


def _steps(count: int, widest: int) -> list[tuple[int, int]]:
    """First tile and number of tiles of each part, for so many channels at most."""
    most = max(BYTES // (4 * PLANES * widest), widest)
    parts = -(-count // most)
    ends = [count * k // parts for k in range(parts + 1)]
    return [(a, b - a) for a, b in pairwise(ends)]


def _planes(steps: list[tuple[int, int]], channels: int) -> Any:
    """Memory for the planes of a part. An odd number of rows lies between them: at a distance of a
    power of two all 16 would share few places of the caches."""
    rows = max(count for _, count in steps) | 1
    return np.empty((PLANES, rows, channels), np.float32)


def _multiply(x: Any, y: Any, out: Any) -> None:
    """out = x @ y, plane by plane."""
    found = library()
    assert found is not None
    identity = ("planes", x.shape, x.strides, y.shape, y.strides, out.strides)
    primitive = kept(identity, lambda: compiled(found, x, y, out))
    assert primitive is not None
    primitive.run(x, y, out)


def correlate(
    images: Any, planes: Any, bias: Any, sizes: tuple[int, int], start: tuple[int, int],
    is_mirrored: bool = False,
) -> Any:  # fmt: skip
    """The convolution of images (N, C, H, W) by a weight whose planes (16, C, O) are given, to
    images of `sizes`; `start` is the pixel at which the first result's kernel begins."""
    order = MIRRORED if is_mirrored else tuple(range(PLANES))
    out = empty_channels_last((len(images), planes.shape[2], *sizes))
    down, across = ((n + 1) // 2 for n in sizes)
    source = Tiles(_last(images), down, across, *start)
    target = Tiles(out.transpose(0, 2, 3, 1), down, across)
    channels, width = planes.shape[1:]
    zeros = np.zeros(max(channels, width), np.float32)
    row = zeros if bias is None else np.ascontiguousarray(bias)
    steps = _steps(source.count, max(channels, width))
    before, after = _planes(steps, channels), _planes(steps, width)
    for first, count in steps:
        _run(_into_planes(TILE, order), source, first, before[:, :count], zeros)
        _multiply(before[:, :count], planes, after[:, :count])
        _run(_into_images(RESULT, order), target, first, after[:, :count], row)
    return out


def correlate_weight(images: Any, g: Any, start: tuple[int, int]) -> Any:
    """The gradient by the weight of `correlate`, for the gradient g (N, O, H', W')."""
    down, across = ((n + 1) // 2 for n in g.shape[2:])
    source, target = Tiles(_last(images), down, across, *start), Tiles(_last(g), down, across)
    channels, width = images.shape[1], g.shape[1]
    zeros = np.zeros(max(channels, width), np.float32)
    order = tuple(range(PLANES))
    steps = _steps(source.count, max(channels, width))
    before, after = _planes(steps, channels), _planes(steps, width)
    total: Any = None
    for first, count in steps:
        _run(_into_planes(TILE, order), source, first, before[:, :count], zeros)
        _run(_into_planes(ADJOINT[RESULT], order), target, first, after[:, :count], zeros)
        part = np.empty((PLANES, width, channels), np.float32)
        _multiply(after[:, :count].transpose(0, 2, 1), before[:, :count], part)
        total = part if total is None else np.add(total, part, out=total)
    return _kernel_gradient(total)
