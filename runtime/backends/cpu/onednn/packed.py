"""Weights in the layout of a primitive, kept for as long as they do not change.

Where no gradients are recorded, as in inference, a network multiplies by the same weights again and
again, and putting them into the layout that a convolution asks for takes up to a third of its time.
A copy is kept with the count of writes to its tensor, and only of memory that nothing but
operations on tensors can write to (see `core.exposure`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ....core.exposure import is_private

COPIES = 2
"""Copies kept of one weight at most: images of many sizes may ask for as many layouts."""


class _Entry(NamedTuple):
    array: Any  # a weak reference
    writes: list[Any]  # the tensor's counter of writes
    copies: dict[Any, tuple[int, Any]]  # by layout: the count when it was made, and the copy


_entries: dict[int, _Entry] = {}


def announce(array: Any, writes: list[Any]) -> None:
    """Let copies of `array` be kept, the writes to which are counted in `writes[0]`.

    Only NumPy's arrays have copies: on meta there is nothing to copy.
    """
    if not isinstance(array, np.ndarray):
        return
    entry = _entries.get(id(array))
    if entry is None or entry.array() is not array or entry.writes is not writes:
        key = id(array)
        # `pop` itself takes the reference as its default: Ctrl-C would be lost in a line of Python.
        reference = weakref.ref(array, partial(_entries.pop, key))
        _entries[key] = _Entry(reference, writes, {})


def copy_of(array: Any, layout: Any, make: Callable[[], Any]) -> Any:
    """`array` in `layout`: the kept copy if it is still right, else what `make` gives."""
    entry = _entries.get(id(array))
    if entry is None or entry.array() is not array or not is_private(array):
        return make()
    count = entry.writes[0]
    kept = entry.copies.get(layout)
    if kept is None or kept[0] != count:
        if len(entry.copies) >= COPIES:
            entry.copies.clear()
        kept = entry.copies[layout] = count, make()
    return kept[1]


def free() -> int:
    """Let all copies go; their bytes."""
    total = sum(copy.nbytes for e in list(_entries.values()) for _, copy in e.copies.values())
    _entries.clear()
    return total
