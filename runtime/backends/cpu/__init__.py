"""The CPU: NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import dtypes
from ...core.devices import device
from ...core.dispatch import DispatchKey
from ...errors import DeviceError
from ..array import ArrayBackend
from .buffers import keep_freed
from .onednn import layouts

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
