"""Dispatch keys of tensors whose arrays are not of a device's library: sparse and quantized ones.

A key of its own keeps them off the fast path of every operation: it has no kernels, so the
generated function goes on to the general path, which looks into the rules of the kind of array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core import dispatch, dtypes
from ..core.devices import device
from ..core.dispatch import DispatchKey, key_of

if TYPE_CHECKING:
    from ..ops.operation import Operation


class RoutedBackend:
    """The backend of arrays of `array_class` on one device; `plain` is that of their parts.

    Subclasses say in `refused` what is raised for what such arrays do not have.
    """

    array_class: Any
    refused: Callable[..., Exception]

    def __init__(self, plain: Any, place: device) -> None:
        self.plain = plain
        self.device = place
        self.type = plain.type

    @property
    def xp(self) -> Any:
        """There is none. Raises: what `refused` gives, as what asks for it computes on arrays."""
        raise self.refused("a function of arrays")

    def kernel(self, operation: Operation, key: DispatchKey) -> Callable[..., Any]:
        raise self.refused(operation.label, (), key.dtype)

    def array_dtype(self, dtype: dtypes.dtype) -> Any:
        return dtype

    def as_array(self, value: Any, dtype: dtypes.dtype | None, index: int | None) -> Any:
        is_own = value.__class__ is self.array_class
        return value if is_own else self.plain.as_array(value, dtype, index)

    def to_numpy(self, array: Any) -> Any:
        if array.__class__ is self.array_class:
            raise self.refused("conversion to NumPy", array.shape, array.dtype)
        return self.plain.to_numpy(array)

    def check(self, place: device) -> device:
        return place


class RoutedKey(DispatchKey):
    """The key of such tensors of one device and dtype; `plain` is that of their parts."""

    def __init__(self, plain: DispatchKey, dtype: dtypes.dtype, backend: RoutedBackend) -> None:
        self.plain = plain
        self.device = backend.device
        self.dtype = dtype
        self.is_float = plain.is_float
        self.is_half = plain.is_half
        self.backend = backend
        self.array_class = backend.array_class
        self.array_dtype = dtype
        self.vjps = {}
        self.one = None
        self.constants = {}

    def of_array(self, array: Any) -> DispatchKey:
        """The key of `array`, of whatever kind, which lies on this key's device."""
        return self.plain.of_array(array)

    def as_array(self, value: Any) -> Any:
        """`value` as an array."""
        return self.backend.as_array(value, None, self.device.index)


_backends: dict[tuple[device, type[RoutedBackend]], RoutedBackend] = {}
_keys: dict[tuple[device, type[RoutedKey], dtypes.dtype], RoutedKey] = {}


def key_maker(
    backend_class: type[RoutedBackend],
    key_class: type[RoutedKey],
    dtype_of_parts: Callable[[dtypes.dtype], dtypes.dtype],
) -> Callable[[device, dtypes.dtype], RoutedKey]:
    """The function that gives the one key of such tensors of a device and dtype; keys of their
    arrays are found by it from now on."""

    def key(place: device, dtype: dtypes.dtype) -> RoutedKey:
        found = _keys.get((place, key_class, dtype))
        if found is None:
            plain = key_of(place, dtype_of_parts(dtype))
            # Equal to the plain device but not the same: fast paths tell the two apart by that.
            own = device(place.type, place.index)
            backend = backend_class(plain.backend, own)
            backend = _backends.setdefault((place, backend_class), backend)
            found = key_class(plain, dtype, backend)
            found = _keys.setdefault((place, key_class, dtype), found)
        return found

    dispatch.key_makers[backend_class.array_class] = key
    return key
