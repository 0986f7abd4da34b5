"""Matrix products that PyTorch has under private names, and others' code by them."""

from __future__ import annotations

from typing import Any

from ..core import dtypes
from ..errors import DTypeError
from . import shapes
from .declare import Spec, primitive
from .linalg import require_columns

__all__ = ["_int_mm"]

EXACT = 1 << 10
"""Products of two int8, at most 2**14 each, whose sum float32 still holds exactly."""


@primitive
def _int_mm(self: Spec, mat2: Spec) -> Spec:
    """The product of two matrices of int8, added up in int32: (n, k) @ (k, m) -> (n, m).

    On a GPU tensor cores multiply where k and m are multiples of 4; fastest is a mat2 that is the
    transpose of a matrix, as `weight.t()`.

    Raises: RuntimeError for other dtypes and for sizes that do not fit.
    """
    for name, x in (("self", self), ("mat2", mat2)):
        shapes.require_ndim("_int_mm", name, x, 2)
        if x.dtype is not dtypes.int8:
            raise DTypeError(f"_int_mm: expected {name} of int8. Got {x.dtype}. Quantize it first.")
    require_columns("_int_mm", self, mat2)
    return Spec((self.shape[0], mat2.shape[1]), dtypes.int32)


@_int_mm.array
def int_mm_array(xp: Any, self: Any, mat2: Any) -> Any:
    """The product in floating-point numbers that hold the sums, of which libraries are faster."""
    if not self.dtype == mat2.dtype == xp.int8:
        raise TypeError("no product of int8")
    wide = xp.float32 if self.shape[1] <= EXACT else xp.float64
    return xp.matmul(self.astype(wide), mat2.astype(wide)).astype(xp.int32)
