"""Images at other sizes and places: `interpolate`, `grid_sample`, `affine_grid`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import dtypes, observers
from ..core.creation import from_numpy
from ..errors import ShapeError
from .declare import Spec
from .gather import gather, select_places
from .linalg import matmul
from .pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from .sampling import is_launched
from .upsampling import cubic, resample, taps
from .views import transpose

SMOOTH_CUBIC = -0.5
"""The same when antialiasing: Keys' own choice, as in Pillow."""

ANTIALIASED = ("bilinear", "bicubic")
RANKS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
AREAS = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


def interpolate(
    input: Spec,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Spec:
    """(N, C, spatial dimensions) resampled to `size`, or by `scale_factor`.

    `mode`: nearest, nearest-exact, area; linear for one spatial dimension, bilinear and bicubic for
    two, trilinear for three. With `align_corners` the centres of the corner pixels stay in place;
    with `antialias` (bilinear, bicubic) each pixel is made of all that it covers.
    Raises: RuntimeError or ValueError for a mode or sizes that do not fit.
    """
    rank = len(input.shape) - 2
    if mode not in (*RANKS, "nearest", "nearest-exact", "area"):
        raise NotImplementedError(f"interpolate: expected another mode. Got {mode!r}.")
    if rank not in (1, 2, 3) or RANKS.get(mode, rank) != rank:
        raise NotImplementedError(
            f"interpolate: expected {RANKS.get(mode, '1 to 3')} spatial dimensions for mode "
            f"{mode!r}. Got shape {tuple(input.shape)}."
        )
    if antialias and mode not in ANTIALIASED:
        raise ValueError(f"interpolate: expected antialias with {ANTIALIASED}. Got mode {mode!r}.")
    if align_corners is not None and mode not in RANKS:
        raise ValueError(f"interpolate: expected no align_corners with mode {mode!r}.")
    sizes, factors = _sizes(input, rank, size, scale_factor, bool(recompute_scale_factor))
    if any(n < 1 for n in sizes) or 0 in input.shape[1:]:
        raise ShapeError(
            f"interpolate: expected positive sizes. Got {tuple(input.shape)} to {sizes}."
        )
    if mode == "area":
        return AREAS[rank](input, sizes)
    is_one = is_launched(input._key) or observers.is_traced()
    if is_one and input._key.is_float and not antialias:
        how = {"mode": mode, "align_corners": bool(align_corners)}
        return resample(input, sizes=sizes, factors=tuple(factors), **how)
    for k, (n, factor) in enumerate(zip(sizes, factors, strict=True)):
        if antialias:
            input = _covered(input, 2 + k, n, factor, mode, bool(align_corners))
            continue
        input = _along(input, 2 + k, n, factor, mode, bool(align_corners))
    return input


def _sizes(
    input: Any, rank: int, size: Any, scale_factor: Any, recomputes: bool
) -> tuple[tuple[int, ...], list[float | None]]:
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: expected either size or scale_factor.")
    given = size if scale_factor is None else scale_factor
    several = [given] * rank if isinstance(given, int | float) else list(given)
    if len(several) != rank:
        raise ValueError(f"interpolate: expected {rank} sizes or factors. Got {several}.")
    if scale_factor is None:
        return tuple(int(n) for n in several), [None] * rank
    sizes = tuple(math.floor(n * s) for n, s in zip(input.shape[2:], several, strict=True))
    return sizes, [None] * rank if recomputes else [float(s) for s in several]


def _along(x: Any, d: int, n: int, factor: float | None, mode: str, align_corners: bool) -> Any:
    """Dimension d resampled to n elements."""
    real = np.float64 if x.dtype is dtypes.float64 else np.float32
    found = taps(x.shape[d], n, factor, mode, align_corners, real)
    if not found.weights:
        return select_places(x, d, found.places[0])
    total: Any = None
    for places, weights in zip(*found, strict=True):
        part = select_places(x, d, places) * _line(weights, x, d)
        total = part if total is None else total + part
    return total


def _covered(x: Any, d: int, n: int, factor: float | None, mode: str, align_corners: bool) -> Any:
    """Dimension d resampled to n elements, each weighted by the interpolation kernel stretched to
    the size that it has in the input, as Pillow does it."""
    size = x.shape[d]
    if align_corners:
        step = (size - 1) / (n - 1) if n > 1 else 0.0
    else:
        step = 1.0 / factor if factor else size / n
    stretch = max(step, 1.0)
    reach = stretch * (1 if mode == "bilinear" else 2)
    centres = (np.arange(n)[:, None] + 0.5) * step
    # The pixels from round(centre - reach) to round(centre + reach), as far as there are.
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + reach + 0.5).astype(np.int64), size)
    places = np.arange(size)
    distances = np.abs(places + 0.5 - centres) / stretch
    if mode == "bilinear":
        weights = np.maximum(1 - distances, 0)
    else:
        weights = _keys(distances, SMOOTH_CUBIC)
    weights = np.where((places >= first) & (places < last), weights, 0)
    weights = weights / weights.sum(1, keepdims=True)
    matrix = from_numpy(weights).to(x.device, x.dtype)
    return transpose(matmul(transpose(x, d, -1), transpose(matrix, 0, 1)), d, -1)


