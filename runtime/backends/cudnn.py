"""Switches of cuDNN, NVIDIA's library of layers, which nothing here uses yet."""

from __future__ import annotations

enabled = True
benchmark = False
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """Whether it is used here: no."""
    return False


def version() -> int | None:
    """Its version: None, as it is not used."""
    return None
