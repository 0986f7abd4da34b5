"""Samples made one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.creation import as_tensor, tensor
from ...core.tensor import Tensor
from ...ops.joins import stack


def default_convert(data: Any) -> Any:
    """`data` with arrays as tensors, all else as it is."""
    if isinstance(data, Tensor | str | bytes):
        return data
    if isinstance(data, np.ndarray | np.generic):
        return as_tensor(data) if data.dtype.kind in "biufc" else data
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, Sequence):
        return [default_convert(value) for value in data]
    return data


def default_collate(batch: Sequence[Any]) -> Any:
    """A list of samples as one batch: tensors and arrays stacked along a new dimension 0, numbers
    as a tensor, and the same inside tuples, lists and dicts; strings as they are.

    Raises: TypeError for other values, RuntimeError for samples of different sizes.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch))
    if isinstance(first, np.ndarray | np.generic) and first.dtype.kind in "biufc":
        return stack([as_tensor(item) for item in batch])
    if isinstance(first, float):
        return tensor(batch, dtype=dtypes.float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        return {key: default_collate([item[key] for item in batch]) for key in first}
    if isinstance(first, Sequence):
        return _collate_sequences(batch, first)
    raise TypeError(
        "default_collate: expected tensors, arrays, numbers, strings, dicts or sequences. Got "
        f"{type(first).__name__}. Give the DataLoader a collate_fn for it."
    )


def _collate_sequences(batch: Sequence[Any], first: Any) -> Any:
    lengths = {len(item) for item in batch}
    if len(lengths) != 1:
        raise RuntimeError(
            f"default_collate: expected samples of one length. Got lengths {sorted(lengths)}. Give "
            "the DataLoader a collate_fn that pads."
        )
    columns = [default_collate(column) for column in zip(*batch, strict=True)]
    return type(first)(*columns) if hasattr(first, "_fields") else columns
