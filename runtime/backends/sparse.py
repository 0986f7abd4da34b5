"""Dispatch keys of sparse tensors; the rules of their operations are `core.sparse_arrays.rules`."""

from __future__ import annotations

from typing import Any

from ..core.sparse_arrays import SparseArray, refusal
from .routed import RoutedBackend, RoutedKey, key_maker


class SparseBackend(RoutedBackend):
    """The backend of sparse arrays on one device."""

    array_class = SparseArray

    def refused(self, what: str, shape: Any = (), dtype: Any = None) -> Exception:
        """The error for what only dense arrays have."""
        return refusal(what, shape)


class SparseKey(RoutedKey):
    """The key of the sparse tensors of one device and dtype."""


sparse_key = key_maker(SparseBackend, SparseKey, lambda dtype: dtype)
