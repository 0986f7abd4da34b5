"""`torch._subclasses`: the tensors without values with which PyTorch's compiler traces. There are
none here, as nothing is traced; `meta` tensors are their like."""

from __future__ import annotations

from typing import Any

from .core.tensor import Tensor

__all__ = ["FakeTensor", "is_fake"]


class FakeTensor(Tensor):
    """A tensor without values that says it is on another device. Nothing is one here."""


def is_fake(x: Any) -> bool:
    """Whether `x` is a FakeTensor: no."""
    return isinstance(x, FakeTensor)
