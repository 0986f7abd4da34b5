"""Discrete Fourier transforms: `torch.fft`."""

from __future__ import annotations

from typing import Any

from .core.ranges import arange as _arange
from .core.tensor import Tensor
from .ops.fourier import (
    fft,
    fft2,
    fftn,
    fftshift,
    hfft,
    hfft2,
    hfftn,
    ifft,
    ifft2,
    ifftn,
    ifftshift,
    ihfft,
    ihfft2,
    ihfftn,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftn,
)
from .ops.out import making_like_out

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "hfft2",
    "hfftn",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]


@making_like_out
def fftfreq(n: int, d: float = 1.0, **options: Any) -> Tensor:
    """The frequencies of the n elements of `fft`, for samples d apart: 0, 1, ..., -1 over n * d."""
    places = _arange(n, **options)
    half = (n + 1) // 2
    return places.where(places < half, places - n) / (n * d)


@making_like_out
def rfftfreq(n: int, d: float = 1.0, **options: Any) -> Tensor:
    """The frequencies of the elements of `rfft`."""
    return _arange(n // 2 + 1, **options) / (n * d)
