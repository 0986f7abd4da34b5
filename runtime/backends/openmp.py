"""OpenMP, which the BLAS library of NumPy may use by itself."""

from __future__ import annotations


def is_available() -> bool:
    """Whether operations are spread over threads by OpenMP here: no."""
    return False
