"""Resize in all its kinds, and sampling at points."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.tensor import Tensor
from ...nn import functional as F
from .registry import Sizes, ints, operator, torch


def _coordinates(n: int, m: int, scale: float, where: str, roi: tuple[float, float]) -> Any:
    """For each of m positions the one of n that it shows."""
    k = np.arange(m, dtype=np.float64)
    if where == "asymmetric":
        return k / scale
    if where == "align_corners":
        return k * (n - 1) / (scale * n - 1) if m > 1 else np.zeros(m)
    if where == "tf_crop_and_resize":
        first, last = roi
        if m == 1:
            return np.full(1, 0.5 * (first + last) * (n - 1))
        return first * (n - 1) + k * (last - first) * (n - 1) / (m - 1)
    if where == "half_pixel_symmetric":
        middle = n / 2 * (1 - m / (scale * n))
        return middle + (k + 0.5) / scale - 0.5
    if where == "pytorch_half_pixel" and m == 1:
        return np.zeros(1)
    return (k + 0.5) / scale - 0.5


def _rounded(x: Any, how: str) -> Any:
    kinds = {
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    return kinds[how](x)


def _kernel(distance: Any, mode: str, a: float) -> Any:
    """The weight of a sample at that distance."""
    d = np.abs(distance)
    if mode == "linear":
        return np.maximum(0, 1 - d)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _weights(n: int, m: int, x: Any, scale: float, how: dict[str, Any]) -> Any:
    """The matrix (m, n) of the shares of n samples in m."""
    found = np.zeros((m, n))
    rows = np.arange(m)
    if how["mode"] == "nearest":
        found[rows, np.clip(_rounded(x, how["nearest_mode"]), 0, n - 1).astype(int)] = 1
        return found
    squeeze = min(scale, 1.0) if how["antialias"] else 1.0
    reach = int(np.ceil((1 if how["mode"] == "linear" else 2) / squeeze))
    first = np.floor(x).astype(int)
    shares = {}
    for tap in range(1 - reach, reach + 1):
        place = first + tap
        share = _kernel((place - x) * squeeze, how["mode"], how["cubic_coeff_a"])
        outside = (place < 0) | (place >= n)
        if how["exclude_outside"]:
            share = np.where(outside, 0, share)
        shares[tap] = np.clip(place, 0, n - 1), share
    total = sum(share for _, share in shares.values())
    for place, share in shares.values():
        np.add.at(found, (rows, place), share / total)
    return found


def _sizes(x: Tensor, axes: list[int], sizes: Any, scales: Any, policy: str) -> Any:
    """The new sizes of the axes and the factors."""
    given = [x.shape[a] for a in axes]
    if sizes is None:
        return [int(np.floor(n * s)) for n, s in zip(given, scales, strict=True)], scales
    wanted = list(sizes)
    if policy != "stretch":
        ratios = [w / n for w, n in zip(wanted, given, strict=True)]
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        return [int(np.floor(n * ratio + 0.5)) for n in given], [ratio] * len(axes)
    return wanted, [w / n for w, n in zip(wanted, given, strict=True)]


@operator("Resize", "Upsample")
def resize(
    x: Tensor, roi: Tensor | None = None, factors: Tensor | None = None,
    wanted: Sizes | None = None, *, mode: str = "nearest", scales: Any = None,
    coordinate_transformation_mode: str = "half_pixel", cubic_coeff_a: float = -0.75,
    nearest_mode: str = "round_prefer_floor", exclude_outside: int = 0, antialias: int = 0,
    extrapolation_value: float = 0.0, axes: Any = None, keep_aspect_ratio_policy: str = "stretch",
    height_scale: Any = None, width_scale: Any = None, opset: int,
) -> Tensor:  # fmt: skip
    """Each dimension by a matrix of shares; what `interpolate` does alike is done by it."""
    where = coordinate_transformation_mode
    if opset < 11:  # Upsample, and the first Resize: (x, scales)
        factors = roi if factors is None else factors
        roi, where, nearest_mode = None, "asymmetric", "floor"
    given = scales if factors is None or not factors.numel() else factors.tolist()
    places = list(range(x.ndim)) if axes is None else [a % x.ndim for a in axes]
    sizes = None if wanted is None else ints(wanted)
    new, ratios = _sizes(x, places, sizes or None, given, keep_aspect_ratio_policy)
    how = {
        "mode": {"bilinear": "linear"}.get(mode, mode), "nearest_mode": nearest_mode,
        "cubic_coeff_a": cubic_coeff_a, "exclude_outside": exclude_outside,
        "antialias": antialias,
    }  # fmt: skip
    by_axis = dict(zip(places, zip(new, ratios, strict=True), strict=True))
    if _is_interpolation(x, by_axis, where, how):
        return _interpolated(x, by_axis, where, how)
    limits = [0.0] * len(places) + [1.0] * len(places) if roi is None else roi.tolist()
    for k, axis in enumerate(places):
        n, (m, ratio) = x.shape[axis], by_axis[axis]
        if n == m and ratio == 1 and where != "tf_crop_and_resize":
            continue
        at = _coordinates(n, m, ratio, where, (limits[k], limits[k + len(places)]))
        matrix = torch.from_numpy(_weights(n, m, at, ratio, how)).to(x.dtype)
        x = (x.movedim(axis, -1) @ matrix.t()).movedim(-1, axis)
        if where == "tf_crop_and_resize":
            outside = torch.from_numpy((at < 0) | (at > n - 1))
            shape = [1] * x.ndim
            shape[axis] = -1
            x = torch.where(outside.reshape(shape), extrapolation_value, x)
    return x


def _is_interpolation(x: Tensor, by_axis: Any, where: str, how: Any) -> bool:
    """Whether `interpolate` does it: two dimensions behind (N, C), whole positions alike."""
    if x.ndim != 4 or any(by_axis.get(k, (x.shape[k], 1))[0] != x.shape[k] for k in (0, 1)):
        return False
    if any(m != n * r for k, n in enumerate(x.shape) for m, r in [by_axis.get(k, (n, 1))]):
        return False
    if not x.is_floating_point() or how["antialias"] or how["exclude_outside"]:
        return False
    if how["mode"] == "nearest":
        return where == "asymmetric" and how["nearest_mode"] == "floor"
    is_cubic = how["mode"] == "cubic"
    return where in ("half_pixel", "align_corners") and (
        not is_cubic or how["cubic_coeff_a"] == -0.75
    )


def _interpolated(x: Tensor, by_axis: Any, where: str, how: Any) -> Tensor:
    size = [by_axis.get(k, (x.shape[k], 1))[0] for k in (2, 3)]
    mode = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}[how["mode"]]
    options = {} if mode == "nearest" else {"align_corners": where == "align_corners"}
    return F.interpolate(x, size, mode=mode, **options)  # type: ignore[arg-type]


@operator("GridSample")
def grid_sample(
    x: Tensor, grid: Tensor, *, mode: str = "linear", padding_mode: str = "zeros",
    align_corners: int = 0,
) -> Tensor:  # fmt: skip
    """Values at points from -1 to 1."""
    kind = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    return F.grid_sample(x, grid, kind, padding_mode, bool(align_corners))


@operator("AffineGrid")
def affine_grid(theta: Tensor, size: Sizes, *, align_corners: int = 0) -> Tensor:
    """Points of an affine map."""
    return F.affine_grid(theta, ints(size), bool(align_corners))
