"""The meta device: shapes and dtypes without memory. Its kernels are the shape rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core import dtypes
from ..core.devices import device
from ..core.spec import Spec
from ..errors import DeviceError

if TYPE_CHECKING:
    from ..core.dispatch import DispatchKey
    from ..ops.operation import Operation


class _NoLibrary:
    """Stands where other devices have a library of array functions."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise DeviceError(
            f"{name}: expected tensors with values, on which the result's shape depends. Got meta "
            "tensors, which have only a shape and a dtype. Make them on 'cpu' or 'cuda' instead."
        )


class MetaBackend:
    """Computes Specs."""

    type = "meta"
    array_class = Spec
    xp: Any = _NoLibrary()

    def kernel(self, operation: Operation, key: DispatchKey) -> Callable[..., Any]:
        return operation.rule

    def array_dtype(self, dtype: dtypes.dtype) -> Any:
        return dtype

    def as_array(self, value: Any, dtype: dtypes.dtype | None, index: int | None) -> Any:
        if isinstance(value, Spec):
            return value if dtype is None else Spec(value.shape, dtype, value.strides)
        if hasattr(value, "shape"):
            found = dtypes.from_numpy(value.dtype) if dtype is None else dtype
            return Spec(value.shape, found)
        return Spec((), dtypes.of_number(value) if dtype is None else dtype)

    def row_major(self, array: Any) -> Any:
        return array

    def to_numpy(self, array: Any) -> Any:
        raise DeviceError(
            f"Expected a tensor with values. Got a meta tensor of shape {array.shape}, which has "
            "only "
            "a shape and a dtype. Make it on 'cpu' or 'cuda' instead."
        )

    def check(self, place: device) -> device:
        return place if place.index else device("meta")  # numbers tell devices apart in checks
