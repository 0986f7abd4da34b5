"""Products of 8-bit integer matrices with sums in 32 bits, which quantized layers are made of.

Processors with VNNI multiply and add four pairs at once; on others the sum of two neighbouring
products of uint8 and int8 is kept in 16 bits and may saturate.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .library import library
from .primitives import address
from .products import ONE, ZERO, Dimension, N, T

LEAST = 1 << 14
"""Multiplications from which on oneDNN is called."""

FIXED = ctypes.c_char(b"F")  # one offset for the whole result


def integer_product(x: Any, y: Any, x_zero: int = 0, y_zero: int = 0) -> Any:
    """(x - x_zero) @ (y - y_zero) in int32 for x (n, k) of uint8 or int8 and y (k, m) of int8.

    Zeros are the values of the types that stand for 0.
    Raises: TypeError for other dtypes, ValueError for shapes that do not fit.
    """
    if x.dtype not in (np.uint8, np.int8) or y.dtype != np.int8:
        raise TypeError(f"Expected uint8 or int8 by int8. Got {x.dtype} by {y.dtype}.")
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[0]:
        raise ValueError(f"Expected matrices (n, k) and (k, m). Got {x.shape} and {y.shape}.")
    found = library() if x.size * y.shape[1] >= LEAST else None
    if found is None:
        return np.matmul(x.astype(np.int32) - x_zero, y.astype(np.int32) - y_zero)
    (x, x_mode, x_step), (y, y_mode, y_step) = _laid_out(x), _laid_out(y)
    out, offset = np.empty((x.shape[0], y.shape[1]), np.int32), np.zeros(1, np.int32)
    is_unsigned = x.dtype == np.uint8
    found.call(
        "gemm_u8s8s32" if is_unsigned else "gemm_s8s8s32", x_mode, y_mode, FIXED,
        Dimension(x.shape[0]), Dimension(y.shape[1]), Dimension(x.shape[1]), ONE,
        address(x), Dimension(x_step), (ctypes.c_uint8 if is_unsigned else ctypes.c_int8)(x_zero),
        address(y), Dimension(y_step), ctypes.c_int8(y_zero),
        ZERO, address(out), Dimension(y.shape[1]), address(offset),
    )  # fmt: skip
    return out


def _laid_out(x: Any) -> tuple[Any, Any, int]:
    """The matrix, whether it lies transposed, and the bytes between its rows (or columns)."""
    if x.T.flags.c_contiguous and not x.flags.c_contiguous:
        return x, T, max(x.shape[0], 1)
    return np.ascontiguousarray(x), N, max(x.shape[1], 1)
