"""`torch.cpu`: what code for any device asks of the processor."""

from __future__ import annotations

import contextlib
from typing import Any

__all__ = [
    "current_device", "device_count", "is_available", "is_initialized", "set_device", "stream",
    "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """True."""
    return True


is_initialized = is_available


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """ "cpu"."""
    return "cpu"


def set_device(device: Any) -> None:
    """Nothing: there is one."""


def synchronize(device: Any = None) -> None:
    """Nothing: what was asked for is done."""


def stream(stream: Any) -> Any:
    """A block that changes nothing."""
    return contextlib.nullcontext(stream)
