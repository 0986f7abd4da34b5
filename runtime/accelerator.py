"""`torch.accelerator`: the GPU, by whatever name, if there is one."""

from __future__ import annotations

from typing import Any

from . import cuda
from .core.devices import device

__all__ = [
    "current_accelerator", "current_device_index", "device_count", "empty_cache", "is_available",
    "memory_allocated", "memory_reserved", "set_device_index", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether there is a GPU."""
    return cuda.is_available()


def device_count() -> int:
    """How many GPUs there are."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> device | None:
    """torch.device("cuda"), or None without a GPU."""
    return device("cuda") if cuda.is_available() else None


def current_device_index() -> int:
    """The number of the current GPU. Raises: DeviceError without one."""
    return cuda.current_device()


def set_device_index(device: Any) -> None:
    """Make `device` the current GPU. Raises: DeviceError if it is not there."""
    cuda.set_device(device)


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has done all it was asked for. Raises: DeviceError if it is not there."""
    cuda.synchronize(device)


empty_cache = cuda.empty_cache
memory_allocated = cuda.memory_allocated
memory_reserved = cuda.memory_reserved
