"""Which arrays were shown to code whose writes no tensor counts.

A tensor counts the writes to its memory, so that what was computed from it may be kept while the
count stays. That holds only as long as nobody else can write there: NumPy through `numpy()`,
`from_numpy` or DLPack, C through `data_ptr()`, or a tensor made by `.data`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LEAST = 1024
"""Elements from which on an array is worth remembering."""

_exposed: set[int] = set()
"""Ids of arrays, which may since have gone to others: they then count as exposed in vain."""


def expose(array: Any) -> None:
    """Remember that the memory of `array` may be written unseen from now on."""
    if array.__class__ is np.ndarray and array.size >= LEAST:
        _exposed.add(id(array if array.base is None else array.base))


def is_private(array: Any) -> bool:
    """Whether only operations on tensors can write to `array`, which has its memory to itself."""
    return bool(array.flags.owndata) and id(array) not in _exposed
