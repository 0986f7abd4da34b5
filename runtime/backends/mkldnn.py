"""Switches of oneDNN, which computes large matrix products and convolutions on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

enabled = True
"""Whether it may be used; NumPy serves otherwise."""


def is_available() -> bool:
    """Whether the library is installed and loads."""
    from .cpu.onednn.library import library

    with flags(True):
        return library() is not None


@contextmanager
def flags(enabled: bool = True) -> Iterator[None]:
    """A block in which oneDNN may be used, or not."""
    names = globals()
    before, names["enabled"] = names["enabled"], bool(enabled)
    try:
        yield
    finally:
        names["enabled"] = before
