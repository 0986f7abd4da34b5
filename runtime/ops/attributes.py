"""What code asks of any tensor: its kind, its memory, other names of itself."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from ..backends import cuda
from ..core import creation, deferral, dtypes, layouts
from ..core.callsite import count_write
from ..core.devices import device as Device
from ..core.spec import contiguous_strides
from ..core.tensor import Tensor
from ..errors import DTypeError
from . import joins, legacy, strided
from . import methods as methods  # some of whose methods are replaced here
from .copied_views import narrow_copy
from .inplace import check_writable, copy_, write

__all__ = [
    "can_cast", "detach", "fill", "get_device", "get_device_module", "is_distributed",
    "is_inference", "is_inference_mode_enabled", "is_signed", "is_storage", "typename",
    "unsafe_split_with_sizes",
]  # fmt: skip


def can_cast(from_: dtypes.dtype, to: dtypes.dtype) -> bool:
    """Whether promotion allows the conversion: never to a kind that holds less, of bool, integer,
    floating-point and complex numbers."""
    return from_.category <= to.category


def detach(input: Tensor) -> Tensor:
    """The same memory, without a past."""
    return input.detach()


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor of input's shape and dtype with `value` everywhere."""
    return input.fill(value)


def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return input.dtype.is_signed


def get_device(input: Tensor) -> int:
    """The number of the GPU that holds the tensor; -1 on the CPU."""
    return input.get_device()


def get_device_module(device: Any = None) -> Any:
    """`torch.cuda` or `torch.cpu`, for `device` or the GPU if there is one.

    Raises: RuntimeError for another type of device.
    """
    if device is None:
        kind = "cuda" if cuda.device_count() else "cpu"
    else:
        kind = device.type if hasattr(device, "type") else Device(device).type
    if kind not in ("cuda", "cpu"):
        raise RuntimeError(f"get_device_module: expected cpu or cuda. Got {kind!r}.")
    return importlib.import_module(f"{__package__.removesuffix('.ops')}.{kind}")


def is_storage(obj: Any) -> bool:
    """Whether `obj` is the memory behind tensors."""
    return isinstance(obj, legacy.UntypedStorage)


def is_distributed(input: Tensor) -> bool:
    """False."""
    return False


is_inference = is_distributed


def is_inference_mode_enabled() -> bool:
    """False: `inference_mode` is `no_grad` here."""
    return False


def typename(obj: Any) -> str:
    """The name of the type of `obj`, or of a class itself, with its module; of a tensor its legacy
    type, such as torch.FloatTensor."""
    if isinstance(obj, Tensor):
        return obj.type()
    kind = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(kind, "__module__", "") or ""
    name: str = kind.__qualname__
    return name if module in ("", "builtins") else f"{module}.{name}"


# -- methods ---------------------------------------------------------------------------------------


def _delitem(self: Tensor, index: Any) -> None:
    """Raises: TypeError: elements cannot be taken out."""
    raise TypeError("del: expected an index to read or write. Tensors keep their elements.")


def _reversed(self: Tensor) -> Tensor:
    """The elements in reverse order along all dimensions."""
    return self.flip(tuple(range(self.ndim)))


def as_subclass(self: Tensor, cls: type[Tensor]) -> Tensor:
    """An alias of the tensor as an instance of the class `cls`, with its past."""
    out = self.view(self.shape)
    out.__class__ = cls
    return out


def make_subclass(cls: type[Tensor], data: Tensor, require_grad: bool = False) -> Tensor:
    """An instance of `cls`, a leaf that shares the memory of `data`."""
    return as_subclass(data.detach(), cls).requires_grad_(require_grad)


def chalf(self: Tensor, **options: Any) -> Tensor:
    """Raises: DTypeError: NumPy has no complex numbers of halves."""
    raise DTypeError(
        f"chalf: expected a dtype that NumPy and CuPy have. torch.complex32 is none. Use cfloat() "
        f"for a tensor of {self.dtype}."
    )


