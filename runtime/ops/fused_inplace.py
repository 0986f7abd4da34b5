"""Formulas computed into the memory of the tensor they change: large ones on the CPU, and all on
the GPU that it has kernels for."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.grad_mode import is_grad_enabled
from ..backends.pointwise import LARGE
from ..core import observers
from ..core.tensor import Tensor
from .general import constant
from .operation import Operation

NUMBERS = (int, float)


def computed_in_place(operation: Operation, tensor: Tensor, operands: tuple[Any, ...]) -> bool:
    """Whether `tensor` now holds the formula of it and `operands`, tensors or numbers.

    Not done, and left to the way that goes through a result of its own: what is recorded or
    observed, what needs another dtype or shape, and what is too small to matter.
    """
    array, key = tensor._array, tensor._key
    is_worthwhile = array.size >= LARGE if array.__class__ is np.ndarray else tensor.is_cuda
    if not is_worthwhile or observers.active or key.level:
        return False
    recording = is_grad_enabled()
    if recording and tensor._edge is not None:
        return False
    arrays = [array]
    for operand in operands:
        if operand.__class__ in NUMBERS:
            operand = constant(operand, tensor)
        if not isinstance(operand, Tensor) or operand._key is not key:
            return False
        if recording and operand._edge is not None:
            return False
        arrays.append(operand._array)
    if len(arrays) != len(operation.arrays) or operation.attributes:
        return False
    into = getattr(getattr(key.large, operation.name), "into", None)
    return into is not None and into(array, *arrays)
