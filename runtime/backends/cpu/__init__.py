"""The CPU: NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core import dtypes
from ...core.devices import device
from ...core.dispatch import DispatchKey
from ...errors import DeviceError
from ..array import ArrayBackend
from ..halves import in_single_precision
from . import loops
from .buffers import keep_freed
from .onednn import layouts

if TYPE_CHECKING:
    from ...ops.operation import Operation

keep_freed()


class CPUBackend(ArrayBackend):
    """Computes with NumPy and scipy.special."""

    type = "cpu"
    array_class = np.ndarray
    xp = np

    def special(self) -> Any:
        import scipy.special

        return scipy.special

    def constant(self, value: float, key: DispatchKey) -> Any:
        # Ufuncs take a 0-d array of their own type in half the time of a Python number.
        return np.asarray(value, key.dtype.numpy)

    def large_kernel(self, operation: Operation, key: DispatchKey) -> Callable[..., Any]:
        """The function that computes `operation` on large arrays: a fused loop, if it has a formula
        of which there can be one."""
        plain = getattr(key, operation.name)
        if operation.formula is None or not key.is_float or not loops.is_available():
            return plain
        from .loops import pointwise

        fused = pointwise.kernel(
            operation, np.dtype(np.float32) if key.is_half else key.array_dtype
        )
        if fused is None:
            return plain

        def large(*arrays: Any, **attributes: Any) -> Any:
            result = fused(*arrays, **attributes)
            return plain(*arrays, **attributes) if result is None else result

        if key.is_half:
            return in_single_precision(large, np, key.array_dtype)
        if isinstance(fused, pointwise.Loops):
            large.into = fused.into  # type: ignore[attr-defined]
        return large

    def array_dtype(self, dtype: dtypes.dtype) -> Any:
        return dtype.numpy

    def as_array(self, value: Any, dtype: dtypes.dtype | None, index: int | None) -> Any:
        return np.asarray(value, None if dtype is None else dtype.numpy)

    def row_major(self, array: Any) -> Any:
        return layouts.row_major(array)

    def to_numpy(self, array: Any) -> Any:
        return array

    def check(self, place: device) -> device:
        if place.index not in (None, 0):
            raise DeviceError(f"Expected the device 'cpu'. Got {str(place)!r}; there is one CPU.")
        return device("cpu")
