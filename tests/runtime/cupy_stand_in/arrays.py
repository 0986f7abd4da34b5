"""Arrays "on the GPU": NumPy's, in memory of the stand-in's allocator."""

from __future__ import annotations

import ctypes
import operator
import sys
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from . import memory, streams
from .interface import checked
from .memory import POISON, Bytes, MemoryPointer, current

METHODS = """
all any argmax argmin argsort astype clip copy cumprod cumsum diagonal dot fill flatten max mean min
nonzero prod ravel repeat reshape round sort squeeze std sum swapaxes take trace transpose var view
""".split()
ATTRIBUTES = """
T dtype imag itemsize mT nbytes ndim real shape size strides
""".split()
IN_PLACE = ("fill", "sort")
"""Methods that change the array."""


class Flags(NamedTuple):
    """What CuPy tells of how an array lies."""

    c_contiguous: bool
    f_contiguous: bool
    owndata: bool


class _ndarray_base:
    """What CuPy has in Cython: an array is made by `_init`, past Python code that does no more."""

    def _init(self, shape: Any, dtype: Any, memptr: Any) -> None:
        """As the runtime calls it: with memory that is new."""
        self._lie(shape, dtype, memptr, is_new=True)

    def _lie(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None,
        order: str = "C", is_new: bool = False,
    ) -> None:  # fmt: skip
        dtype = np.dtype(dtype)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        pointer = memory.alloc(size) if memptr is None else memptr
        whole = max(size, _extent(shape, strides, dtype)) if memptr is not None else size
        is_new = (is_new or memptr is None) and streams.capturing() is None
        self._adopt(_shown(pointer, whole, shape, dtype, strides, order, is_new), pointer)

    @property
    def _c_contiguous(self) -> bool:
        return bool(self._host.flags.c_contiguous)

    def _adopt(self, array: Any, pointer: MemoryPointer) -> None:
        self._host, self.data = array, pointer
        pointer._array = array.shape, array.strides, array.itemsize
        self.base: ndarray | None = None
        root = _root(array)
        if isinstance(root, Bytes):
            root.owner = weakref.ref(self)


class ndarray(_ndarray_base):
    """An array "on the GPU"."""

    __array_priority__ = 100

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None,
        order: str = "C",
    ) -> None:  # fmt: skip
        self._lie(shape, dtype, memptr, strides, order)

    @classmethod
    def of(cls, array: Any, is_new: bool = False) -> ndarray:
        """An array that shows what `array` does, which NumPy made: in memory of its own, unless it
        is a view of another's. With `is_new` the values are left out."""
        root = _root(array)
        made = cls.__new__(cls)
        if isinstance(root, Bytes):
            made._host = array
            start = array.ctypes.data - root.pointer.mem.ptr if array.size else 0
            made.data = MemoryPointer(root.pointer.mem, start)
            made.data._array = array.shape, array.strides, array.itemsize
            made.base = root.owner() if root.owner is not None else None
            return made
        pointer = memory.alloc(array.nbytes)
        strides = _packed(array)
        shown = _shown(pointer, array.nbytes, array.shape, array.dtype, strides, "C", is_new)
        made._adopt(shown, pointer)
        if not is_new and streams.capturing() is None:
            shown[...] = array
        return made

    @property
    def flags(self) -> Flags:
        """How it lies; CuPy has no `writeable`, all arrays are."""
        own = self._host.flags
        return Flags(own.c_contiguous, own.f_contiguous, own.owndata)

    @property
    def device(self) -> Any:
        """The device it is on."""
        return streams.Device(self.data.device_id)

    def get(
        self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True
    ) -> Any:
        """A copy as a NumPy array."""
        streams.refuse_transfer("D2H transfers")
        if out is None:
            return self._host.copy()
        queue, kept = stream or streams.get_current_stream(), self._host.copy()
        queue.later(lambda: np.copyto(out, kept))
        if blocking:
            queue.flush()
        return out

    def set(self, arr: Any, stream: Any = None) -> None:
        """Fill it from a NumPy array."""
        streams.refuse_transfer("synchronous API calls")
        _fill(self)
        self._host[...] = arr

    def item(self, *index: Any) -> Any:
        """The element as a Python number."""
        streams.refuse_transfer("D2H transfers")
        return self._host.item(*index)

    def tolist(self) -> Any:
        """The elements as nested lists."""
        streams.refuse_transfer("D2H transfers")
        return self._host.tolist()

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use .get().")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        found = getattr(sys.modules["cupy"], ufunc.__name__, None)
        if method != "__call__" or found is None:
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return found(*inputs, **kwargs)

    def __dlpack__(self, **options: Any) -> Any:
        return _Capsule(self)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.data.device_id

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """How other libraries find its memory."""
        return {
            "shape": self.shape, "typestr": self.dtype.str, "strides": self.strides, "version": 3,
            "data": (self.data.ptr, False), "stream": streams.get_current_stream().ptr or 1,
            "descr": self.dtype.descr,
        }  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        if name in ATTRIBUTES:
            return guest(getattr(self._host, name))
        if name in METHODS:
            return self._method(name)
        raise AttributeError(f"cupy.ndarray has no {name!r} in this stand-in")

    def _method(self, name: str) -> Any:
        def call(array: Any, *args: Any, **kwargs: Any) -> Any:
            return getattr(array, name)(*args, **kwargs)

        call.__name__ = name
        changed = self if name in IN_PLACE else None
        accepted = checked(f"cupy.ndarray.{name}", lambda *args, **kwargs: None)

        def method(*args: Any, **kwargs: Any) -> Any:
            accepted(*args, **kwargs)
            made = run(call, self, *args, changed=changed, **kwargs)
            return None if changed is not None else made

        return method

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("real", "imag"):
            run(lambda array, given: setattr(array, name, given), self, value, changed=self)
        elif name in ("_host", "data", "base"):
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(f"cupy.ndarray.{name} is not set here")

    def __getitem__(self, index: Any) -> Any:
        return run(_item, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        run(_set_item, self, index, value, changed=self)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return map(guest, self._host)

    def __bool__(self) -> bool:
        return bool(self.item() if self.size == 1 else self._host)

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())


