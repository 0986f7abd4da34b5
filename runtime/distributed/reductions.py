"""How the values of several processes become one."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from ..errors import DTypeError


class ReduceOp(enum.Enum):
    """How values of several processes become one. AVG is the sum over the number of processes, for
    integers without the rest."""

    SUM = enum.auto()
    AVG = enum.auto()
    PRODUCT = enum.auto()
    MIN = enum.auto()
    MAX = enum.auto()
    BAND = enum.auto()
    BOR = enum.auto()
    BXOR = enum.auto()


ReduceOp.RedOpType = ReduceOp  # type: ignore[attr-defined]  # as PyTorch's annotations name it

FUNCTIONS: dict[ReduceOp, Any] = {
    ReduceOp.SUM: np.add,
    ReduceOp.AVG: np.add,
    ReduceOp.PRODUCT: np.multiply,
    ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
    ReduceOp.BAND: np.bitwise_and,
    ReduceOp.BOR: np.bitwise_or,
    ReduceOp.BXOR: np.bitwise_xor,
}
BITWISE = {ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR}
ORDERED = {ReduceOp.MIN, ReduceOp.MAX}


def function_of(op: Any, dtype: Any) -> Any:
    """The function of two arrays that `op` applies.

    Raises: TypeError for no ReduceOp, DTypeError for one that numbers of `dtype` do not have.
    """
    if not isinstance(op, ReduceOp):
        raise TypeError(f"Expected a ReduceOp, as dist.ReduceOp.SUM. Got {op!r}.")
    if op in BITWISE and (dtype.is_floating_point or dtype.is_complex):
        raise DTypeError(
            f"ReduceOp.{op.name}: expected integers or bools, which have bits. Got {dtype}."
        )
    if op in ORDERED and dtype.is_complex:
        raise DTypeError(f"ReduceOp.{op.name}: expected numbers with an order. Got {dtype}.")
    return FUNCTIONS[op]


def finish(op: ReduceOp, array: Any, size: int) -> None:
    """What remains to be done with the combined values of `size` processes, in place."""
    if op is not ReduceOp.AVG or not array.size:
        return
    if array.dtype.kind in "iub":
        np.floor_divide(array, size, out=array, casting="unsafe")
    else:
        np.multiply(array, array.dtype.type(1 / size), out=array)
