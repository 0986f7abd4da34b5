"""Switches of Intel's MKL, which nothing here uses."""

from __future__ import annotations


def is_available() -> bool:
    """Whether it is used here: no."""
    return False
