"""Parameters: tensors that a module owns and an optimizer changes; some get their shape later."""

from __future__ import annotations

from typing import Any, NoReturn

from ..core.creation import empty
from ..core.overriding import disabled_implementation
from ..core.tensor import Tensor, wrap_view

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter"]


class Parameter(Tensor):
    """A leaf tensor that a `Module` registers when it is assigned to an attribute.

    Shares the memory of `data`. Raises: TypeError if `data` is no tensor, RuntimeError if a
    gradient is asked for and the dtype has none.
    """

    __torch_function__ = disabled_implementation

    shard_group: Any = None
    """The processes that have the other rows of it, if it is a part: see `distributed.fsdp`."""

    def __new__(
        cls, data: Tensor | None = None, requires_grad: bool = True, **attributes: Any
    ) -> Parameter:
        if unknown := attributes.keys() - OWN:
            raise TypeError(f"Parameter: expected data and requires_grad. Got {unknown}.")
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter: expected a tensor. Got {type(data).__name__}.")
        parameter: Any = _share(cls, data)
        parameter.requires_grad = requires_grad
        return parameter

    def __init__(
        self, data: Tensor | None = None, requires_grad: bool = True, **attributes: Any
    ) -> None:
        """Everything is done by `__new__`."""


OWN = {"_array", "_base", "_edge", "_key", "_views", "_writes"}
"""What stands in a tensor's `__dict__`, from which libraries make a parameter again, as
`type(p)(data, **p.__dict__)`: what the new one has of its own is not taken from there."""


class Buffer(Tensor):
    """A tensor that a `Module` registers as a buffer when it is assigned to an attribute."""

    __torch_function__ = disabled_implementation

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


# -- without a shape yet ---------------------------------------------------------------------------


class _NoArray:
    """In the place of an array that cannot be made before the shape is known: all use of it is an
    error that says so, but for asking how much memory it takes."""

    base = None
    nbytes = 0

    def __getattribute__(self, name: str) -> Any:
        if name not in ("__class__", "base", "nbytes"):
            _refuse(name)
        return object.__getattribute__(self, name)

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """NumPy asks for it by the class."""
        _refuse("a calculation")

    __array__ = __array_function__ = __getitem__ = __len__ = __array_ufunc__


class _UninitializedError(ValueError, RuntimeError):
    """What PyTorch raises for operations is the one, for a shape the other; here operations ask for
    shapes."""


def _refuse(what: str) -> NoReturn:
    raise _UninitializedError(
        f"Expected an initialized parameter or buffer. Got one without a shape yet, and a use of "
        f"it ({what}). Call its lazy module once on an input, or materialize() it, before."
    )


_NO_ARRAY = _NoArray()


class UninitializedTensorMixin(Tensor):
    """A tensor of known dtype and device, and of a shape that is told later, by `materialize`.

    Until then only dtype, device and `requires_grad` can be read, conversions are kept, and any
    other use raises ValueError.
    """

    __torch_function__ = disabled_implementation

    cls_to_become: type[Tensor]

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Take memory (not set to anything) of `shape`, and become an ordinary parameter or
        buffer."""
        place = {"device": device or self.device, "dtype": dtype or self.dtype}
        made = empty(shape, **place)
        materialized: Any = self
        materialized.__class__ = self.cls_to_become
        materialized.data = made

    @property
    def shape(self) -> Any:
        """Raises: RuntimeError (a ValueError too), as there is none yet."""
        raise _UninitializedError(
            "shape: expected an initialized parameter or buffer. Got one without a shape yet. Call "
            "its lazy module once on an input before (or before you load its state into another)."
        )

    @property
    def data(self) -> Tensor:
        """An empty tensor of the same dtype and device; what is set gives both."""
        return empty(0, device=self.device, dtype=self.dtype)

    @data.setter
    def data(self, value: Tensor) -> None:
        self._key = value._key

    def detach(self) -> NoReturn:
        """Raises: ValueError, as there is nothing to share yet."""
        _refuse("detach")

    def share_memory_(self) -> NoReturn:
        """Raises: RuntimeError, as there is no memory yet."""
        raise RuntimeError(
            "share_memory_: expected an initialized parameter or buffer. Got one without a shape "
            "yet. Call its lazy module once on an input before."
        )

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = self._again()
        memo[id(self)] = made
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _uninitialized, (type(self), self.requires_grad, str(self.device), self.dtype)

    def _again(self) -> Any:
        return _uninitialized(type(self), self.requires_grad, self.device, self.dtype)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape is told later, by `materialize`; see `nn.LazyLinear`."""

    cls_to_become = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Any = None, dtype: Any = None
    ) -> UninitializedParameter:
        return _uninitialized(cls, requires_grad, device, dtype)

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        """Everything is done by `__new__`."""


class UninitializedBuffer(UninitializedTensorMixin, Buffer):
    """A buffer whose shape is told later, by `materialize`; see `nn.LazyBatchNorm1d`."""

    cls_to_become = Tensor

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> UninitializedBuffer:
        buffer: Any = _uninitialized(cls, requires_grad, device, dtype)
        buffer.persistent = persistent
        return buffer

    def __init__(
        self,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        """Everything is done by `__new__`."""


def _uninitialized(cls: Any, requires_grad: bool, device: Any, dtype: Any) -> Any:
    out = _share(cls, empty(0, device=device, dtype=dtype))
    out.requires_grad = requires_grad
    out._array = _NO_ARRAY
    return out


def is_lazy(param: Any) -> bool:
    """Whether `param` has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)