def _keys(s: Any, a: float) -> Any:
    """The cubic convolution kernel at distances s. Source: Keys, IEEE ASSP 29(6), 1981."""
    near = ((a + 2) * s - (a + 3)) * s * s + 1
    far = ((a * s - 5 * a) * s + 8 * a) * s - 4 * a
    return np.where(s < 1, near, np.where(s < 2, far, 0))


def _line(weights: Any, x: Any, d: int) -> Any:
    line = from_numpy(np.ascontiguousarray(weights)).to(x.device, x.dtype)
    return line.reshape(*[-1 if k == d else 1 for k in range(x.ndim)])


# -- at places that a tensor tells -----------------------------------------------------------------


def grid_sample(
    input: Spec,
    grid: Spec,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Spec:
    """The values of (N, C, H, W) images at the places `grid` (N, Ho, Wo, 2), pairs of x and y from
    -1 to 1; the same for (N, C, D, H, W) and (N, Do, Ho, Wo, 3).

    `mode`: bilinear, nearest or bicubic; `padding_mode` outside: zeros, border or reflection.
    Raises: RuntimeError or ValueError for shapes or modes that do not fit.
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(f"grid_sample: expected bilinear, nearest or bicubic. Got {mode!r}.")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            f"grid_sample: expected zeros, border or reflection. Got {padding_mode!r}."
        )
    rank = len(input.shape) - 2
    if rank not in (2, 3) or len(grid.shape) != rank + 2 or grid.shape[-1] != rank:
        raise ShapeError(
            f"grid_sample: expected input (N, C, H, W) and grid (N, Ho, Wo, 2), or one dimension "
            f"more. Got {tuple(input.shape)} and {tuple(grid.shape)}."
        )
    if input.shape[0] != grid.shape[0] or 0 in input.shape[2:]:
        raise ShapeError(
            f"grid_sample: expected one batch size and nonempty images. Got {tuple(input.shape)} "
            f"and {tuple(grid.shape)}."
        )
    sizes = tuple(input.shape[2:])
    corners = bool(align_corners)
    places = [_unnormalized(grid[..., rank - 1 - k], n, corners) for k, n in enumerate(sizes)]
    if mode == "bicubic":
        if rank != 2:
            raise RuntimeError("grid_sample: expected bicubic with (N, C, H, W) only.")
        return _cubic_samples(input, places, padding_mode, corners)
    if padding_mode != "zeros":
        places = [_folded(p, n, padding_mode, corners) for p, n in zip(places, sizes, strict=True)]
    if mode == "nearest":
        return _picked(input, [p.round() for p in places])
    total: Any = None
    floors = [p.floor() for p in places]
    for corner in itertools.product((0, 1), repeat=rank):
        weight: Any = 1
        for p, f, c in zip(places, floors, corner, strict=True):
            weight = weight * (p - f if c else 1 - (p - f))
        part = _picked(input, [f + c for f, c in zip(floors, corner, strict=True)])
        part = part * weight.unsqueeze(1)
        total = part if total is None else total + part
    return total


def _unnormalized(x: Any, size: int, align_corners: bool) -> Any:
    return (x + 1) * ((size - 1) / 2) if align_corners else ((x + 1) * size - 1) / 2


def _folded(x: Any, size: int, padding_mode: str, align_corners: bool) -> Any:
    """Coordinates brought back inside."""
    if padding_mode == "reflection":
        low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
        if span == 0:
            return (x * 0).clamp(0, 0)
        away = (x - low).abs()
        turns = (away / span).floor().detach()
        rest = away - turns * span
        odd = (turns % 2).to(dtypes.bool_)
        x = (span - rest).where(odd, rest) + low
    return x.clamp(0, size - 1)


def _picked(input: Any, places: Sequence[Any]) -> Any:
    """The elements at whole-numbered `places`, one tensor per dimension; 0 outside."""
    sizes = tuple(input.shape[2:])
    n, c = input.shape[:2]
    inside: Any = None
    flat: Any = None
    for p, size in zip(places, sizes, strict=True):
        p = p.detach()
        here = (p >= 0) & (p <= size - 1)
        inside = here if inside is None else inside & here
        whole = p.nan_to_num(0.0).clamp(0, size - 1).to(dtypes.int64)
        flat = whole if flat is None else flat * size + whole
    shape = tuple(flat.shape[1:])
    index = flat.reshape(n, 1, -1).expand(n, c, math.prod(shape))
    values = gather(input.reshape(n, c, math.prod(sizes)), 2, index)
    return values.reshape(n, c, *shape) * inside.unsqueeze(1).to(input.dtype)


def _cubic_samples(input: Any, places: list[Any], padding_mode: str, align_corners: bool) -> Any:
    sizes = tuple(input.shape[2:])
    floors = [p.floor().detach() for p in places]
    weights = [cubic(p - f) for p, f in zip(places, floors, strict=True)]
    total: Any = None
    for i, j in itertools.product(range(4), repeat=2):
        taps = [floors[0] + (i - 1), floors[1] + (j - 1)]
        if padding_mode != "zeros":
            taps = [
                _folded(t, n, padding_mode, align_corners).round()
                for t, n in zip(taps, sizes, strict=True)
            ]
        part = _picked(input, taps) * (weights[0][i] * weights[1][j]).unsqueeze(1)
        total = part if total is None else total + part
    return total


def affine_grid(theta: Spec, size: Sequence[int], align_corners: bool | None = None) -> Spec:
    """The grid for `grid_sample` that affine maps `theta` (N, 2, 3) make of images of `size` (N, C,
    H, W); or (N, 3, 4) and (N, C, D, H, W).

    Raises: RuntimeError for shapes that do not fit.
    """
    rank = len(size) - 2
    if rank not in (2, 3) or tuple(theta.shape) != (size[0], rank, rank + 1):
        raise ShapeError(
            f"affine_grid: expected theta ({size[0]}, {rank}, {rank + 1}) for size {tuple(size)}. "
            f"Got {tuple(theta.shape)}."
        )
    lines = []
    for n in size[2:]:
        ends = 1.0 if align_corners else (n - 1) / n
        lines.append(np.linspace(-ends, ends, n) if n > 1 else np.zeros(1))
    grids = np.meshgrid(*lines, indexing="ij")
    points = np.stack([*reversed(grids), np.ones_like(grids[0])], -1).reshape(-1, rank + 1)
    base = from_numpy(points).to(theta.device, theta.dtype)
    return (base @ theta.mT).reshape(size[0], *size[2:], rank)
