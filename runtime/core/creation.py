"""Making tensors: from data, and filled with constants or ranges."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ..errors import LayoutError
from . import dtypes, layouts, sparse_arrays
from .batched import BatchedArray
from .devices import device as Device
from .dispatch import DispatchKey, backends, key_of
from .exposure import expose
from .spec import Spec
from .tensor import Tensor, wrap

__all__ = [
    "as_tensor", "asarray", "empty", "empty_like", "eye", "from_numpy", "full", "full_like",
    "get_default_device", "ones", "ones_like", "scalar_tensor",
    "set_default_device", "tensor", "zeros", "zeros_like",
]  # fmt: skip

_default_device = Device("cpu")


class _Chosen(threading.local):
    """The device that a `with torch.device(...)` block of this thread chose."""

    place: Device | None = None


_chosen = _Chosen()


def choose_device(place: Device | None) -> Device | None:
    """Make new tensors of this thread on `place` (None for the default), and return what was chosen
    before. Raises: DeviceError if it is not there."""
    before = _chosen.place
    _chosen.place = None if place is None else backends[place.type].check(place)
    return before


def get_default_device() -> Device:
    """Where new tensors are made unless told otherwise."""
    return _chosen.place or _default_device


def set_default_device(device: Any) -> None:
    """Make new tensors on `device` unless told otherwise. Raises: DeviceError if it is not
    there."""
    global _default_device
    _default_device = place_of(Device("cpu") if device is None else device)


def place_of(device: Any) -> Device:
    """`device` (a device, a name, a GPU's number or None for the default) as one that is there."""
    if device is None:
        return _chosen.place or _default_device
    found = device if isinstance(device, Device) else Device(device)
    return backends[found.type].check(found)


def key_for(dtype: dtypes.dtype | None, device: Any) -> DispatchKey:
    """The key of `dtype` (default: the default floating type) on `device` (default: the
    default)."""
    dtype = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    return key_of(place_of(device), dtype)


def sizes(size: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence. Raises: RuntimeError if one is negative."""
    if len(size) == 1 and not isinstance(size[0], int) and hasattr(size[0], "__iter__"):
        size = tuple(size[0])
    try:
        shape = tuple([n.__index__() for n in size])
    except (AttributeError, TypeError):
        raise TypeError(f"Expected sizes that are ints. Got {size!r}.") from None
    if any(n < 0 for n in shape):
        raise RuntimeError(f"Expected sizes that are not negative. Got {shape}.")
    return shape


def _place(array: Any, key: DispatchKey, requires_grad: bool = False) -> Tensor:
    """A tensor of the NumPy array's values where `key` says."""
    if key.device.type != "cpu":
        array = key.backend.as_array(array, key.dtype, key.device.index)
    out = wrap(array, key)
    if requires_grad:
        out.requires_grad = True
    return out


# -- from data -------------------------------------------------------------------------------------


def _nested_tensors(data: Any) -> Any:
    """Lists with tensors in them as lists of numbers; anything else as it is."""
    if isinstance(data, Tensor):
        return data.numpy_values()
    if not isinstance(data, list | tuple) or set(map(type, data)) <= _NUMBERS:
        return data
    if any(isinstance(d, Tensor | list | tuple) for d in data):
        return [_nested_tensors(d) for d in data]
    return data


_NUMBERS = {bool, int, float, complex}


def _array_of(data: Any, dtype: dtypes.dtype | None) -> np.ndarray[Any, Any]:
    """`data` as a NumPy array of the dtype PyTorch infers: floats become the default type."""
    dtype = dtypes.as_dtype(dtype)
    python = not isinstance(data, np.ndarray | np.generic)
    try:
        array = np.asarray(_nested_tensors(data))
    except ValueError as error:
        raise ValueError(
            "tensor: expected nested lists of equal lengths, of numbers. Got uneven ones "
            f"({error})."
        ) from None
    if array.dtype.kind in "OUSV" and array.dtype not in (d.numpy for d in dtypes.ALL):
        raise TypeError(
            f"tensor: expected numbers, bools, or nested lists or arrays of them. Got "
            f"{type(data).__name__} with elements of {_odd_one(data)}."
        )
    if python and array.dtype == np.uint64 and dtype is None:
        raise ValueError("tensor: expected integers that fit into 64 bits. Got larger ones.")
    if dtype is not None:
        if python and array.size and dtype.category == dtypes.INTEGER and array.dtype.kind in "iuf":
            dtypes.require_fitting(array.min(), array.max(), dtype)
        return array.astype(dtype.numpy, copy=False)
    if python and array.dtype.kind == "f" and not _has_numpy(data):
        return array.astype(dtypes.get_default_dtype().numpy)
    if python and array.dtype.kind == "c":
        return array.astype(dtypes.get_default_dtype().to_complex().numpy)
    if array.size == 0 and python:
        return array.astype(dtypes.get_default_dtype().numpy)
    return array


def _of_gpu(data: Any) -> Any:
    """An array of a GPU library as a tensor of the same memory; anything else as it is."""
    if isinstance(data, Tensor | list | tuple | int | float | np.ndarray):
        return data
    if not hasattr(data, "__cuda_array_interface__"):
        return data
    array = backends["cuda"].xp.asarray(data)
    place = place_of(f"cuda:{array.data.device_id}")
    return wrap(array, key_of(place, dtypes.from_numpy(array.dtype)))


def _has_numpy(data: Any) -> bool:
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return isinstance(data, np.ndarray | np.generic | Tensor)


def _odd_one(data: Any) -> str:
    while isinstance(data, list | tuple) and data:
        data = next((d for d in data if not isinstance(d, int | float | complex)), data[0])
    return type(data).__name__


def tensor(
    data: Any,
    *,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of a copy of `data`: numbers, nested lists, or arrays.

    Python floats become the default floating type, ints int64, bools bool; arrays keep their dtype.
    Raises: ValueError for uneven lists, TypeError for what is no number.

    Example:
        >>> torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        tensor([[1., 2.],
                [3., 4.]])
    """
    data = _of_gpu(data)
    if isinstance(data, Tensor):
        out = data.detach().clone().to(place_of(device) if device is not None else data.device)
        out = out if dtype is None else out.to(dtype)
        out.requires_grad = requires_grad
        return out
    array = _array_of(data, dtype)
    key = key_for(dtypes.from_numpy(array.dtype), device)
    if not isinstance(data, list | tuple | int | float):
        array = np.array(array)
    return _place(array, key, requires_grad)


def as_tensor(data: Any, dtype: dtypes.dtype | None = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory with a tensor, a NumPy array or an array of a GPU library
    (with `__cuda_array_interface__`) where dtype and device allow."""
    data = _of_gpu(data)
    if isinstance(data, Tensor):
        return data.to(data.device if device is None else device, dtype or data.dtype)
    array = _array_of(data, dtype)
    expose(array)
    return _place(array, key_for(dtypes.from_numpy(array.dtype), device))


def asarray(
    obj: Any,
    *,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool | None = None,
) -> Tensor:
    """`obj` (a tensor, array, buffer, number or nested list) as a tensor: with memory of its own if
    `copy`, sharing it if False, as it comes if None; a tensor keeps its graph unless
    `requires_grad` is given.

    Raises: ValueError if the memory cannot be shared but must.
    """
    obj = _of_gpu(obj)
    found = as_tensor(obj, dtype, device)
    shares = found is obj or (
        isinstance(obj, Tensor | np.ndarray) and found.data_ptr() == _address(obj)
    )
    if copy is False and not shares:
        raise ValueError(
            f"asarray: expected an object whose memory a tensor of {found.dtype} on {found.device} "
            f"can share. Got {type(obj).__name__}. Leave out copy=False."
        )
    found = found.clone() if copy and shares else found
    if requires_grad is None or requires_grad == found.requires_grad:
        return found
    return found.detach().requires_grad_(requires_grad)


def _address(obj: Any) -> int:
    return obj.data_ptr() if isinstance(obj, Tensor) else int(obj.ctypes.data)


def from_numpy(ndarray: Any) -> Tensor:
    """A tensor that shares the memory of a NumPy array: a change to one changes both.

    Raises: TypeError for another object or a dtype without counterpart; ValueError for negative
    strides.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array. Got {type(ndarray).__name__}.")
    if min(ndarray.strides, default=0) < 0:
        raise ValueError(
            "from_numpy: expected an array without negative strides. Got strides "
            f"{ndarray.strides}. Pass array.copy()."
        )
    expose(ndarray)
    key = _keys_of_arrays.get(ndarray.dtype)
    if key is None:
        key = key_of(Device("cpu"), dtypes.from_numpy(ndarray.dtype))
        _keys_of_arrays[ndarray.dtype] = key
    return wrap(ndarray, key)


_keys_of_arrays: dict[Any, DispatchKey] = {}
"""The CPU's keys by NumPy's dtypes."""


def legacy_constructor(cls: type[Tensor], *args: Any, device: Any = None) -> Tensor:
    """`torch.Tensor(2, 3)` is uninitialized of those sizes, `torch.Tensor([2, 3])` is a copy of
    data; of a tensor of the default dtype it is another leaf over the same memory."""
    given: Any = args[0] if len(args) == 1 else None
    if isinstance(given, Tensor) and given.dtype is dtypes.get_default_dtype():
        out: Any = given.detach()
    elif len(args) == 1 and not isinstance(given, int):
        out = tensor(given, dtype=dtypes.get_default_dtype(), device=device)
    else:
        out = empty(*args, device=device) if args else empty(0, device=device)
    out.__class__ = cls
    return out


# -- constants -------------------------------------------------------------------------------------


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of `size` filled with `fill_value`; its dtype follows the value unless given.

    Raises: TypeError for a size that is no sequence.
    """
    if layout not in (None, layouts.strided):
        raise LayoutError(f"full: expected layout torch.strided. Got {layout}.")
    if isinstance(size, int):
        raise TypeError(f"full: expected a tuple of ints as size. Got {size}. Use ({size},).")
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    key = key_for(dtypes.of_number(fill_value) if dtype is None else dtype, device)
    return _filled(sizes((size,)), fill_value, key, requires_grad)


def _filled(
    shape: tuple[int, ...],
    value: Any,
    key: DispatchKey,
    requires_grad: bool,
    order: layouts.Permutation | None = None,
) -> Tensor:
    """A tensor of `value` whose dimensions lie in memory in `order`: row-major unless given."""
    if key.device.type == "meta":
        strides = None if order is None else layouts.strides_of(order, shape)
        return _place(Spec(shape, key.dtype, strides), key, requires_grad)
    if key.dtype.category == dtypes.INTEGER and value:
        dtypes.require_fitting(value, value, key.dtype)
        value = dtypes.wrapped(value, key.dtype)
    xp = key.backend.xp
    if order is not None:
        with key.guard:
            out = wrap(layouts.empty_in_order(xp, shape, key.dtype.numpy, order), key)
            if value is not None:
                out._array.fill(value)
        out.requires_grad = requires_grad
        return out
    if key.device.type == "cuda":
        with key.guard:
            array = xp.empty(shape, key.dtype.numpy)
            if value is not None:
                array.fill(value)
    elif value is None:
        array = xp.empty(shape, key.dtype.numpy)
    elif value == 0:
        array = xp.zeros(shape, key.dtype.numpy)
    else:
        array = xp.full(shape, value, key.dtype.numpy)
    out = wrap(array, key)
    if requires_grad:
        out.requires_grad = True
    return out


def order_like(input: Tensor, memory_format: Any = None) -> layouts.Permutation | None:
    """The order in memory of what is made like `input`, in its own order unless a format is given;
    None if row-major."""
    if sparse_arrays.in_use and input._array.__class__ is sparse_arrays.SparseArray:
        raise sparse_arrays.refusal("filling a tensor like it", input.shape)
    format = layouts.preserve_format if memory_format is None else memory_format
    if input._key.level or (format is layouts.preserve_format and input.is_contiguous()):
        return None
    return layouts.order_of(format, input.shape, input.stride())


def _filler(name: str, value: Any, doc: str) -> Any:
    def filled(
        *shape: Any,
        size: Any = None,
        dtype: dtypes.dtype | None = None,
        device: Any = None,
        requires_grad: bool = False,
        layout: Any = None,
        pin_memory: bool = False,
        memory_format: Any = None,
    ) -> Tensor:
        shape = sizes(shape if size is None else (size,))
        if layout not in (None, layouts.strided):
            return _sparse(name, shape, key_for(dtype, device), layout, requires_grad)
        order = None if memory_format is None else layouts.order_of(memory_format, shape)
        return _filled(shape, value, key_for(dtype, device), requires_grad, order)

    def filled_like(
        input: Tensor,
        *,
        dtype: dtypes.dtype | None = None,
        device: Any = None,
        requires_grad: bool = False,
        layout: Any = None,
        pin_memory: bool = False,
        memory_format: Any = None,
    ) -> Tensor:
        key = key_of(
            input.device if device is None else place_of(device),
            dtypes.as_dtype(dtype) or input.dtype,
        )
        if layout is None and input._array.__class__ is sparse_arrays.SparseArray:
            layout = layouts.sparse_coo
        if layout not in (None, layouts.strided):
            depth = getattr(input._array, "sparse_dim", None)
            return _sparse(name, tuple(input.shape), key, layout, requires_grad, depth)
        order = order_like(input, memory_format)
        made = _filled(tuple(input.shape), value, key, requires_grad, order)
        return for_slices(made, input)

    filled.__name__ = filled.__qualname__ = name
    filled_like.__name__ = filled_like.__qualname__ = f"{name}_like"
    filled.__doc__ = f"A tensor of {doc}, of the given sizes."
    filled_like.__doc__ = f"A tensor of {doc}, with the shape, dtype and device of input."
    return filled, filled_like


def _sparse(
    name: str,
    shape: tuple[int, ...],
    key: DispatchKey,
    layout: Any,
    requires_grad: bool,
    depth: int | None = None,
) -> Tensor:
    """An empty sparse tensor. Raises: LayoutError for ones, or another layout than sparse_coo."""
    if name == "ones" or layout is not layouts.sparse_coo:
        raise LayoutError(
            f"{name}: expected layout torch.strided, or torch.sparse_coo for zeros. Got {layout}."
        )
    out: Tensor = sparse_arrays.rules["empty"](shape, key, depth)
    out.requires_grad = requires_grad
    return out


zeros, zeros_like = _filler("zeros", 0, "zeros")
ones, ones_like = _filler("ones", 1, "ones")
empty, empty_like = _filler("empty", None, "whatever the memory held")


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor filled with `fill_value`, with the shape, dtype and device of input."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    key = key_of(
        input.device if device is None else place_of(device), dtypes.as_dtype(dtype) or input.dtype
    )
    order = order_like(input, memory_format)
    made = _filled(tuple(input.shape), fill_value, key, requires_grad, order)
    return for_slices(made, input)


def for_slices(made: Tensor, like: Tensor) -> Tensor:
    """`made`, which inside `vmap` gets memory for each slice if `like` has it: to be written."""
    if not like._key.level or made._key.level:
        return made
    levels = []
    array, wide = like._array, made.detach()
    while array.__class__ is BatchedArray:
        if array.is_batched:
            length = array.value.shape[0]
            wide = wide.unsqueeze(0).expand(length, *wide.shape)
        levels.append((array.level, array.is_batched))
        array = array.value
    result = wide.clone()._array
    for level, is_batched in reversed(levels):
        result = BatchedArray(result, level, is_batched)
    out = wrap(result, like._key.of_array(result))
    out.requires_grad = made.requires_grad
    return out


def scalar_tensor(
    s: Any,
    *,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """A 0-d tensor of the number `s`."""
    dtype = dtype or dtypes.get_default_dtype()
    return full((), s, dtype=dtype, device=device, requires_grad=requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """The n x m matrix with ones on its diagonal; square without m."""
    if layout not in (None, layouts.strided):
        raise LayoutError(
            f"eye: expected layout torch.strided. Got {layout}. Use torch.eye(n).to_sparse()."
        )
    if n < 0 or (m is not None and m < 0):
        raise RuntimeError(f"eye: expected sizes of at least 0. Got {n} and {m}.")
    key = key_for(dtype, device)
    if key.device.type == "meta":
        return _filled((n, n if m is None else m), None, key, requires_grad)
    return _place(np.eye(n, m, dtype=key.dtype.numpy), key, requires_grad)
