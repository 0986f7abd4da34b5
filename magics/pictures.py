"""Tensors as small pictures: images as they are, anything else as a heat map. PNG, no library."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from typing import Any

import numpy as np

from flambeau import Tensor

from .statistics import values_of

WIDEST, HIGHEST = 256, 128  # pixels; larger tensors are averaged down to that
SHOWN_WIDTH, SHOWN_HEIGHT = 384, 160  # CSS pixels of small ones, blown up
LEAST = 5  # elements, below which numbers say more
MOST = 50_000_000  # elements, beyond which a display should not spend the time
SMALLEST_IMAGE = 8  # pixels a side
TILES = 8  # images of a batch

COLD, ZERO, HOT = (33, 102, 172), (247, 247, 247), (178, 24, 43)
"""Of negative numbers, zero and positive ones: ColorBrewer's RdBu, which all eyes can read."""
BAD = (214, 39, 200)  # NaN and infinity
FRAME = (150, 150, 150)  # between several matrices


def picture(tensor: Tensor) -> str:
    """An HTML image of `tensor`; empty where a picture would say nothing."""
    if not LEAST <= tensor.numel() <= MOST or tensor.is_meta or tensor.ndim == 0:
        return ""
    values = values_of(tensor.detach())
    if values is None or values.dtype.kind not in "fiub":
        return ""
    pixels = as_image(values)
    kind = "image" if pixels is not None else "heat map"
    if pixels is None:
        pixels = heat_map(values)
    height, width = pixels.shape[:2]
    scale = max(1, min(SHOWN_WIDTH // width, SHOWN_HEIGHT // height, 24))
    data = base64.b64encode(png(pixels)).decode()
    return (
        f'<img alt="{kind}" width="{width * scale}" height="{height * scale}" '
        f'style="image-rendering:pixelated;border:1px solid #8888" '
        f'src="data:image/png;base64,{data}"/>'
    )


def as_image(values: Any) -> Any:
    """RGB pixels (height, width, 3), uint8, of an image (C, H, W) or (H, W, C), or of a batch of
    them side by side; None for what is none: values outside of 0 to 1 (0 to 255 for uint8)."""
    if values.ndim == 4 and values.shape[1] in (1, 3):
        tiles = [as_image(v) for v in values[:TILES]]
        return None if any(t is None for t in tiles) or not tiles else np.concatenate(tiles, 1)
    if values.ndim != 3 or not values.size:
        return None
    if values.shape[0] in (1, 3):
        values = np.moveaxis(values, 0, 2)
    elif values.shape[2] != 3:
        return None
    if min(values.shape[:2]) < SMALLEST_IMAGE or max(values.shape[:2]) > 4 * WIDEST:
        return None
    if values.dtype != np.uint8:
        if values.dtype.kind != "f" or not (values.min() >= 0 and values.max() <= 1):
            return None
        values = (values.astype(np.float32) * 255).round().astype(np.uint8)
    return np.broadcast_to(values, (*values.shape[:2], 3))


def heat_map(values: Any) -> Any:
    """RGB pixels of a matrix, from the most negative to the largest number, zero white. Several
    matrices stand beside and below each other where they all fit, else one below the other."""
    grid = _grid(values.shape)
    if grid is None:
        return _coloured(values)
    (rows, columns), (height, width) = grid, values.shape[-2:]
    pixels = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), FRAME, np.uint8)
    matrices = _coloured(values).reshape(-1, height, width, 3)
    for k, matrix in enumerate(matrices):
        top, left = k // columns * (height + 1), k % columns * (width + 1)
        pixels[top : top + height, left : left + width] = matrix
    return pixels


def _grid(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Rows and columns of matrices in a picture about twice as wide as high; None for a single
    matrix or where they would be averaged."""
    if len(shape) < 3 or min(shape) == 0:
        return None
    count, (height, width) = math.prod(shape[:-2]), shape[-2:]
    if count == 1 or count * height > HIGHEST * WIDEST:
        return None
    columns = min(count, max(1, round(math.sqrt(2 * count * (height + 1) / (width + 1)))))
    rows = -(-count // columns)
    fits = rows * (height + 1) <= SHOWN_HEIGHT + 1 and columns * (width + 1) <= SHOWN_WIDTH + 1
    return (rows, columns) if fits else None


def _coloured(values: Any) -> Any:
    """Pixels of all rows one below the other, averaged down where there are too many."""
    matrix = values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values.reshape(1, -1)
    matrix = matrix.astype(np.float32, copy=False)
    matrix = matrix if _grid(values.shape) else _averaged(matrix)
    finite = np.isfinite(matrix)
    top = float(np.abs(matrix[finite]).max()) if finite.any() else 1.0
    with np.errstate(invalid="ignore"):
        share = np.clip(np.nan_to_num(matrix, posinf=0, neginf=0) / (top or 1.0), -1, 1)[..., None]
    zero = np.array(ZERO)
    warm = zero + (np.array(HOT) - zero) * share
    cool = zero + (np.array(COLD) - zero) * -share
    pixels = np.where(share >= 0, warm, cool)
    pixels[~finite] = BAD
    return pixels.round().astype(np.uint8)


def _averaged(matrix: Any) -> Any:
    """The matrix with at most HIGHEST rows and WIDEST columns, each the mean of several."""
    for axis, most in ((0, HIGHEST), (1, WIDEST)):
        size = matrix.shape[axis]
        if size > most:
            edges = np.linspace(0, size, most + 1).astype(int)
            counts = np.diff(edges).reshape((-1, 1) if axis == 0 else (1, -1))
            matrix = np.add.reduceat(matrix, edges[:-1], axis=axis) / counts
    return matrix


def png(pixels: Any) -> bytes:
    """A PNG file of RGB pixels (height, width, 3), uint8. Source: RFC 2083."""
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")