def _wrapped(array: Any, index: Any) -> Any:
    """Integer arrays that index the first dimensions, counted around their ends as CuPy does."""
    places = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(p, np.ndarray) and p.dtype.kind in "iu" for p in places):
        return index
    return tuple(p % max(n, 1) for p, n in zip(places, array.shape, strict=False))


def _item(array: Any, index: Any) -> Any:
    return array[_wrapped(array, index)]


def _set_item(array: Any, index: Any, value: Any) -> None:
    array[_wrapped(array, index)] = value


class _Capsule:
    """What stands for a DLPack capsule, which cannot be made without C."""

    def __init__(self, array: ndarray) -> None:
        self.array = array


def from_dlpack(array: Any, *, device: Any = None, copy: Any = None) -> ndarray:
    """An array of the memory that another object offers."""
    found = array.__dlpack__()
    made = ndarray.of(found.array._host)
    return made.copy() if copy else made  # type: ignore[no-any-return]


def _root(array: Any) -> Any:
    """What the memory of a NumPy array belongs to."""
    while not isinstance(array, Bytes) and getattr(array, "base", None) is not None:
        array = array.base  # of `as_strided`, an object that is no array
    return array


def _fill(array: Any) -> None:
    """Note that the array's memory holds something from now on."""
    root = _root(array._host) if isinstance(array, ndarray) else None
    if isinstance(root, Bytes):
        root.written = None


def _extent(shape: Any, strides: Any, dtype: Any) -> int:
    if strides is None or 0 in shape:
        return 0
    return int(sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + dtype.itemsize)


def _shown(
    pointer: MemoryPointer, size: int, shape: Any, dtype: Any, strides: Any, order: str,
    is_new: bool = False,
) -> Any:  # fmt: skip
    """The NumPy array of a pointer's memory, filled with poison if it is new."""
    if not size:
        return np.empty(shape, dtype)
    is_new = is_new and memory.ledger is None  # which leaves memory untouched
    held = np.asarray(Bytes(pointer, size, is_new))
    if is_new:
        held[...] = POISON
    return np.ndarray(shape, dtype, held, strides=strides, order=order)  # type: ignore[call-overload]


def _packed(array: Any) -> Any:
    """The strides of an array's elements without gaps, in its order."""
    return np.empty_like(array).strides if array.size else None


def host(value: Any) -> Any:
    """`value` for NumPy. Raises: TypeError for a NumPy array and ValueError for one of another
    device, as CuPy does."""
    if isinstance(value, ndarray):
        place = value.data.device_id if value._host.nbytes else current.device
        if place != current.device:
            raise ValueError(
                f"Array device must be same as the current device: array device = {place} while "
                f"current = {current.device}"
            )
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, tuple | list):
        return type(value)(map(host, value))
    return value


