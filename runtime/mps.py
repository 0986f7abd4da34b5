"""`torch.mps`: Apple's GPUs. None is served; programs ask `torch.backends.mps` first."""

from __future__ import annotations

from typing import Any

__all__ = ["device_count", "empty_cache", "is_available", "manual_seed"]


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: Any) -> None:
    """Nothing: there is none to seed."""


def empty_cache() -> None:
    """Nothing: no memory is held there."""
