"""Dispatch keys of quantized tensors.

As for sparse ones, a key of its own keeps them off the fast path of every operation: it has no
kernels, so the generated function goes on to the general path, which looks into
`core.quantized_arrays.rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core import dispatch, dtypes
from ..core.devices import device
from ..core.dispatch import DispatchKey, key_of
from ..core.quantized_arrays import QuantizedArray, refusal

if TYPE_CHECKING:
    from ..ops.operation import Operation


class QuantizedBackend:
    """The backend of quantized arrays on one device."""

    array_class = QuantizedArray

    def __init__(self, plain: Any, place: device) -> None:
        self.plain = plain
        self.device = place
        self.type = plain.type

    @property
    def xp(self) -> Any:
        """There is none. Raises: DTypeError, as what asks for it computes on numbers."""
        raise refusal("a function of arrays", ())

    def kernel(self, operation: Operation, key: DispatchKey) -> Callable[..., Any]:
        raise refusal(operation.label, (), key.dtype)

    def array_dtype(self, dtype: dtypes.dtype) -> Any:
        return dtype

    def as_array(self, value: Any, dtype: dtypes.dtype | None, index: int | None) -> Any:
        if value.__class__ is QuantizedArray:
            return value
        return self.plain.as_array(value, dtype, index)

    def to_numpy(self, array: Any) -> Any:
        if array.__class__ is QuantizedArray:
            raise refusal("conversion to NumPy", array.shape, array.dtype)
        return self.plain.to_numpy(array)

    def check(self, place: device) -> device:
        return place


class QuantizedKey(DispatchKey):
    """The key of the quantized tensors of one device and dtype; `plain` is that of their codes."""

    def __init__(self, plain: DispatchKey, dtype: dtypes.dtype, backend: QuantizedBackend) -> None:
        self.plain = plain
        self.device = backend.device
        self.dtype = dtype
        self.is_float = self.is_half = False
        self.backend = backend
        self.array_class = QuantizedArray
        self.array_dtype = dtype
        self.vjps = {}
        self.one = None
        self.constants = {}

    def of_array(self, array: Any) -> DispatchKey:
        """The key of `array`, quantized or not, which lies on this key's device."""
        return self.plain.of_array(array)

    def as_array(self, value: Any) -> Any:
        """`value` as an array."""
        return self.backend.as_array(value, None, self.device.index)


_backends: dict[device, QuantizedBackend] = {}
_keys: dict[tuple[device, dtypes.dtype], QuantizedKey] = {}


def quantized_key(place: device, dtype: dtypes.dtype) -> QuantizedKey:
    """The one key of the quantized tensors of `place` and `dtype`."""
    key = _keys.get((place, dtype))
    if key is None:
        plain = key_of(place, dtypes.codes_of(dtype))
        # A device equal to the plain one but not the same: fast paths tell the two apart by that.
        backend = _backends.setdefault(
            place, QuantizedBackend(plain.backend, device(place.type, place.index))
        )
        key = _keys.setdefault((place, dtype), QuantizedKey(plain, dtype, backend))
    return key


dispatch.key_makers[QuantizedArray] = quantized_key
