"""Images at other sizes, and the gradient, in one launch each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .launch import Template
from .pooling import MOST_ELEMENTS, THREADS, images
from .registry import FLOATS, kernel

AXES = "qqd" * 3
"""`struct Axes` in upsampling.cu."""
KINDS = {"nearest": "Nearest", "nearest-exact": "Nearest", "bicubic": "Cubic"}
HOW: dict[str, Any] = {
    "T": FLOATS, "IS_VECTOR": (True, False), "KIND": ("Nearest", "Linear", "Cubic"),
}  # fmt: skip
FORWARD = Template("upsampling", "resample", "PPqqd" + AXES, **HOW)
GRADIENT = Template("upsampling", "resample_gradient", "PPqqd" + AXES, **HOW)

Factors = Sequence[float | None]


def _launched(
    template: Template,
    x: Any,
    shape: tuple[int, ...],
    inner: Sequence[tuple[int, int]],
    factors: Factors,
    mode: str,
    align_corners: bool,
) -> Any:
    """`inner` has the elements and the results of each dimension."""
    from ...ops.upsampling import spacing  # by which the operation counts

    given = images(x)
    out = given.empty(shape, x.dtype)
    if max(x.size, out.size) > MOST_ELEMENTS:
        return None
    width = given.width()
    threads = math.prod(shape) // width
    axes = [(1, 1, 1.0)] * (3 - len(inner)) + [
        (size, count, spacing(size, count, factor, mode, align_corners))
        for (size, count), factor in zip(inner, factors, strict=True)
    ]
    centred = mode == "nearest-exact" or not (align_corners or mode == "nearest")
    template[x.dtype.name, width > 1, KINDS.get(mode, "Linear")](
        -(-threads // THREADS), THREADS, given.arrays[0].data.ptr, out.data.ptr, threads,
        given.columns, 0.5 if centred else 0.0, *[word for axis in axes for word in axis],
    )  # fmt: skip
    return out


@kernel("resample")
def resample(
    input: Any, sizes: tuple[int, ...], factors: Factors, mode: str, align_corners: bool
) -> Any:
    """The taps of all dimensions at once."""
    inner = list(zip(input.shape[2:], sizes, strict=True))
    shape = (*input.shape[:2], *sizes)
    return _launched(FORWARD, input, shape, inner, factors, mode, align_corners)


@kernel("resample_like")
def resample_like(
    input: Any, like: tuple[int, ...], factors: Factors, mode: str, align_corners: bool
) -> Any:
    """The same."""
    return resample(input, tuple(like[2:]), factors, mode, align_corners)


@kernel("resample_gradient")
def resample_gradient(
    g: Any, like: tuple[int, ...], factors: Factors, mode: str, align_corners: bool
) -> Any:
    """Each element adds up what it gave."""
    inner = list(zip(like[2:], g.shape[2:], strict=True))
    return _launched(GRADIENT, g, like, inner, factors, mode, align_corners)
