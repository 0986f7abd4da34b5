"""Images at other sizes as a linear map and its transpose: what `interpolate` is on a GPU."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .declare import Spec, primitive
from .shapes import Shape

CUBIC = -0.75
"""The free coefficient of the cubic convolution kernel (Keys 1981), as PyTorch has it."""

NAMES = {"nearest": "Nearest", "nearest-exact": "NearestExact", "bicubic": "Bicubic"}
LINEAR = {1: "Linear", 2: "Bilinear", 3: "Trilinear"}


class Taps(NamedTuple):
    """What each of n elements of a line is made of: for each tap the places it is at, and its
    weights, both (n,); without weights there is one tap, as it is."""

    places: list[Any]
    weights: list[Any]


def spacing(size: int, n: int, factor: float | None, mode: str, align_corners: bool) -> float:
    """How far neighbours of n elements lie apart on a line of `size`."""
    if align_corners and not mode.startswith("nearest"):
        return (size - 1) / (n - 1) if n > 1 else 0.0
    return 1.0 / factor if factor else size / n


def taps(
    size: int, n: int, factor: float | None, mode: str, align_corners: bool, real: Any
) -> Taps:
    """The taps of n elements on a line of `size`, in the arithmetic of `real`."""
    step = real(spacing(size, n, factor, mode, align_corners))
    if mode in ("nearest", "nearest-exact"):
        shift = 0.0 if mode == "nearest" else 0.5
        at = (np.arange(n).astype(real) + real(shift)) * step  # 6 * (5 / 6) is 5 in float32
        places = np.floor(at).astype(np.int64)
        return Taps([np.minimum(places, size - 1)], [])
    at = np.arange(n).astype(real)
    at = at * step if align_corners else (at + real(0.5)) * step - real(0.5)
    if mode == "bicubic":
        first = np.floor(at).astype(np.int64)
        around = [np.clip(first + k, 0, size - 1) for k in range(-1, 3)]
        return Taps(around, cubic(at - first))
    at = np.maximum(at, 0)
    first = np.minimum(np.floor(at).astype(np.int64), size - 1)
    t = at - first
    return Taps([first, np.minimum(first + 1, size - 1)], [1 - t, t])


def cubic(t: Any) -> list[Any]:
    """Weights of the four neighbours at distances 1 + t, t, 1 - t, 2 - t (Keys 1981)."""

    def near(s: Any) -> Any:
        return ((CUBIC + 2) * s - (CUBIC + 3)) * s * s + 1

    def far(s: Any) -> Any:
        return ((CUBIC * s - 5 * CUBIC) * s + 8 * CUBIC) * s - 4 * CUBIC

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


@primitive
def resample(
    input: Spec, *, sizes: Shape, factors: tuple[float | None, ...], mode: str, align_corners: bool
) -> Spec:
    """(N, C, spatial dimensions) at other `sizes`; `factors` tell the spacing where they are not
    None. See `interpolate`."""
    return Spec((*input.shape[:2], *sizes), input.dtype)


@resample.naming
def resample_name(node: Any) -> str:
    """PyTorch has a node for each mode."""
    sizes, _, mode, _ = node.attributes
    word = NAMES.get(mode, LINEAR[len(sizes)])
    return f"Upsample{word}{len(sizes)}DBackward0"


@resample.array
def resample_array(
    xp: Any,
    input: Any,
    sizes: Shape,
    factors: tuple[float | None, ...],
    mode: str,
    align_corners: bool,
) -> Any:
    """Along each dimension a product with the matrix of weights."""
    out = input
    for axis, (n, factor) in enumerate(zip(sizes, factors, strict=True), 2):
        matrix = _matrix(xp, out.shape[axis], n, factor, mode, align_corners, input.dtype)
        out = xp.moveaxis(xp.matmul(xp.moveaxis(out, axis, -1), matrix), -1, axis)
    return xp.ascontiguousarray(out)


def _matrix(
    xp: Any, size: int, n: int, factor: float | None, mode: str, align_corners: bool, dtype: Any
) -> Any:
    """(size, n): the weight of element i in result j."""
    real = np.float64 if dtype == np.float64 else np.float32
    found = taps(size, n, factor, mode, align_corners, real)
    matrix = np.zeros((size, n), real)
    for places, weights in itertools.zip_longest(found.places, found.weights, fillvalue=real(1)):
        np.add.at(matrix, (places, np.arange(n)), weights)
    return xp.asarray(matrix.astype(dtype))


@resample.vjp()
def resample_vjp(
    F: Any, g: Any, needs: Any, input: Any, sizes: Any, factors: Any, mode: Any, align_corners: Any
) -> Any:
    """The transposed map."""
    how = {"factors": factors, "mode": mode, "align_corners": align_corners}
    return F.resample_gradient(g, like=input, **how)


@primitive
def resample_gradient(
    g: Spec, *, like: Shape, factors: tuple[float | None, ...], mode: str, align_corners: bool
) -> Spec:
    """The transposed map of `resample`, to the shape `like`."""
    return Spec(like, g.dtype)


@resample_gradient.array
def resample_gradient_array(
    xp: Any, g: Any, like: Shape, factors: Sequence[float | None], mode: str, align_corners: bool
) -> Any:
    """Along each dimension a product with the transposed matrix."""
    out = g
    for axis, factor in enumerate(factors, 2):
        matrix = _matrix(xp, like[axis], g.shape[axis], factor, mode, align_corners, g.dtype).T
        out = xp.moveaxis(xp.matmul(xp.moveaxis(out, axis, -1), matrix), -1, axis)
    return xp.ascontiguousarray(out)


@resample_gradient.vjp()
def resample_gradient_vjp(
    F: Any, h: Any, needs: Any, g: Any, like: Any, factors: Any, mode: Any, align_corners: Any
) -> Any:
    """The map again."""
    how = {"factors": factors, "mode": mode, "align_corners": align_corners}
    return F.resample_like(h, like=g, **how)


@primitive
def resample_like(
    input: Spec, *, like: Shape, factors: tuple[float | None, ...], mode: str, align_corners: bool
) -> Spec:
    """`resample` to the sizes of the shape `like`."""
    return Spec(like, input.dtype)


@resample_like.array
def resample_like_array(
    xp: Any, input: Any, like: Shape, factors: Any, mode: str, align_corners: bool
) -> Any:
    """The same."""
    return resample_array(xp, input, tuple(like[2:]), factors, mode, align_corners)


@resample_like.vjp()
def resample_like_vjp(
    F: Any, g: Any, needs: Any, input: Any, like: Any, factors: Any, mode: Any, align_corners: Any
) -> Any:
    """The transposed map."""
    how = {"factors": factors, "mode": mode, "align_corners": align_corners}
    return F.resample_gradient(g, like=input, **how)
