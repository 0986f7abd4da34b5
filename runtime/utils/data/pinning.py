"""Batches in page-locked memory, from which they are copied to a GPU beside other work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.tensor import Tensor


def pinned(batch: Any) -> Any:
    """`batch` with every tensor of the CPU's in page-locked memory, through dictionaries, lists,
    tuples and objects with a `pin_memory` method of their own."""
    if isinstance(batch, Tensor):
        return batch.pin_memory() if batch.device.type == "cpu" else batch  # type: ignore[attr-defined]
    if isinstance(batch, str | bytes):
        return batch
    if isinstance(batch, Mapping):
        values = {key: pinned(value) for key, value in batch.items()}
        return type(batch)(values) if type(batch) is not dict else values  # type: ignore[call-arg]
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(pinned, batch))
    if isinstance(batch, Sequence):
        return type(batch)(map(pinned, batch)) if isinstance(batch, list | tuple) else batch
    return batch.pin_memory() if hasattr(batch, "pin_memory") else batch
