"""Tensors whose memory the processes forked from this one share."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from ..core.concealed import reveal
from ..core.tensor import Tensor
from ..errors import DeviceError


def share_memory_(self: Tensor) -> Tensor:
    """Move this tensor's memory, and that of its views, to where processes forked later see what
    is written to it, in both directions. Sent to other processes by pickle, it is copied.

    Raises: DeviceError for a tensor that is not on the CPU.
    """
    if self.is_cuda:
        return self
    if self.is_meta or self.is_sparse:
        raise DeviceError(f"share_memory_: expected a dense tensor on cpu. Got {self.device}.")
    owner = self if self._base is None else self._base
    reveal(owner)
    if is_shared(owner):
        return self
    low, high = np.lib.array_utils.byte_bounds(owner._array)
    memory = mmap.mmap(-1, max(high - low, 1))
    shown = [owner, *(t for t in (ref() for ref in owner._views or ()) if t is not None)]
    moved = [_moved(t._array, memory, low) for t in shown]
    moved[0][...] = owner._array
    for tensor, array in zip(shown, moved, strict=True):
        tensor._array = array
    return self


def _moved(array: Any, memory: mmap.mmap, low: int) -> Any:
    """The same window into the other memory."""
    offset = array.__array_interface__["data"][0] - low if array.size else 0
    return np.ndarray(array.shape, array.dtype, memory, offset, array.strides)


def is_shared(self: Tensor) -> bool:
    """Whether processes forked from this one share the memory."""
    if self.is_cuda:
        return True
    array = None if self.is_meta or self.is_sparse else self._array
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, memoryview):
        array = array.obj
    return isinstance(array, mmap.mmap)