def guest(value: Any) -> Any:
    """NumPy's result as CuPy gives it: elements are 0-d arrays."""
    if isinstance(value, np.ndarray | np.generic):
        return ndarray.of(np.asarray(value))
    if isinstance(value, tuple | list) and any(isinstance(v, np.ndarray) for v in value):
        return [*map(guest, value)] if isinstance(value, list) else tuple(map(guest, value))
    return value


def run(function: Callable[..., Any], *args: Any, changed: Any = None, **kwargs: Any) -> Any:
    """`function` of NumPy on arrays of the stand-in; a kernel that changes the array `changed`, or
    makes a new one. While a graph is captured it is kept, and new arrays hold no values yet."""
    if memory.ledger is not None:
        return memory.ledger.run(function, args, kwargs, changed)
    for array in _listed(() if changed is None else changed):
        _fill(array)
    given = [host(value) for value in args]
    options = {name: host(value) for name, value in kwargs.items()}
    kept = streams.capturing()
    if kept is None:
        result = function(*given, **options)
        if function in (np.empty, np.empty_like):
            return ndarray.of(result, is_new=True)
        return guest(result) if changed is None else changed
    if changed is not None:
        kept.append(partial(function, *map(_at_address, given), **options))
        return changed
    try:
        made = guest(function(*given, **options))
    except IndexError:  # indices hold no values yet
        made = guest(function(*map(_zeros, given), **options))
    new = [a for a in _listed(made) if isinstance(a, ndarray) and a.base is None]
    if new:
        which = [k for k, a in enumerate(_listed(made)) if any(a is n for n in new)]
        places = [_at_address(a._host) for a in new]
        kept.append(partial(_again, function, [*map(_at_address, given)], options, which, places))
    return made


def _again(
    function: Any, given: list[Any], options: dict[str, Any], which: list[int], places: list[Any]
) -> None:
    """Compute new arrays once more, where they were."""
    results = _listed(function(*given, **options))
    for k, place in zip(which, places, strict=True):
        place[...] = results[k]


def _at_address(value: Any) -> Any:
    """An array as a graph knows it: by its address, whoever's memory that is now."""
    if isinstance(value, tuple | list):
        return type(value)(map(_at_address, value))
    if not isinstance(value, np.ndarray) or not value.nbytes:
        return value
    before = sum(min(0, (n - 1) * s) for n, s in zip(value.shape, value.strides, strict=True))
    behind = sum(max(0, (n - 1) * s) for n, s in zip(value.shape, value.strides, strict=True))
    size = behind - before + value.itemsize
    held = (ctypes.c_char * size).from_address(value.ctypes.data + before)
    return np.ndarray(value.shape, value.dtype, held, -before, value.strides)


def _zeros(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(map(_zeros, value))
    return np.zeros_like(value) if isinstance(value, np.ndarray) else value


def _listed(value: Any) -> Any:
    return value if isinstance(value, tuple | list) else [value]


def _operator(name: str) -> Any:
    """An operator, which in CuPy is a ufunc where there is one."""
    in_place = name.startswith("i") and name not in ("invert",)
    plain = name[1:] if in_place else name
    ufunc = UFUNC_OF[plain]

    def method(self: ndarray, *others: Any) -> Any:
        if any(isinstance(o, np.ndarray) for o in others):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        function = getattr(sys.modules["cupy"], ufunc)
        return function(self, *others, self) if in_place else function(self, *others)

    return method


def _reflected(name: str) -> Any:
    def method(self: ndarray, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        return getattr(sys.modules["cupy"], UFUNC_OF[name])(other, self)

    return method


UFUNC_OF = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
    "ne": "not_equal", "neg": "negative", "abs": "absolute", "invert": "invert",
}  # fmt: skip
for _name in UFUNC_OF:
    setattr(ndarray, f"__{_name}__", _operator(_name))
    if _name not in "lt le gt ge eq ne neg abs invert".split():
        setattr(ndarray, f"__i{_name}__", _operator(f"i{_name}"))
        setattr(ndarray, f"__r{_name}__", _reflected(_name))


def _matmul(self: ndarray, other: Any) -> Any:
    return sys.modules["cupy"].matmul(self, other)


ndarray.__matmul__ = _matmul  # type: ignore[attr-defined]
ndarray.__hash__ = None  # type: ignore[assignment]
