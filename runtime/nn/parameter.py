"""Parameters: tensors that a module owns and an optimizer changes."""

from __future__ import annotations

from typing import Any

from ..core.creation import empty
from ..core.tensor import Tensor, wrap_view

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A leaf tensor that a `Module` registers when it is assigned to an attribute.

    Shares the memory of `data`. Raises: TypeError if `data` is no tensor, RuntimeError if a
    gradient is asked for and the dtype has none.
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter: expected a tensor. Got {type(data).__name__}.")
        parameter: Any = _share(cls, data)
        parameter.requires_grad = requires_grad
        return parameter

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Everything is done by `__new__`."""


class Buffer(Tensor):
    """A tensor that a `Module` registers as a buffer when it is assigned to an attribute."""

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        buffer: Any = _share(cls, empty(0) if data is None else data)
        buffer.persistent = persistent
        return buffer

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        """Everything is done by `__new__`."""


def _share(cls: type[Tensor], data: Tensor) -> Tensor:
    """A leaf of class `cls` over the memory of `data`."""
    out = wrap_view(data._array, data._key, data)
    out._base = None
    out.__class__ = cls
    return out
