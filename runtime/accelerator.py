"""`torch.accelerator`: the GPU, by whatever name, if there is one."""

from __future__ import annotations

from typing import Any

from . import cuda
from .core import dtypes
from .core.devices import device

__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "current_stream",
    "device_count", "device_index", "empty_cache", "get_device_capability", "get_memory_info",
    "is_available", "max_memory_allocated", "max_memory_reserved", "memory_allocated",
    "memory_reserved", "memory_stats", "reset_accumulated_memory_stats", "reset_peak_memory_stats",
    "set_device_idx", "set_device_index", "set_stream", "synchronize",
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


def get_device_capability(device: Any = None) -> dict[str, Any]:
    """`supported_dtypes`: those that tensors on the GPU may have. Raises: DeviceError without
    one."""
    cuda.get_device_capability(device)
    found = {d for d in vars(dtypes).values() if isinstance(d, dtypes.dtype)}
    return {"supported_dtypes": found}


class device_index(cuda.device):
    """A `with` block in which the GPU of that number is current; None changes nothing."""

    def __init__(self, device: int | None) -> None:
        super().__init__(cuda.current_device() if device is None else device)


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has done all it was asked for. Raises: DeviceError if it is not there."""
    cuda.synchronize(device)


class Event(cuda.Event):
    """`torch.cuda.Event`, which takes a device first."""

    def __init__(
        self,
        device: Any = None,
        *,
        enable_timing: bool = False,
        blocking: bool = False,
        interprocess: bool = False,
    ) -> None:
        super().__init__(enable_timing, blocking, interprocess)


current_device_idx, set_device_idx = current_device_index, set_device_index
current_stream, set_stream = cuda.current_stream, cuda.set_stream
get_memory_info = cuda.mem_get_info
Stream = cuda.Stream
empty_cache = cuda.empty_cache
memory_allocated, max_memory_allocated = cuda.memory_allocated, cuda.max_memory_allocated
memory_reserved, max_memory_reserved = cuda.memory_reserved, cuda.max_memory_reserved
memory_stats = cuda.memory_stats
reset_peak_memory_stats = cuda.reset_peak_memory_stats
reset_accumulated_memory_stats = cuda.reset_accumulated_memory_stats
