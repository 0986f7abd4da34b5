"""Indexing where a mask says which indices count: the others may lie outside."""

from __future__ import annotations

from typing import Any

from .declare import Spec
from .updates import index_put

__all__ = ["_unsafe_masked_index", "_unsafe_masked_index_put_accumulate"]


def _unsafe_masked_index(input: Spec, mask: Spec, indices: Any, fill: Any) -> Spec:
    """input[indices] where `mask` holds, `fill` elsewhere; `indices` is a list of tensors, None for
    a whole dimension."""
    found = input[_within(input, indices)]
    hidden = mask.logical_not()
    return found.masked_fill(hidden.reshape(*hidden.shape, *[1] * (found.ndim - mask.ndim)), fill)


def _unsafe_masked_index_put_accumulate(
    input: Spec, mask: Spec, indices: Any, values: Spec
) -> Spec:
    """input with `values` added at `indices` where `mask` holds."""
    shown = values.masked_fill(mask.logical_not(), 0)
    return index_put(input, _within(input, indices), shown, accumulate=True)


def _within(input: Any, indices: Any) -> tuple[Any, ...]:
    """The indices moved into their dimensions."""
    return tuple(
        slice(None) if index is None else index.clamp(-n, n - 1)
        for index, n in zip(indices, input.shape, strict=False)
    )
