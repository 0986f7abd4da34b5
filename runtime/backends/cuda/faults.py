"""Mistakes that only the GPU sees, such as a target that is no class.

To look for them first, the processor would have to wait for the GPU. So a kernel that meets one
goes on with NaN and leaves a note in the host's memory; the error comes when values are fetched.
"""

from __future__ import annotations

from typing import Any

from ...errors import OutOfBoundsError
from . import launch

WORDS = 3
"""Whether there is a note, the class, and how many classes there are."""

_notes: Any = None  # an int64 array that kernels may write, from the first launch on


def place() -> int:
    """The address of the notes, for kernels."""
    global _notes
    if _notes is None:
        _notes = launch.driver.host_words(WORDS)
    return int(_notes.ctypes.data)


def check() -> None:
    """Raises: OutOfBoundsError if a kernel that ran by now has left a note."""
    if _notes is None or not _notes[0]:
        return
    _, found, classes = _notes.tolist()
    _notes[0] = 0
    raise OutOfBoundsError(
        f"cross_entropy: expected class numbers from 0 to {classes - 1} in target, or "
        f"ignore_index. Got {found}. The GPU saw it in this call or one before; that loss is NaN."
    )
