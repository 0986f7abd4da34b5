"""Where results lie in memory, when kernels leave it to chance.

NumPy gives results in the order of their operands, so that the sum of a transposed array comes out
transposed. An operation says in its declaration what its results are to be: `row_major`, or
`channels_last` where its first operand is so (and row-major otherwise).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def laid_out(kernel: Callable[..., Any], xp: Any, layout: str) -> Callable[..., Any]:
    """`kernel` with its results in memory as `layout` says."""
    arrange = _row_major if layout == "row_major" else _channels_last_like

    def arranged(*arrays: Any, **attributes: Any) -> Any:
        result = kernel(*arrays, **attributes)
        if type(result) is tuple or type(result) is list:
            return type(result)([arrange(xp, r, arrays[0]) for r in result])
        return arrange(xp, result, arrays[0])

    return arranged


def _row_major(xp: Any, result: Any, first: Any) -> Any:
    # A scalar, which NumPy makes of a 0-d result, has flags too.
    return result if result.flags.c_contiguous else xp.ascontiguousarray(result)


def _channels_last_like(xp: Any, result: Any, first: Any) -> Any:
    if first.flags.c_contiguous or not is_channels_last(xp, first) or result.ndim != first.ndim:
        return _row_major(xp, result, first)
    return xp.moveaxis(xp.ascontiguousarray(xp.moveaxis(result, 1, -1)), -1, 1)


def is_channels_last(xp: Any, array: Any) -> bool:
    """Whether the channels of a batch of images or volumes lie innermost in memory."""
    return array.ndim in (4, 5) and bool(xp.moveaxis(array, 1, -1).flags.c_contiguous)


def laid_like(array: Any, like: Any) -> Any:
    """`array`, or a copy whose dimensions lie in memory in the order of those of `like`, which has
    its shape and no gaps."""
    if array.strides == like.strides or (array.flags.c_contiguous and like.flags.c_contiguous):
        return array
    order = sorted(range(array.ndim), key=lambda k: -like.strides[k])
    back = sorted(range(array.ndim), key=order.__getitem__)
    return array.transpose(order).copy().transpose(back)
