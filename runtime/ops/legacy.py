"""What code written for earlier PyTorch still calls: `x.new(...)`, `resize_`, storages, and
switches that mean nothing here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core import creation, dtypes
from ..core.concealed import reveal
from ..core.dispatch import guarded, key_of
from ..core.exposure import expose
from ..core.sparse_arrays import refusal
from ..core.spec import Spec, contiguous_strides
from ..core.tensor import Tensor, wrap
from ..errors import ShapeError
from .inplace import check_writable, write
from .shared_memory import is_shared, share_memory_
from .slicewise import slicewise
from .strided import diagonal, storage_length
from .tensor_types import made
from .views import sizes_of

__all__ = [
    "TypedStorage",
    "UntypedStorage",
    "empty_permuted",
    "empty_strided",
    "fill_",
    "frexp",
    "from_dlpack",
    "frombuffer",
    "is_same_size",
    "resize_as_",
    "zero_",
]


def new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """A tensor of this one's dtype: of the given sizes, or a copy of the given data."""
    return made(args or (0,), self.dtype, device or self.device)


# -- memory ----------------------------------------------------------------------------------------


class UntypedStorage:
    """The bytes behind a tensor and its views; `UntypedStorage(n)` are n new ones."""

    def __init__(self, tensor: Tensor | int = 0) -> None:
        if isinstance(tensor, int):
            tensor = creation.empty(tensor, dtype=dtypes.uint8)
        if tensor.is_sparse:
            raise refusal("storage", tensor.shape)
        self._owner = tensor if tensor._base is None else tensor._base
        self.device = tensor.device

    def nbytes(self) -> int:
        """How many bytes there are."""
        is_part = self._owner._base is not None  # of a storage
        count = self._owner.numel() if is_part else storage_length(self._owner)
        return count * self._owner.itemsize

    def untyped(self) -> UntypedStorage:
        """The bytes themselves."""
        return self if type(self) is UntypedStorage else UntypedStorage(self._owner)

    _untyped = untyped

    size = __len__ = nbytes

    @classmethod
    def from_file(cls, filename: Any, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The bytes of a file, all or the first `nbytes`, read when they are used; if `shared`,
        writes go to the file, else they stay here."""
        mode: Any = "r+" if shared else "c"
        return cls(creation.from_numpy(np.memmap(filename, np.uint8, mode, shape=nbytes or None)))

    def _bytes(self) -> Tensor:
        """All of them, in one dimension."""
        whole = self._owner.detach()
        if whole.dtype is dtypes.uint8 and whole.ndim == 1:
            return whole
        return whole.as_strided((storage_length(whole),), (1,)).view(dtypes.uint8)

    def __getitem__(self, where: int | slice) -> Any:
        found = self._bytes()[where]
        if not isinstance(where, slice):
            return found.item()
        part = UntypedStorage()
        part._owner, part.device = found, found.device
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self._bytes().numpy(), dtype=dtype)

    def data_ptr(self) -> int:
        """Address of the first one."""
        return self._owner.data_ptr()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and self.data_ptr() == other.data_ptr()

    __hash__ = object.__hash__


class TypedStorage(UntypedStorage):
    """The elements behind a tensor and its views."""

    def size(self) -> int:
        """How many elements there are."""
        return storage_length(self._owner)

    __len__ = size

    def tolist(self) -> list[Any]:
        """The elements as Python numbers."""
        n = self.size()
        return creation.as_tensor(self._owner.detach().as_strided((n,), (1,))).tolist()


def untyped_storage(self: Tensor) -> UntypedStorage:
    """The bytes behind this tensor."""
    return UntypedStorage(self)


def storage(self: Tensor) -> TypedStorage:
    """The elements behind this tensor."""
    return TypedStorage(self)


@guarded
def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Give this tensor other sizes: elements beyond the old ones are new memory.

    Raises: RuntimeError for a tensor that requires a gradient.
    """
    if self.requires_grad:
        raise RuntimeError("resize_: expected a tensor that requires no gradient. Use reshape.")
    shape = sizes_of(sizes)
    if any(n < 0 for n in shape):
        raise ShapeError(f"resize_: expected no negative sizes. Got {shape}.")
    count = math.prod(shape)
    if self.is_meta:
        self._array = Spec(shape, self.dtype)
        return self
    reveal(self)
    held = storage_length(self) - self.storage_offset()
    xp = self._key.backend.xp
    if count <= held:
        if self._base is None:  # what lies beyond stays ours, for when it grows again
            self._base = wrap(self._array, self._key)
            self._base._writes = self._writes
        self._array = xp.lib.stride_tricks.as_strided(
            self._array, shape, tuple(s * self.itemsize for s in contiguous_strides(shape))
        )
    else:
        grown = xp.zeros(count, self.dtype.numpy)
        line = xp.lib.stride_tricks.as_strided(self._array, (held,), (self.itemsize,))
        grown[:held] = line
        self._array = grown.reshape(shape)
        self._base, self._writes = None, [0]
    return self


def resize_as_(self: Tensor, the_template: Tensor, memory_format: Any = None) -> Tensor:
    """`resize_` to the sizes of another tensor."""
    return resize_(self, tuple(the_template.shape))


def empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, device: Any = None, layout: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """An uninitialized tensor with the given strides, in elements.

    Raises: RuntimeError for another number of strides than sizes, or negative ones.
    """
    shape, steps = creation.sizes((size,)), tuple(stride)
    if len(shape) != len(steps) or any(s < 0 for s in steps):
        raise ShapeError(
            f"empty_strided: expected {len(shape)} strides of at least 0 for size {shape}. Got "
            f"{steps}."
        )
    key = creation.key_for(dtype, device)
    if key.device.type == "meta":
        return wrap(Spec(shape, key.dtype, steps), key)
    length = (
        1 + sum((n - 1) * s for n, s in zip(shape, steps, strict=True)) if 0 not in shape else 0
    )
    xp = key.backend.xp
    strides = tuple(s * key.dtype.itemsize for s in steps)
    with key.guard:
        memory = xp.empty(max(length, 1), key.dtype.numpy)
        out = wrap(xp.lib.stride_tricks.as_strided(memory, shape, strides), key)
    return out.requires_grad_(requires_grad)


def empty_permuted(size: Any, physical_layout: Any, **options: Any) -> Tensor:
    """An uninitialized tensor whose dimensions lie in memory in the order `physical_layout`."""
    shape = tuple(size)
    if sorted(physical_layout) != list(range(len(shape))):
        raise RuntimeError(
            f"empty_permuted: expected each of {len(shape)} dimensions once. Got {physical_layout}."
        )
    steps, step = [0] * len(shape), 1
    for d in reversed(tuple(physical_layout)):
        steps[d] = step
        step *= max(shape[d], 1)
    return empty_strided(shape, steps, **options)


def new_empty_strided(self: Tensor, size: Any, stride: Any, **options: Any) -> Tensor:
    """`empty_strided` of this tensor's dtype and device."""
    return empty_strided(size, stride, **{"dtype": self.dtype, "device": self.device, **options})


def frombuffer(
    buffer: Any, *, dtype: dtypes.dtype, count: int = -1, offset: int = 0,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The bytes of `buffer` from `offset` on as a vector of `dtype`, without a copy."""
    values = np.frombuffer(buffer, dtype.numpy, count, offset)
    out = wrap(values, key_of(creation.place_of("cpu"), dtype))
    return out.requires_grad_(requires_grad)


# -- the rest --------------------------------------------------------------------------------------


def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write `fill_value` on the main diagonal; of tall matrices again and again with `wrap`."""
    check_writable(self, "fill_diagonal_")
    if self.ndim < 2:
        raise ShapeError(f"fill_diagonal_: expected dimensions. Got {tuple(self.shape)}.")
    n = min(self.shape)
    if self.ndim == 2 and wrap and self.shape[0] > self.shape[1]:
        step = self.shape[1] + 1
        for start in range(0, self.shape[0], step):
            diagonal(self[start:]).fill_(fill_value)
        return self
    for k in range(n) if self.ndim > 2 else ():
        self[(k,) * self.ndim] = fill_value
    if self.ndim == 2:
        diagonal(self).fill_(fill_value)
    return self


@slicewise
@guarded
def frexp(input: Tensor) -> Any:
    """Mantissas in [0.5, 1) and exponents (int32) with input = mantissa * 2**exponent."""
    if input.is_meta:
        return input.clone(), input.new_empty(input.shape, dtype=dtypes.int32)
    xp = input._key.backend.xp
    _, exponent = xp.frexp(input.detach()._array)
    powers = wrap(xp.asarray(exponent, xp.int32), key_of(input.device, dtypes.int32))
    scale = wrap(xp.ldexp(xp.ones_like(input._array), -exponent), input._key)
    return input * scale, powers


def itself(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor: memory is not pinned or shared by request here."""
    return self


def no(self: Tensor, *args: Any, **kwargs: Any) -> bool:
    """False."""
    return False


def zero_(input: Tensor) -> Tensor:
    """Write 0 everywhere."""
    return input.zero_()


def fill_(input: Tensor, value: Any) -> Tensor:
    """Write `value` everywhere."""
    return input.fill_(value)


def apply_(self: Tensor, callable: Any) -> Tensor:
    """Replace each element by `callable(element)`. Slow: one Python call each."""
    values = np.vectorize(callable, otypes=[self.dtype.numpy])(self.numpy_values())
    write(self, creation.as_tensor(values, device=self.device)._array, "apply_")
    return self


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    return tuple(input.shape) == tuple(other.shape)


def array_wrap(
    self: Tensor, array: Any, context: Any = None, return_scalar: bool = False
) -> Tensor:
    """What a NumPy function made of this tensor, as a tensor again."""
    return creation.as_tensor(np.asarray(array))


def dlpack(self: Tensor, **options: Any) -> Any:
    """The memory as a DLPack capsule, without a copy.

    Raises: BufferError for a tensor that requires a gradient.
    """
    if self.requires_grad:
        raise BufferError("__dlpack__: expected a tensor that requires no gradient. Use detach().")
    if self.is_sparse:
        raise refusal("__dlpack__", self.shape)
    expose(reveal(self))
    with self._key.guard:  # whose stream is asked
        return self._array.__dlpack__(**options)


def dlpack_device(self: Tensor) -> tuple[int, int]:
    """The kind and number of the device, as DLPack counts them."""
    if self.is_sparse:
        raise refusal("__dlpack_device__", self.shape)
    return self._array.__dlpack_device__()


def cuda_array_interface(self: Tensor) -> dict[str, Any]:
    """How libraries for GPUs find the memory of a tensor: `cupy.asarray(tensor)`.

    Raises: AttributeError for a tensor that is not on a GPU, RuntimeError for one that requires a
    gradient.
    """
    if not self.is_cuda or self.is_sparse:
        raise AttributeError(
            f"__cuda_array_interface__: expected a dense tensor on a GPU. Got one on {self.device}."
        )
    if self.requires_grad:
        raise RuntimeError(
            "__cuda_array_interface__: expected a tensor that requires no gradient. Use detach()."
        )
    with self._key.guard:  # whose stream is told
        self._shows_address = True
        return self._array.__cuda_array_interface__


class _Capsule:
    """A bare DLPack capsule as an object with the protocol's methods."""

    def __init__(self, capsule: Any) -> None:
        if type(capsule).__name__ != "PyCapsule":
            raise TypeError(
                "from_dlpack: expected an object with __dlpack__, or a capsule. Got "
                f"{type(capsule).__name__}."
            )
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor that shares the memory of an object with `__dlpack__`, or of a DLPack capsule in
    the CPU's memory."""
    if not hasattr(ext_tensor, "__dlpack__"):
        ext_tensor = _Capsule(ext_tensor)
    if ext_tensor.__dlpack_device__()[0] == 1:
        return creation.from_numpy(np.from_dlpack(ext_tensor))
    xp = key_of(creation.place_of("cuda"), dtypes.float32).backend.xp
    array = xp.from_dlpack(ext_tensor)
    place = creation.place_of(f"cuda:{array.device.id}")
    return wrap(array, key_of(place, dtypes.from_numpy(array.dtype)))


METHODS = {
    "new": new, "storage": storage, "untyped_storage": untyped_storage, "resize_": resize_,
    "resize_as_": resize_as_, "new_empty_strided": new_empty_strided,
    "fill_diagonal_": fill_diagonal_, "frexp": frexp, "is_inference": no,
    "apply_": apply_, "is_same_size": is_same_size,
    "__cuda_array_interface__": property(cuda_array_interface),
    "__array_wrap__": array_wrap, "__dlpack__": dlpack, "__dlpack_device__": dlpack_device,
    "share_memory_": share_memory_, "is_shared": is_shared,
    "names": property(lambda self: (None,) * self.ndim),
}  # fmt: skip
for _name, _member in METHODS.items():
    setattr(Tensor, _name, _member)
