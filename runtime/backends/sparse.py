"""Dispatch keys of sparse tensors.

A key of its own keeps sparse tensors off the fast path of every operation: it has no kernels, so
the generated function goes on to the general path, which looks into `core.sparse_arrays.rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core import dispatch, dtypes
from ..core.devices import device
from ..core.dispatch import DispatchKey, key_of
from ..core.sparse_arrays import SparseArray, refusal

if TYPE_CHECKING:
    from ..ops.operation import Operation


class SparseBackend:
    """The backend of sparse arrays on one device."""

    array_class = SparseArray

    def __init__(self, plain: Any, place: device) -> None:
        self.plain = plain
        self.device = place
        self.type = plain.type

    @property
    def xp(self) -> Any:
        """There is none. Raises: LayoutError, as what asks for it works on dense arrays."""
        raise refusal("a function of arrays", ())

    def kernel(self, operation: Operation, key: DispatchKey) -> Callable[..., Any]:
        raise refusal(operation.label, ())

    def array_dtype(self, dtype: dtypes.dtype) -> Any:
        return dtype

    def as_array(self, value: Any, dtype: dtypes.dtype | None, index: int | None) -> Any:
        return value if value.__class__ is SparseArray else self.plain.as_array(value, dtype, index)

    def to_numpy(self, array: Any) -> Any:
        if array.__class__ is SparseArray:
            raise refusal("conversion to NumPy", array.shape)
        return self.plain.to_numpy(array)

    def check(self, place: device) -> device:
        return place


class SparseKey(DispatchKey):
    """The key of the sparse tensors of one device and dtype."""

    def __init__(self, plain: DispatchKey, backend: SparseBackend) -> None:
        self.plain = plain
        self.device = backend.device
        self.dtype = plain.dtype
        self.is_float = plain.is_float
        self.is_half = plain.is_half
        self.backend = backend
        self.array_class = SparseArray
        self.array_dtype = plain.dtype
        self.vjps = {}
        self.one = None
        self.constants = {}

    def of_array(self, array: Any) -> DispatchKey:
        """The key of `array`, sparse or dense, which lies on this key's device."""
        return self.plain.of_array(array)

    def as_array(self, value: Any) -> Any:
        """`value` as an array."""
        return self.backend.as_array(value, None, self.device.index)


_backends: dict[device, SparseBackend] = {}
_keys: dict[tuple[device, dtypes.dtype], SparseKey] = {}


def sparse_key(place: device, dtype: dtypes.dtype) -> SparseKey:
    """The one key of the sparse tensors of `place` and `dtype`."""
    key = _keys.get((place, dtype))
    if key is None:
        plain = key_of(place, dtype)
        # A device equal to the plain one but not the same: fast paths tell the two apart by that.
        backend = _backends.setdefault(
            place, SparseBackend(plain.backend, device(place.type, place.index))
        )
        key = _keys.setdefault((place, dtype), SparseKey(plain, backend))
    return key


dispatch.key_makers[SparseArray] = sparse_key
