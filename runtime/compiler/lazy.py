"""Lazy tensors: results whose values wait in a graph until somebody asks for them."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.layouts import is_laid_out
from ..core.overriding import disabled_implementation
from ..core.spec import contiguous_strides
from ..core.tensor import Size, Tensor

if TYPE_CHECKING:
    from .region import Pending


class LazyTensor(Tensor):
    """A tensor that knows its shape, dtype and device, and computes its values when read.

    All that the runtime reads of a tensor's values goes through `_array`; here that is a property
    which has the graph computed and makes the object the plain `Tensor` that it stands for. So code
    that knows nothing of laziness is right about every lazy tensor.
    """

    __torch_function__ = disabled_implementation

    _pending: Pending
    _number: int  # of its value in the graph
    _shape: tuple[int, ...]
    _strides: tuple[int, ...]
    _requires: bool

    @property
    def _array(self) -> Any:  # type: ignore[override]
        return self._settled()._array

    @_array.setter
    def _array(self, array: Any) -> None:
        self._settled()._array = array

    @property
    def _edge(self) -> Any:  # type: ignore[override]
        return self._settled()._edge if self._requires else None

    @_edge.setter
    def _edge(self, edge: Any) -> None:
        self._settled()._edge = edge

    @property
    def _base(self) -> Any:  # type: ignore[override]
        return self._settled()._base

    @_base.setter
    def _base(self, base: Any) -> None:
        self._settled()._base = base

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__class__":  # of a subclass that it is to be
            self._settled()
        object.__setattr__(self, name, value)

    def become_plain(self, array: Any) -> None:
        """Be the plain tensor of `array` from now on."""
        fields = vars(self)
        for name in ("_pending", "_number", "_shape", "_strides", "_requires"):
            del fields[name]
        object.__setattr__(self, "__class__", Tensor)
        self._array = array
        self._key = self._key.of_array(array)

    def _settled(self, is_break: bool = False) -> Tensor:
        """This object, its values computed; it is a plain tensor from then on. `is_break` if Python
        is to know them."""
        self._pending.flush("its values were read", is_break)
        if self.__class__ is LazyTensor:
            raise RuntimeError(
                "compile: expected the values of a tensor of an earlier computation. That one was "
                "interrupted. Compute it again."
            )
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return self._settled(is_break=True).__repr__(tensor_contents=tensor_contents)

    def __deepcopy__(self, memo: Any) -> Any:
        return copy.deepcopy(self._settled(), memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._settled().__reduce_ex__(protocol)

    # -- what is known without the values --------------------------------------------------------

    @property
    def shape(self) -> Size:
        return Size(self._shape)

    def size(self, dim: int | None = None) -> Any:
        if dim is None:
            return Size(self._shape)
        try:
            return self._shape[dim]
        except IndexError:
            return super().size(dim)  # which says what is wrong

    @property
    def ndim(self) -> int:
        return len(self._shape)

    def dim(self) -> int:
        return len(self._shape)

    def stride(self, dim: int | None = None) -> Any:
        return self._strides if dim is None else self._strides[dim]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        if memory_format is None:
            return self._strides == contiguous_strides(self._shape)
        return is_laid_out(memory_format, self._shape, self._strides)

    def numel(self) -> int:
        return math.prod(self._shape)

    nelement = numel

    @property
    def requires_grad(self) -> bool:
        return self._requires

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._settled().requires_grad = value

    @property
    def is_leaf(self) -> bool:
        return not self._requires


def _reading(name: str) -> Callable[..., Any]:
    """The method `name` of tensors, which tells Python values."""
    method = getattr(Tensor, name)

    @functools.wraps(method)
    def read(self: LazyTensor, *args: Any, **kwargs: Any) -> Any:
        return method(self._settled(is_break=True), *args, **kwargs)

    return read


for _name in """
    item tolist numpy __array__ __bool__ __int__ __float__ __complex__ __index__ __contains__
    __format__
    """.split():
    setattr(LazyTensor, _name, _reading(_name))
