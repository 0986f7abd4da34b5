"""The GPU: whether there is one, which one is current, what memory it holds.

Without a GPU questions are answered with False or 0 and `empty_cache` does nothing.
"""

from __future__ import annotations

from typing import Any, Self

from ..backends import cuda as _backend
from ..core.devices import device as _Device
from ..random import manual_seed as _manual_seed
from . import amp

__all__ = [
    "amp",
    "current_device",
    "device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "set_device",
    "synchronize",
]


def device_count() -> int:
    """Number of GPUs that can be used."""
    return _backend.device_count()


def is_available() -> bool:
    """Whether tensors can live on a GPU here."""
    return device_count() > 0


def _index(place: Any = None) -> int:
    """The number of the GPU `place`, the current one for None.

    Raises: DeviceError if it is not there, ValueError for another kind of device.
    """
    found = _Device("cuda") if place is None else _Device(place)
    if found.type != "cuda":
        raise ValueError(f"Expected a CUDA device. Got {place!r}.")
    index = _backend.check(found).index
    assert index is not None
    return index


def _gpu(place: Any = None) -> Any:
    """CuPy's handle of the GPU `place`. Raises: as `_index`."""
    index = _index(place)  # first: it explains a missing CuPy
    return _backend.xp.cuda.Device(index)


def current_device() -> int:
    """Number of the GPU that "cuda" means. Raises: DeviceError if there is none."""
    return _index()


def set_device(device: Any) -> None:
    """Make `device` the GPU that "cuda" means. Raises: DeviceError if it is not there."""
    _gpu(device).use()


class device:
    """A `with` block in which "cuda" means the GPU `device`."""

    def __init__(self, device: Any) -> None:
        self._index = _index(device)

    def __enter__(self) -> Self:
        self._before = current_device()
        set_device(self._index)
        return self

    def __exit__(self, *exception: object) -> None:
        set_device(self._before)


def get_device_name(device: Any = None) -> str:
    """The GPU's name. Raises: DeviceError if it is not there."""
    index = _index(device)
    name = _backend.xp.cuda.runtime.getDeviceProperties(index)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has done all it was asked for. Raises: DeviceError if it is not there."""
    _gpu(device).synchronize()


def empty_cache() -> None:
    """Give the memory that no tensor uses back to the driver."""
    if is_available():
        _backend.xp.get_default_memory_pool().free_all_blocks()
        _backend.xp.get_default_pinned_memory_pool().free_all_blocks()


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors on the GPU occupy; 0 without a GPU."""
    return _pooled("used_bytes", device)


def memory_reserved(device: Any = None) -> int:
    """Bytes that the pool holds of the GPU, in use or not; 0 without a GPU."""
    return _pooled("total_bytes", device)


def _pooled(what: str, device: Any) -> int:
    if not is_available():
        return 0
    with _gpu(device):
        return int(getattr(_backend.xp.get_default_memory_pool(), what)())


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and all bytes of the GPU. Raises: DeviceError if it is not there."""
    with _gpu(device):
        free, total = _backend.xp.cuda.runtime.memGetInfo()
    return int(free), int(total)


def manual_seed(seed: int) -> None:
    """Seed the generators; one seed serves all devices."""
    _manual_seed(seed)


manual_seed_all = manual_seed
