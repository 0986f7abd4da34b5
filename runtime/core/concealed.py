"""Concealed layouts: tensors whose elements lie in another order than users see.

Convolutions give images with their channels innermost, and take them so, while PyTorch's users
expect row-major results of row-major images. A tensor whose key is concealed shows row-major
strides over an array of any order: what follows element by element keeps that order, and the first
that shares the memory or asks for it (a view, `numpy()`, `data_ptr()`) reveals the tensor: it gets
a row-major copy and its device's usual key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .dispatch import DispatchKey, operations

if TYPE_CHECKING:
    from .tensor import Tensor

in_use = False
"""Whether there ever was a concealed tensor; until then nobody looks for one."""


class MustReveal(Exception):
    """An operation would share the memory of a concealed tensor."""


class ConcealedKey(DispatchKey):
    """The key of concealed tensors with the device and dtype of `revealed`."""

    is_concealed = True

    def __init__(self, revealed: DispatchKey) -> None:
        super().__init__(revealed.device, revealed.dtype)
        self.revealed = revealed

    def __getattr__(self, name: str) -> Any:
        operation = operations.get(name)
        if operation is not None and operation.may_alias:
            kernel: Any = _refuse
        else:
            kernel = getattr(self.revealed, name)
        setattr(self, name, kernel)
        return kernel

    def of_array(self, array: Any) -> DispatchKey:
        """The concealed key for `array`'s dtype."""
        return concealed_key(self.revealed.of_array(array))


def _refuse(*args: Any, **attributes: Any) -> Any:
    raise MustReveal


def revealed_key(key: DispatchKey) -> DispatchKey:
    """The key whose kernels compute for `key`: itself unless it is concealed."""
    return key.revealed if isinstance(key, ConcealedKey) else key


def concealed_key(key: DispatchKey) -> DispatchKey:
    """The one concealed key beside `key`."""
    global in_use
    in_use = True
    if key.is_concealed:
        return key
    if key.concealed is None:
        key.concealed = ConcealedKey(key)
    return key.concealed


def conceal(tensor: Tensor, lead: Any) -> None:
    """Conceal the result of an operation whose first operand is the bare array `lead`, if it lies
    with its channels innermost while `lead` does not."""
    array = tensor._array
    if array.__class__ is not np.ndarray or array.flags.c_contiguous:
        return
    # Images of one channel lie both ways; in PyTorch their results are row-major.
    is_channels_last = lead.transpose((0, *range(2, lead.ndim), 1)).flags.c_contiguous
    if lead.flags.c_contiguous or not is_channels_last:
        tensor._key = concealed_key(tensor._key)


def reveal(tensor: Tensor) -> Any:
    """Give a concealed tensor row-major memory; the bare array, of any tensor."""
    key = tensor._key
    if key.is_concealed:
        tensor._array = key.backend.row_major(tensor._array)
        tensor._key = revealed_key(key)
    return tensor._array
