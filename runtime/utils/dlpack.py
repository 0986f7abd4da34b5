"""Tensors through the DLPack protocol, without copies. Source: https://dmlc.github.io/dlpack."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..ops.legacy import from_dlpack

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule of the tensor's memory, to be read once by another library's `from_dlpack`."""
    return tensor.__dlpack__()
