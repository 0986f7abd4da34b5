"""Tensors as row-major arrays in the memory of this machine, which bytes are sent from and
received into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.callsite import count_write
from ..core.concealed import reveal
from ..core.creation import from_numpy
from ..core.tensor import Tensor
from ..errors import DTypeError, LayoutError


def described(tensor: Tensor) -> str:
    """A tensor in the words that all processes compare, as `float32 (3, 4)`."""
    return f"{tensor.dtype.name} {tuple(tensor.shape)}"


def require_dense(name: str, sent: Sequence[Any], filled: Sequence[Any] = ()) -> None:
    """Raises: TypeError for what is no tensor, LayoutError for a sparse one, DTypeError for
    different dtypes, RuntimeError on meta, and for tensors to be filled that cannot be: expanded
    ones, whose elements share places, and views of memory that is only read."""
    tensors = [*sent, *filled]
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}: expected a tensor. Got {type(t).__name__}.")
        if t.is_sparse:
            raise LayoutError(f"{name}: expected dense tensors. Got a sparse one: use to_dense().")
        if t.is_meta:
            raise RuntimeError(f"{name}: expected tensors with values. Got one on meta.")
        if t.dtype is not tensors[0].dtype:
            raise DTypeError(
                f"{name}: expected tensors of one dtype. Got {tensors[0].dtype} and {t.dtype}."
            )
    for t in filled:
        if not getattr(reveal(t).flags, "writeable", True):
            raise RuntimeError(
                f"{name}: expected a tensor to fill whose elements have memory of their own. Got "
                f"one of shape {tuple(t.shape)} that was expanded, or is read-only. Clone it first."
            )


class Held:
    """The array of a tensor: its own memory where that is row-major and on the CPU, else a copy,
    which `put_back` writes to the tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        array = reveal(tensor)
        self.is_copy = not (isinstance(array, np.ndarray) and array.flags.c_contiguous)
        if self.is_copy:
            array = np.array(tensor.numpy_values(), order="C", copy=True)
        self.array = array.reshape(-1)

    def put_back(self, by: str) -> None:
        """Let the tensor have what its array holds now, by the collective named."""
        tensor = self.tensor
        if self.is_copy:
            values = from_numpy(self.array.reshape(tuple(tensor.shape)))
            tensor.detach().copy_(values)
        else:
            count_write(tensor._writes, by)
