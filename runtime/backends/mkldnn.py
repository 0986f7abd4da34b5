"""Switches of oneDNN, which nothing here uses yet."""

from __future__ import annotations

enabled = True


def is_available() -> bool:
    """Whether it is used here: no."""
    return False
