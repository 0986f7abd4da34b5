"""float16 and bfloat16: kernels compute in float32 and round once, at the end.

Sums stop growing early in half types, and libraries lack matrix products and special functions for
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def in_single_precision(kernel: Callable[..., Any], xp: Any, half: Any) -> Callable[..., Any]:
    """`kernel` on arrays of the type `half` widened first, with results of that type."""

    def widened(array: Any) -> Any:
        if type(array) is list:
            return [widened(a) for a in array]
        is_half = getattr(array, "dtype", None) == half
        return array.astype(xp.float32) if is_half else array

    def narrowed(result: Any) -> Any:
        if type(result) is tuple or type(result) is list:
            return type(result)([narrowed(r) for r in result])
        return xp.asarray(result).astype(half) if result.dtype == xp.float32 else result

    def single(*arrays: Any, **attributes: Any) -> Any:
        return narrowed(kernel(*map(widened, arrays), **attributes))

    return single
