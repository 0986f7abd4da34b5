"""The tensor: an array, where it lives, and where it stands in the graph.

Operations attach themselves as methods (`ops.methods`); this file holds what a tensor *is*.
"""

from __future__ import annotations

from typing import Any
from weakref import ref

from . import dtypes, overriding, printing
from .concealed import reveal
from .devices import device
from .dispatch import DispatchKey
from .exposure import expose
from .spec import contiguous_strides

__all__ = ["Size", "Tensor"]


class Size(tuple[int, ...]):
    """The shape of a tensor: a tuple that prints as `torch.Size([2, 3])`."""

    __slots__ = ()

    def numel(self) -> int:
        """Number of elements of a tensor of this shape."""
        product = 1
        for size in self:
            product *= size
        return product

    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if found.__class__ is tuple else found

    def __add__(self, other: Any) -> Size:  # type: ignore[override]
        found = tuple.__add__(self, other)
        return found if found is NotImplemented else Size(found)

    def __radd__(self, other: tuple[int, ...]) -> Size:
        return Size(tuple.__add__(other, self))

    def __mul__(self, count: Any) -> Size:
        return Size(tuple.__mul__(self, count))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"


class Tensor:
    """An n-dimensional array of one dtype on one device, which can be differentiated.

    Made by `torch.tensor(data)`, by `torch.zeros`, `torch.rand` and their like, and by operations
    on other tensors. With `requires_grad=True`, what is computed from it is recorded; `backward()`
    on a result puts the gradient into `grad`.

    Example:
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> (x**2).sum().backward()
        >>> x.grad
        tensor([2., 4.])
    """

    _array: Any  # the bare array: NumPy, CuPy or Spec
    _key: DispatchKey  # its device and dtype
    # A counter of writes in place, shared by all views of one memory, and behind it who wrote last
    # (see callsite). A list is the cheapest shared cell there is; a class costs twice as much.
    _writes: list[Any]
    # Where the gradient goes: the node that made this tensor, or the leaf's accumulator.
    _edge: Any = None
    _base: Tensor | None = None  # for a view, the tensor whose memory it shows
    _views: list[Any] | None = None  # weak references to the views of this memory
    _grad: Tensor | None = None
    _shows_address = False  # whether the address of its memory was asked for

    __array_priority__ = 1000  # NumPy arrays and scalars leave mixed operators to us

    __torch_function__ = classmethod(overriding.default)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if overriding.overrides(cls):
            overriding.switch_on()

    def __new__(cls, *args: Any, **kwargs: Any) -> Tensor:
        from . import creation

        return creation.legacy_constructor(cls, *args, **kwargs)

    # -- what it is ------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """Sizes of the dimensions."""
        return Size(self._array.shape)

    def size(self, dim: int | None = None) -> Any:
        """All sizes, or that of dimension `dim`."""
        if dim is None:
            return Size(self._array.shape)
        try:
            return self._array.shape[dim]
        except IndexError:
            raise IndexError(
                f"size: expected a dimension from {-self.ndim} to {self.ndim - 1}. Got {dim} for a "
                f"tensor of shape {tuple(self.shape)}."
            ) from None

    @property
    def dtype(self) -> dtypes.dtype:
        """The element type."""
        return self._key.dtype

    @property
    def device(self) -> device:
        """Where the memory lies."""
        return self._key.device

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._array.shape)

    def dim(self) -> int:
        """Number of dimensions."""
        return len(self._array.shape)

    def numel(self) -> int:
        """Number of elements."""
        return int(self._array.size)

    nelement = numel

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self._key.dtype.itemsize

    element_size = itemsize.fget

    @property
    def nbytes(self) -> int:
        """Bytes of all elements; of a sparse tensor, of its indices and values."""
        return int(self._array.nbytes)

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours of each dimension (or of `dim`), in elements."""
        strides = self._array.strides
        if self._key.is_concealed:
            strides = tuple([s * self.itemsize for s in contiguous_strides(self._array.shape)])
        if self._key.device.type != "meta":
            strides = tuple([s // self._key.dtype.itemsize for s in strides])
        return strides if dim is None else strides[dim]

    def storage_offset(self) -> int:
        """Elements of the memory before this tensor's first one."""
        if self._base is None or self.is_meta:
            return 0
        return (self.data_ptr() - self._base.data_ptr()) // self.itemsize

    def is_floating_point(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return self._key.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the elements are complex numbers."""
        return self._key.dtype.is_complex

    @property
    def is_cuda(self) -> bool:
        """Whether the memory is a GPU's."""
        return self._key.device.type == "cuda"

    @property
    def is_meta(self) -> bool:
        """Whether there is no memory at all, only a shape and a dtype."""
        return self._key.device.type == "meta"

    def data_ptr(self) -> int:
        """Address of the first element; 0 on meta."""
        if self.is_meta:
            return 0
        self._shows_address = True
        if self.is_cuda:
            return int(self._array.data.ptr)
        expose(reveal(self))
        return int(self._array.ctypes.data)

    # -- where it stands in the graph ------------------------------------------------------------

    @property
    def grad_fn(self) -> Any:
        """The backward node that made this tensor; None for a leaf."""
        edge = self._edge
        return None if edge is None else edge.as_grad_fn()

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self._edge is None or self._edge.as_grad_fn() is None

    @property
    def output_nr(self) -> int:
        """Which of its operation's outputs this tensor is."""
        return getattr(self._edge, "index", 0)

    @property
    def _version(self) -> int:
        """How often the memory was written in place, by any of its views."""
        return self._writes[0]

    # -- how it prints ---------------------------------------------------------------------------

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return printing.tensor_repr(self)

    def __format__(self, specification: str) -> str:
        if self.ndim == 0 and not self.is_meta:
            return format(self.item(), specification)
        return format(repr(self), specification)

    def __hash__(self) -> int:
        return id(self)

    def item(self) -> Any:
        """The only element, as a Python number.

        Raises: RuntimeError if there is not exactly one element, or no value (meta).
        """
        kind = self._key.device.type
        if self.numel() != 1 or kind == "meta":
            what = "a meta tensor, which has no values" if kind == "meta" else "this one"
            raise RuntimeError(
                f"item: expected a tensor with one element. Got {what}, of shape "
                f"{tuple(self.shape)}. Use tolist() for all elements."
            )
        if kind == "cuda":
            return self.numpy_values().item()
        return self._array.item()

    def tolist(self) -> Any:
        """All elements as nested lists of Python numbers."""
        return self.numpy_values().tolist()

    def numpy_values(self) -> Any:
        """The values as a NumPy array, from any device, gradient or not.

        Raises: RuntimeError on meta, which has no values.
        """
        return self._key.backend.to_numpy(reveal(self))

    def numpy(self, *, force: bool = False) -> Any:
        """The NumPy array that shares this tensor's memory.

        `force` allows tensors that require a gradient or live on a GPU (then a copy).
        """
        if not force:
            if self._edge is not None:
                raise RuntimeError(
                    "numpy: expected a tensor that requires no gradient. Got one that does. Use "
                    "tensor.detach().numpy()."
                )
            if self.is_cuda:
                raise TypeError(
                    f"numpy: expected a tensor in the CPU's memory. Got one on {self.device}. Use "
                    "tensor.cpu() first."
                )
        expose(self._array)
        return self.numpy_values()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(
                    f"Converting {self.dtype} to {dtype} needs a copy; copy=False came."
                )
            return array.astype(dtype)
        return array.copy() if copy else array

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len: expected a tensor with dimensions. Got a 0-d tensor.")
        return int(self._array.shape[0])

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise RuntimeError(
                f"bool: expected a tensor with one element. Got shape {tuple(self.shape)}, whose "
                "truth is ambiguous. Use .any() or .all()."
            )
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.numel() != 1 or self.dtype.category > dtypes.INTEGER:
            raise TypeError(
                f"Expected a tensor with one integer. Got shape {tuple(self.shape)}, {self.dtype}."
            )
        return int(self.item())

    def __contains__(self, element: Any) -> bool:
        return bool((self == element).any().item())

    def __dir__(self) -> list[str]:
        return sorted(n for n in super().__dir__() if not n.startswith("_") or n.endswith("__"))


overriding.asks[Tensor] = False  # it is the rule that others are the exceptions to
overriding.plain.add(Tensor)

_new = object.__new__


def wrap(array: Any, key: DispatchKey, edge: Any = None) -> Tensor:
    """A tensor of `array`, which lies where `key` says, with fresh in-place history."""
    tensor = _new(Tensor)
    tensor._array = array
    tensor._key = key
    tensor._writes = [0]
    if edge is not None:
        tensor._edge = edge
    return tensor


def held(tensor: Tensor) -> Tensor:
    """What a tensor inside `vmap` holds, the batch as its first dimension, outside the graph."""
    value = tensor._array.value
    return wrap(value, tensor._key.of_array(value))


def wrap_view(array: Any, key: DispatchKey, base: Tensor) -> Tensor:
    """A tensor of `array`, which shares the memory of `base` and its in-place history."""
    tensor = _new(Tensor)
    tensor._array = array
    tensor._key = key
    tensor._writes = base._writes
    owner = tensor._base = base if base._base is None else base._base
    note_view(owner, tensor)
    return tensor


def note_view(base: Tensor, view: Tensor) -> None:
    """Let `base` know its view: when one is written in place, the others get a new past."""
    views = base._views
    if views is None:
        base._views = [ref(view)]
        return
    views.append(ref(view))
    if len(views) & (len(views) - 1) == 0 and len(views) >= 64:
        base._views = [r for r in views if r() is not None]
