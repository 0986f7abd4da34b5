"""Samples made one batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.creation import as_tensor, tensor
from ...core.tensor import Tensor
from ...ops.joins import stack

Collate = Callable[..., Any]
CollateMap = dict[type | tuple[type, ...], Collate]

NUMERIC_KINDS = "biufc"
"""NumPy's kinds of arrays that a tensor can hold; others are strings, objects and dates."""


def is_numeric(value: np.ndarray | np.generic) -> bool:
    """Whether a tensor can hold `value`, ml_dtypes' bfloat16 included."""
    return value.dtype.kind in NUMERIC_KINDS or value.dtype.name == "bfloat16"


def _like_mapping(data: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    """`values` as a mapping of the class of `data`, what else it carries included."""
    try:
        if isinstance(data, MutableMapping):
            clone = copy.copy(data)
            clone.update(values)
            return clone
        return type(data)(values)  # type: ignore[call-arg]
    except TypeError:  # a class that cannot be made in either way
        return values


def _like_sequence(data: Any, values: list[Any]) -> Any:
    """`values` as a sequence of the class of `data`; tuples become lists, as in PyTorch."""
    if isinstance(data, tuple):
        return type(data)(*values) if hasattr(data, "_fields") else values
    try:
        if isinstance(data, MutableSequence):
            clone = copy.copy(data)
            for k, value in enumerate(values):
                clone[k] = value
            return clone
        return type(data)(values)
    except TypeError:
        return values


def default_convert(data: Any) -> Any:
    """`data` with arrays as tensors, also inside mappings and sequences; all else as it is."""
    if isinstance(data, Tensor | str | bytes):
        return data
    if isinstance(data, np.ndarray | np.generic):
        return as_tensor(data) if is_numeric(data) else data
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, Sequence):
        return _like_sequence(data, [default_convert(value) for value in data])
    return data


def collate(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """A list of samples as one batch, leaf by leaf.

    `collate_fn_map` names for a class, or a tuple of classes, the function that joins its values;
    the exact class comes before base classes. Mappings, namedtuples and sequences are kept.

    Raises: TypeError for values of other classes, RuntimeError for samples of different lengths.
    """
    first, kinds = batch[0], collate_fn_map or {}
    if type(first) in kinds:
        return kinds[type(first)](batch, collate_fn_map=collate_fn_map)
    for kind, join in kinds.items():
        if isinstance(first, kind):
            return join(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        joined = {
            key: collate([sample[key] for sample in batch], collate_fn_map=collate_fn_map)
            for key in first
        }
        return _like_mapping(first, joined)
    if isinstance(first, Sequence):
        columns = [collate(c, collate_fn_map=collate_fn_map) for c in _columns(batch)]
        return _like_sequence(first, columns)
    raise _no_batch(type(first).__name__)


def _no_batch(found: str) -> TypeError:
    return TypeError(
        "default_collate: expected tensors, arrays, numbers, strings, dicts or sequences. Got "
        f"{found}. Give the DataLoader a collate_fn for it."
    )


def _columns(batch: Sequence[Any]) -> list[Any]:
    lengths = {len(sample) for sample in batch}
    if len(lengths) != 1:
        raise RuntimeError(
            f"default_collate: expected samples of one length. Got lengths {sorted(lengths)}. Give "
            "the DataLoader a collate_fn that pads."
        )
    return list(zip(*batch, strict=True))


def collate_tensor_fn(batch: Sequence[Tensor], *, collate_fn_map: Any = None) -> Tensor:
    """Tensors stacked along a new dimension 0."""
    return stack(list(batch))


def collate_numpy_array_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """Arrays as tensors, stacked. Raises: TypeError for arrays of strings or objects."""
    if not is_numeric(batch[0]):
        raise _no_batch(f"an array of {batch[0].dtype}")
    return collate([as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Tensor:
    """NumPy's scalars as a tensor of their dtype."""
    return as_tensor(np.stack(batch))


def collate_float_fn(batch: Sequence[float], *, collate_fn_map: Any = None) -> Tensor:
    """Python's floats as a float64 tensor."""
    return tensor(batch, dtype=dtypes.float64)


def collate_int_fn(batch: Sequence[int], *, collate_fn_map: Any = None) -> Tensor:
    """Python's integers as an int64 tensor, truth values as a bool tensor."""
    return tensor(batch)


def collate_str_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Sequence[Any]:
    """Strings as they are."""
    return batch


default_collate_fn_map: CollateMap = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}
"""What `default_collate` does with which class; programs may add their own."""


def default_collate(batch: Sequence[Any]) -> Any:
    """A list of samples as one batch: tensors and arrays stacked along a new dimension 0, numbers
    as a tensor, and the same inside mappings and sequences; strings as they are.

    Raises: TypeError for other values, RuntimeError for samples of different sizes.

    Example:
        >>> default_collate([{"x": 1.0, "name": "a"}, {"x": 2.0, "name": "b"}])
        {'x': tensor([1., 2.], dtype=torch.float64), 'name': ['a', 'b']}
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
