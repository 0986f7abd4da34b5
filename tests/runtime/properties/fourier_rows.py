"""Fourier transforms: lengths that cut and pad, dimensions, norms."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from hypothesis import strategies as st

from .calls import Arguments, In, Row, axes, axis
from .drawing import COMPLEX, EVERY_DTYPE, shapes

NORMS = st.sampled_from([None, "backward", "forward", "ortho"])
WIDE = tuple(d for d in EVERY_DTYPE if d.name not in ("float16", "bfloat16"))
WIDE_REAL = tuple(d for d in WIDE if d not in COMPLEX)


def one(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1, max_dims=3, min_side=1))
    length = draw(st.sampled_from([None, 1, 2, 3, 5]))
    return (In(shape),), {"n": length, "dim": axis(draw, len(shape)), "norm": draw(NORMS)}


def from_half(draw: Any) -> Arguments:
    """The transforms to real numbers need a length of at least 1."""
    args, kwargs = one(draw)
    return args, {**kwargs, "n": kwargs["n"] or 4}


def two(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=2, max_dims=3, min_side=1))
    s = [draw(st.integers(1, 4)) for _ in range(2)] if draw(st.booleans()) else None
    dim = draw(st.sampled_from([(-2, -1), (0, 1), (1, 0)]))
    return (In(shape),), {"s": s, "dim": dim, "norm": draw(NORMS)}


def many(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1, max_dims=3, min_side=1))
    dim = axes(draw, len(shape))
    s = [draw(st.integers(1, 4)) for _ in dim] if draw(st.booleans()) else None
    return (In(shape),), {"s": s, "dim": dim, "norm": draw(NORMS)}


def two_to_real(draw: Any) -> Arguments:
    args, kwargs = two(draw)
    return args, {**kwargs, "s": kwargs["s"] or [draw(st.integers(1, 4)) for _ in range(2)]}


def many_to_real(draw: Any) -> Arguments:
    args, kwargs = many(draw)
    return args, {**kwargs, "s": kwargs["s"] or [draw(st.integers(1, 4)) for _ in kwargs["dim"]]}


def shifted(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1))
    return (In(shape),), {"dim": axes(draw, len(shape))}


def numpys(name: str) -> Any:
    """SciPy's function, whose names for dim are axis and axes."""

    def reference(x: Any, dim: Any, norm: Any, **sizes: Any) -> Any:
        key = "axis" if "n" in sizes else "axes"
        x = x.astype(float) if x.dtype.kind in "bi" else x
        return getattr(scipy.fft, name)(x, **sizes, **{key: dim}, norm=norm)

    return reference


def rows(names: str, arguments: Any, only: Any) -> list[Row]:
    return [Row(f"fft.{n}", arguments, numpys(n), only=only, terms=64) for n in names.split()]


ROWS = [
    *rows("fft ifft", one, WIDE),
    *rows("rfft ihfft", one, WIDE_REAL),
    *rows("irfft hfft", from_half, WIDE),
    *rows("fft2 ifft2", two, WIDE),
    *rows("rfft2 ihfft2", two, WIDE_REAL),
    *rows("irfft2 hfft2", two_to_real, WIDE),
    *rows("fftn ifftn", many, WIDE),
    *rows("rfftn ihfftn", many, WIDE_REAL),
    *rows("irfftn hfftn", many_to_real, WIDE),
    Row("fft.fftshift", shifted, lambda x, dim: np.fft.fftshift(x, dim)),
    Row("fft.ifftshift", shifted, lambda x, dim: np.fft.ifftshift(x, dim)),
]
