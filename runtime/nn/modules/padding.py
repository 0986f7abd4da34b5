"""Layers that put elements around their input."""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from ...ops.padding import pad
from .module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Padding(Module):
    """What all share: how many elements stand before and after each dimension, the last first."""

    rank: int
    mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self.rank) if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> (N, C, ...'); N may be left out."""
        return pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """How many elements."""
        return str(self.padding)


class _ConstantPadNd(_Padding):
    mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """(..., sizes) -> (..., sizes')."""
        return pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """How many elements, and which."""
        return f"padding={self.padding}, value={self.value}"


class _ReflectionPadNd(_Padding):
    mode = "reflect"


class _ReplicationPadNd(_Padding):
    mode = "replicate"


class _CircularPadNd(_Padding):
    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> (N, C, ...'); N may be left out. Raises: ValueError for other ranks."""
        if input.ndim not in (self.rank + 1, self.rank + 2):
            raise ValueError(
                f"{type(self).__name__}: expected input with {self.rank + 1} or {self.rank + 2} "
                f"dimensions. Got shape {tuple(input.shape)}."
            )
        return super().forward(input)


class ConstantPad1d(_ConstantPadNd):
    """`value` around (N, C, L); padding is a number, or (left, right)."""

    rank = 1


class ConstantPad2d(_ConstantPadNd):
    """`value` around (N, C, H, W); padding is a number, or (left, right, top, bottom)."""

    rank = 2


class ConstantPad3d(_ConstantPadNd):
    """`value` around (N, C, D, H, W)."""

    rank = 3


class ZeroPad1d(ConstantPad1d):
    """Zeros around (N, C, L)."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """How many elements."""
        return str(self.padding)


class ZeroPad2d(ConstantPad2d):
    """Zeros around (N, C, H, W)."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """How many elements."""
        return str(self.padding)


class ZeroPad3d(ConstantPad3d):
    """Zeros around (N, C, D, H, W)."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """How many elements."""
        return str(self.padding)


class ReflectionPad1d(_ReflectionPadNd):
    """The input mirrored at its ends, which are not repeated: (N, C, L)."""

    rank = 1


class ReflectionPad2d(_ReflectionPadNd):
    """The input mirrored at its edges: (N, C, H, W)."""

    rank = 2


class ReflectionPad3d(_ReflectionPadNd):
    """The input mirrored at its faces: (N, C, D, H, W)."""

    rank = 3


class ReplicationPad1d(_ReplicationPadNd):
    """The ends repeated: (N, C, L)."""

    rank = 1


class ReplicationPad2d(_ReplicationPadNd):
    """The edges repeated: (N, C, H, W)."""

    rank = 2


class ReplicationPad3d(_ReplicationPadNd):
    """The faces repeated: (N, C, D, H, W)."""

    rank = 3


class CircularPad1d(_CircularPadNd):
    """The input going on from its other end: (N, C, L)."""

    rank = 1


class CircularPad2d(_CircularPadNd):
    """The input going on from its other edges: (N, C, H, W)."""

    rank = 2


class CircularPad3d(_CircularPadNd):
    """The input going on from its other faces: (N, C, D, H, W)."""

    rank = 3
