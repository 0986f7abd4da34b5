"""Dispatch keys of quantized tensors; the rules of their operations are
`core.quantized_arrays.rules`."""

from __future__ import annotations

from ..core import dtypes
from ..core.quantized_arrays import QuantizedArray, refusal
from .routed import RoutedBackend, RoutedKey, key_maker


class QuantizedBackend(RoutedBackend):
    """The backend of quantized arrays on one device."""

    array_class = QuantizedArray
    refused = staticmethod(refusal)


class QuantizedKey(RoutedKey):
    """The key of the quantized tensors of one device and dtype; `plain` is that of their codes."""


quantized_key = key_maker(QuantizedBackend, QuantizedKey, dtypes.codes_of)
