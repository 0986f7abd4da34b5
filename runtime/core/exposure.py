"""Which arrays were shown to code whose writes no tensor counts.

A tensor counts the writes to its memory, so that what was computed from it may be kept while the
count stays. That holds only as long as nobody else can write there: NumPy through `numpy()`,
`from_numpy` or DLPack, C through `data_ptr()`, or a tensor made by `.data`.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import numpy as np

LEAST = 1024
"""Elements from which on an array is worth remembering."""

_exposed: dict[int, Any] = {}
"""By id, weak references to the arrays, which take themselves out at the end."""


def expose(array: Any) -> None:
    """Remember that the memory of `array` may be written unseen from now on."""
    if array.__class__ is not np.ndarray or array.size < LEAST:
        return
    owner = array if array.base is None else array.base
    if owner.__class__ is np.ndarray and id(owner) not in _exposed:
        # `pop` itself takes the reference as its default: Ctrl-C would be lost in a line of Python.
        _exposed[id(owner)] = weakref.ref(owner, partial(_exposed.pop, id(owner)))


def is_private(array: Any) -> bool:
    """Whether only operations on tensors can write to `array`, which has its memory to itself."""
    return bool(array.flags.owndata) and id(array) not in _exposed
