"""Switches of Apple's GPUs, which are not served."""

from __future__ import annotations


def is_available() -> bool:
    """Whether it is used here: no."""
    return False


def is_built() -> bool:
    """Whether there is code for it: no."""
    return False
