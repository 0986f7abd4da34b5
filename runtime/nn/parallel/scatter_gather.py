"""Batches cut for several GPUs and results joined again, inside of any structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.tensor import Tensor
from ...cuda import comm

__all__ = ["gather", "is_namedtuple", "scatter", "scatter_kwargs"]


def is_namedtuple(obj: Any) -> bool:
    """Whether `obj` is a named tuple."""
    return isinstance(obj, tuple) and hasattr(obj, "_asdict") and hasattr(obj, "_fields")


def _rebuilt(like: Any, parts: Sequence[Any]) -> Any:
    return type(like)(*parts) if is_namedtuple(like) else type(like)(parts)


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> Any:
    """For each GPU its part: of tensors a chunk along `dim`, of lists, tuples and dicts the same of
    each element, and any other object itself. There are as many parts as the tensors have."""
    if isinstance(inputs, Tensor):
        return comm.scatter(inputs, target_gpus, dim=dim)
    if isinstance(inputs, tuple | list) and inputs:
        columns = [scatter(value, target_gpus, dim) for value in inputs]
        return [_rebuilt(inputs, row) for row in zip(*columns, strict=False)]
    if isinstance(inputs, dict) and inputs:
        columns = [scatter(value, target_gpus, dim) for value in inputs.values()]
        rows = zip(*columns, strict=False)
        return [type(inputs)(zip(inputs, row, strict=True)) for row in rows]
    return [inputs for _ in target_gpus]


def scatter_kwargs(
    inputs: tuple[Any, ...], kwargs: dict[str, Any] | None, target_gpus: Sequence[Any], dim: int = 0
) -> tuple[tuple[Any, ...], tuple[dict[str, Any], ...]]:
    """Arguments and keyword arguments for each GPU; the shorter of both is filled with empty
    ones."""
    own = list(scatter(inputs, target_gpus, dim)) if inputs else []
    named = list(scatter(kwargs, target_gpus, dim)) if kwargs else []
    count = max(len(own), len(named))
    own += [()] * (count - len(own))
    named += [{} for _ in range(count - len(named))]
    return tuple(own), tuple(named)


def gather(outputs: Any, target_device: Any, dim: int = 0) -> Any:
    """Results of several GPUs as one on `target_device` ("cpu" or -1 is the CPU): tensors joined
    along `dim`, scalars to a vector, and the same of the elements of lists, tuples and dicts.

    Raises: ValueError for dicts of different sizes.
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        if all(t.ndim == 0 for t in outputs) and dim == 0:
            outputs = [t.reshape(1) for t in outputs]
        return comm.gather(outputs, dim, target_device)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(len(o) != len(first) for o in outputs):
            raise ValueError("gather: expected dicts of the same keys. Got others.")
        return type(first)((k, gather([o[k] for o in outputs], target_device, dim)) for k in first)
    if isinstance(first, tuple | list):
        columns = zip(*outputs, strict=True)
        return _rebuilt(first, [gather(column, target_device, dim) for column in columns])
    raise TypeError(f"gather: expected tensors in the results. Got {type(first).__name__}.")
