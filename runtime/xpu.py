"""`torch.xpu`: Intel's GPUs. None is served; programs ask before they use one."""

from __future__ import annotations

from typing import Any

__all__ = [
    "device_count", "empty_cache", "is_available", "is_bf16_supported", "is_initialized",
    "manual_seed", "manual_seed_all",
]  # fmt: skip


def is_available() -> bool:
    """False."""
    return False


is_initialized = is_available


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: Any) -> None:
    """Nothing: there is none to seed."""


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Nothing: no memory is held there."""
