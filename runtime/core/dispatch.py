"""Dispatch keys: which kernels run for a device and an element type.

Every tensor carries the key of its device and dtype. There is one key object per pair, so an
eager operation compares keys by identity, and finds the kernel of operation `f` as `key.f`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..errors import DeviceError, DTypeError
from . import dtypes
from .devices import device

if TYPE_CHECKING:
    from ..ops.operation import Operation

operations: dict[str, Operation] = {}
"""Every declared operation by name."""


class Backend(Protocol):
    """What a device must offer. An `array` is whatever its kernels compute on."""

    type: str

    @property
    def array_class(self) -> Any:
        """The class of its arrays."""

    @property
    def xp(self) -> Any:
        """The module that computes on them."""

    def kernel(self, operation: Operation, key: DispatchKey) -> Callable[..., Any]:
        """The function that computes `operation` on bare arrays."""

    def array_dtype(self, dtype: dtypes.dtype) -> Any:
        """`dtype` as arrays of this device name it."""

    def as_array(self, value: Any, dtype: dtypes.dtype | None, index: int | None) -> Any:
        """Numbers, a NumPy array or an array of another device, as a new or shared array here."""

    def to_numpy(self, array: Any) -> Any:
        """The array's values as a NumPy array (shared where the memory is the CPU's)."""

    def row_major(self, array: Any) -> Any:
        """`array`, or a copy that lies row by row."""

    def check(self, place: device) -> device:
        """`place` with its index filled in. Raises: DeviceError if it is not there."""


class _Backends(dict[str, Backend]):
    def __missing__(self, type: str) -> Backend:
        raise DeviceError(f"Expected a device cpu, cuda or meta. Tensors cannot be on {type} here.")


backends: dict[str, Backend] = _Backends()
"""Backends by device type; `flambeau.backends` fills it."""


class LargeKernels:
    """The kernels of a dispatch key for large arrays, found like its own."""

    def __init__(self, key: DispatchKey) -> None:
        self._key = key

    def __getattr__(self, name: str) -> Any:
        key: Any = self._key
        kernel = placed(key.backend.large_kernel(operations[name], key), key)
        setattr(self, name, kernel)
        return kernel


def placed(kernel: Callable[..., Any], key: DispatchKey) -> Callable[..., Any]:
    """`kernel`, which computes on the device of `key` whichever is current."""
    on_device = getattr(key.backend, "placed", None)
    return kernel if on_device is None else on_device(kernel, key.device.index)


NO_CHOICE = nullcontext()
"""The guard of keys whose device is the only one of its kind."""


def one_device(label: str, tensors: Sequence[Any]) -> device:
    """The device of the tensors; 0-d ones of the CPU go where the others are.

    Raises: DeviceError for several.
    """
    places = dict.fromkeys(t.device for t in tensors if t.ndim or t.device.type != "cpu")
    if len(places) > 1:
        listed = ", ".join(f"{tuple(t.shape)} on {t.device}" for t in tensors)
        target = next((p for p in places if p.type == "cuda"), next(iter(places)))
        raise DeviceError(
            f"{label}: expected all tensors on one device. Got {listed}. Move them together with "
            f".to({str(target)!r})."
        )
    return next(iter(places), tensors[0].device)


Function = TypeVar("Function", bound=Callable[..., Any])


def guarded(function: Function) -> Function:
    """`function(tensor, ...)`, run where that tensor is, see `DispatchKey.guard`; other tensors
    among its arguments must be there too.

    Raises: DeviceError if one is not.
    """
    first = next(iter(inspect.signature(function).parameters))
    label = function.__name__.strip("_")

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        tensor = args[0] if args else kwargs[first]
        given = [x for x in (*args, *kwargs.values()) if hasattr(x, "_key")]
        if any(x._key.device != tensor._key.device for x in given):
            one_device(label, given)
        with tensor._key.guard:
            return function(*args, **kwargs)

    return call  # type: ignore[return-value]


class DispatchKey:
    """A device and a dtype, with the kernels that compute there as attributes."""

    array_class: type
    array_dtype: Any
    level = 0  # of the vmap whose batches the arrays are, see core.batched
    is_concealed = False  # whether users see other strides than the arrays', see core.concealed
    concealed: DispatchKey | None = None  # the concealed key beside this one

    def __init__(self, place: device, dtype: dtypes.dtype) -> None:
        if dtype.category == dtypes.QUANTIZED:
            raise DTypeError(
                f"Expected a dtype of numbers. Got {dtype}, whose codes mean something only with a "
                "scale. Use torch.quantize_per_tensor(x, scale, zero_point, dtype)."
            )
        self.device = place
        self.dtype = dtype
        self.is_float = dtype.category >= dtypes.FLOAT
        self.is_half = self.is_float and dtype.itemsize == 2
        self.backend = backends[place.type]
        self.array_class = self.backend.array_class
        self.array_dtype = self.backend.array_dtype(dtype)
        self.vjps: dict[Any, Any] = {}  # compiled raw gradients, see autograd.record
        self.one: Any = None  # a bare 0-d 1, where backward passes begin
        self.constants: dict[Any, Any] = {}  # 0-d tensors of Python numbers, see ops.general
        self.relatives: dict[Any, DispatchKey] = {}  # by class and dtype of arrays, see of_array

    def __getattr__(self, name: str) -> Any:
        operation = operations.get(name)
        if operation is None:
            raise AttributeError(f"No operation is called {name!r}.")
        if self.dtype.category in operation.refuses:
            raise DTypeError(
                f"{operation.label}: expected another kind of numbers. Got {self.dtype}. Convert "
                "with .to(), or take .abs() or .real of complex numbers."
            )
        kernel = placed(self.backend.kernel(operation, self), self)
        setattr(self, name, kernel)
        return kernel

    @cached_property
    def guard(self) -> AbstractContextManager[Any]:
        """A `with` block in which the GPU of this key is the current one, for code that computes
        on bare arrays outside of kernels; it does nothing where there is no choice."""
        make = getattr(backends[self.device.type], "guard", None)
        return NO_CHOICE if make is None else make(self.device.index)

    @cached_property
    def large(self) -> Any:
        """Where to find the kernels of formulas for large arrays; here, unless the backend has
        others (`large_kernel(operation, key)`)."""
        return LargeKernels(self) if hasattr(self.backend, "large_kernel") else self

    def of_array(self, array: Any) -> DispatchKey:
        """The key of `array`, which lies on this key's device."""
        if array.dtype == self.array_dtype:
            return self
        sort = array.__class__, array.dtype
        found = self.relatives.get(sort)
        if found is None:
            dtype = array.dtype
            if not isinstance(dtype, dtypes.dtype):
                found = key_of(self.device, dtypes.from_numpy(dtype))
            else:
                found = key_makers.get(array.__class__, key_of)(self.device, dtype)
            self.relatives[sort] = found
        return found

    def as_array(self, value: Any) -> Any:
        """`value`, usually a scalar that NumPy made of a 0-d result, as an array."""
        return self.backend.as_array(value, None, self.device.index)

    def __repr__(self) -> str:
        return f"DispatchKey({self.device}, {self.dtype})"


_keys: dict[tuple[device, dtypes.dtype], DispatchKey] = {}
_places: dict[device, device] = {}
key_makers: dict[type, Callable[[device, dtypes.dtype], DispatchKey]] = {}
"""How to find the key of arrays that are not their device's own."""


def key_of(place: device, dtype: dtypes.dtype) -> DispatchKey:
    """The one key of `place` (a device with its index filled in) and `dtype`."""
    key = _keys.get((place, dtype))
    if key is None:
        place = _places.setdefault(place, place)  # keys of one place share it, `is` compares
        key = _keys.setdefault((place, dtype), DispatchKey(place, dtype))
    return key


def forget_kernels() -> None:
    """Drop all resolved kernels, after a backend or a kernel was registered or replaced."""
    concealed = [key.concealed for key in _keys.values() if key.concealed is not None]
    for key in [*_keys.values(), *concealed]:
        for name in operations.keys() & vars(key).keys():
            delattr(key, name)
        vars(key).pop("large", None)
        key.vjps.clear()