def dim_order(self: Tensor, ambiguity_check: Any = False) -> tuple[int, ...]:
    """The dimensions from the outermost in memory to the innermost.

    `ambiguity_check`, True or a list of memory formats, asks that there be one answer only, or one
    of these formats only that the memory is in. Raises: RuntimeError otherwise.
    """
    if not isinstance(ambiguity_check, bool) and not (
        isinstance(ambiguity_check, list)
        and all(isinstance(f, layouts.memory_format) for f in ambiguity_check)
    ):
        raise TypeError(
            "dim_order: expected ambiguity_check as a bool or a list of memory formats. Got "
            f"{ambiguity_check!r}."
        )
    if ambiguity_check is True:
        is_clear = 1 not in self.shape and len(set(self.stride())) == self.ndim
    elif ambiguity_check:
        is_clear = sum(self.is_contiguous(memory_format=f) for f in ambiguity_check) == 1
    else:
        is_clear = True
    if not is_clear:
        raise RuntimeError(
            f"dim_order: expected memory in one order only. Got shape {tuple(self.shape)}, strides "
            f"{tuple(self.stride())}."
        )
    return layouts.order_in_memory(tuple(self.shape), tuple(self.stride()))


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both show the same memory in the same way."""
    same = self.data_ptr() == tensor.data_ptr() and self.dtype is tensor.dtype
    return same and self.shape == tensor.shape and self.stride() == tensor.stride()


def map_(self: Tensor, tensor: Tensor, callable: Any) -> Tensor:
    """Replace each element by `callable(element, other)`, with the element of a tensor that
    broadcasts. Slow: one Python call each."""
    return _mapped(self, "map_", callable, tensor)


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Any) -> Tensor:
    """`map_` with the elements of two other tensors."""
    return _mapped(self, "map2_", callable, x, y)


def _mapped(self: Tensor, name: str, function: Any, *others: Tensor) -> Tensor:
    if self.requires_grad:
        raise RuntimeError(f"{name}: expected a tensor that requires no gradient. Use detach().")
    values = [t.expand(self.shape).numpy_values() for t in others]
    found = np.vectorize(function, otypes=[self.dtype.numpy])(self.numpy_values(), *values)
    write(self, creation.as_tensor(found, device=self.device)._array, name)
    return self


def module_load(self: Tensor, other: Tensor, assign: bool = False) -> Tensor:
    """What a module keeps when `other` is loaded in the place of this tensor: `other` itself if
    `assign`, else this tensor with its values."""
    return other.detach() if assign else copy_(self.detach(), other)


def resize(self: Tensor, *sizes: Any) -> Tensor:
    """The elements in other sizes, as many. Raises: RuntimeError for another number."""
    return self.reshape(*sizes)


def resize_as(self: Tensor, tensor: Tensor) -> Tensor:
    """`resize` to the sizes of another tensor."""
    return resize(self, tensor.shape)


def set_(
    self: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None
) -> Tensor:
    """Make this tensor show the memory of `source`, a tensor or its storage, from `storage_offset`
    on; without a source, none.

    Raises: DTypeError for another dtype, ShapeError if it does not reach so far.
    """
    deferral.settle("set_ gave a tensor other memory")
    check_writable(self, "set_")
    if source is None:
        source = self.new_empty(0)
    whole = source._owner if isinstance(source, legacy.UntypedStorage) else source
    if whole.dtype is not self.dtype:
        raise DTypeError(f"set_: expected a source of {self.dtype}. Got {whole.dtype}.")
    if size is None and whole is not source:
        size = (strided.storage_length(whole) - storage_offset,)
    view = whole.detach()
    if size is not None:
        shape = creation.sizes((size,))
        steps = contiguous_strides(shape) if stride is None else tuple(stride)
        view = strided.as_strided(view, shape, steps, storage_offset)
    self._array, self._writes, self._base = view._array, whole._writes, whole._base or whole
    count_write(self._writes, "set_")
    return self


def split(self: Tensor, split_size: Any, dim: int = 0) -> Any:
    """Views along `dim`: of that many slices each (the last may have fewer), or of the sizes
    listed."""
    return joins.split(self, split_size, dim)


def storage_type(self: Tensor) -> type:
    """The class of the tensor's storage."""
    return type(self.storage())


def unsafe_split_with_sizes(self: Tensor, split_sizes: Any, dim: int = 0) -> Any:
    """`split_with_sizes`."""
    return self.split_with_sizes(split_sizes, dim)


ABSENT = "ipu maia mkldnn mps mtia nested sparse_csr vulkan xla xpu"
"""Devices and layouts that no tensor here has, asked for by `is_...`."""

METHODS = {
    "__delitem__": _delitem, "__reversed__": _reversed, "__nonzero__": Tensor.__bool__,
    "__long__": Tensor.__int__, "as_subclass": as_subclass,
    "_make_subclass": staticmethod(make_subclass), "chalf": chalf,
    "dim_order": dim_order, "is_set_to": is_set_to, "is_signed": is_signed,
    "is_distributed": is_distributed, "is_nonzero": Tensor.__bool__, "map_": map_, "map2_": map2_,
    "module_load": module_load, "narrow_copy": narrow_copy, "resize": resize,
    "resize_as": resize_as, "set_": set_, "split": split, "unsafe_split": split,
    "storage_type": storage_type,
    "unsafe_split_with_sizes": unsafe_split_with_sizes, "name": None, "volatile": False,
    **{f"is_{kind}": False for kind in ABSENT.split()},
}  # fmt: skip
for _name, _member in METHODS.items():
    setattr(Tensor, _name, _member)
