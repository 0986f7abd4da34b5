"""float16 and bfloat16: kernels compute in float32 and round once, at the end.

Sums stop growing early in half types, and libraries lack matrix products and special functions for
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

WORTH_A_LOOP = 4_096
"""Elements from which on a loop of ours converts sooner than NumPy."""


def converted(array: Any, dtype: Any) -> Any:
    """A copy of a NumPy or CuPy array in another floating-point type."""
    if array.__class__ is np.ndarray and array.size >= WORTH_A_LOOP:
        from .cpu import loops  # which itself looks here for halves

        if loops.is_available():
            from .cpu.loops import casts

            if casts.serves(array, np.dtype(dtype)):
                return casts.converted(array, np.dtype(dtype))
    return array.astype(dtype)


def in_single_precision(kernel: Callable[..., Any], xp: Any, half: Any) -> Callable[..., Any]:
    """`kernel` on arrays of the type `half` widened first, with results of that type."""

    def widened(array: Any) -> Any:
        if type(array) is list:
            return [widened(a) for a in array]
        is_half = getattr(array, "dtype", None) == half
        return converted(array, xp.float32) if is_half else array

    def narrowed(result: Any) -> Any:
        if type(result) is tuple or type(result) is list:
            return type(result)([narrowed(r) for r in result])
        return converted(xp.asarray(result), half) if result.dtype == xp.float32 else result

    def single(*arrays: Any, **attributes: Any) -> Any:
        return narrowed(kernel(*map(widened, arrays), **attributes))

    return single
