"""Halves among float32 in sums on the GPU: read as they are, where a cast would first copy them.

A residual network under autocast adds what products gave, in a half type, to a stream in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..autograd.grad_mode import is_grad_enabled
from ..autograd.node import tick
from ..core import dtypes, observers
from ..core.dispatch import key_of, operations
from ..core.tensor import Tensor, wrap

if TYPE_CHECKING:
    from .operation import Operation


def seen_wide(operation: Operation, tensor: Tensor, dtype: dtypes.dtype) -> Tensor | None:
    """The half `tensor` as an operand of `operation` in float32: its own memory, under the key of
    float32, whose gradient is cast as that of a cast is. None where the kernel must have a cast.

    Nothing else may see the result: its array is of another dtype than its key. So it is for
    formulas that save no operand.
    """
    key = tensor._key
    if (
        dtype is not dtypes.float32
        or not key.is_half
        or key.device.type != "cuda"
        or key.level
        or observers.active
        or operation.formula is None
        or operation.saves
        or not operation.is_differentiable
    ):
        return None
    wide = key_of(key.device, dtype)
    if getattr(getattr(wide, operation.name), "into", None) is None:  # no kernel of ours
        return None
    seen = wrap(tensor._array, wide)
    if tensor._edge is not None and is_grad_enabled():
        node = object.__new__(operations["cast"].node_class)
        node.edges, node.key = (tensor._edge,), key
        node.saved, node.attributes = (tensor._array.shape,), (dtype,)
        node.sequence = tick()
        seen._edge = node
    return seen
