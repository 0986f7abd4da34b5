"""The GPU: whether there is one, which one is current, what memory it holds.

Without a GPU questions are answered with False or 0 and `empty_cache` does nothing.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Self

from ..backends import cuda as _backend
from ..core.devices import device as _Device
from ..ops.tensor_types import _BY_NAME, tensor_type
from ..random import generator_for as _generator_for
from ..random import initial_seed, seed
from ..random import manual_seed as _manual_seed
from . import amp
from .streams import (
    Event,
    Stream,
    current_stream,
    default_stream,
    set_stream,
    stream,
)

__all__ = [
    "Event",
    "OutOfMemoryError",
    "Stream",
    "amp",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_count",
    "empty_cache",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "init",
    "initial_seed",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_current_stream_capturing",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "reset_max_memory_allocated",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
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


def _properties(device: Any) -> dict[str, Any]:
    index = _index(device)  # first: it explains a missing CuPy
    found: dict[str, Any] = _backend.xp.cuda.runtime.getDeviceProperties(index)
    return found


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The GPU's compute capability, such as (9, 0). Raises: DeviceError if it is not there."""
    found = _properties(device)
    return int(found["major"]), int(found["minor"])


def get_device_properties(device: Any = None) -> SimpleNamespace:
    """Name, capability, memory in bytes and number of multiprocessors of the GPU. Raises:
    DeviceError if it is not there."""
    found = _properties(device)
    return SimpleNamespace(
        name=get_device_name(device),
        major=int(found["major"]),
        minor=int(found["minor"]),
        total_memory=int(found["totalGlobalMem"]),
        multi_processor_count=int(found["multiProcessorCount"]),
    )


def get_arch_list() -> list[str]:
    """The architectures that kernels are compiled for in advance: none, they are when needed."""
    return []


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether there is a GPU that computes in bfloat16 (capability 8.0 on, or by emulation)."""
    return is_available() and (including_emulation or get_device_capability() >= (8, 0))


def is_initialized() -> bool:
    """Whether the GPU is in use; it is from the start where there is one."""
    return is_available()


def init() -> None:
    """Begin to use the GPU. Raises: DeviceError if there is none."""
    _gpu()


def ipc_collect() -> None:
    """Nothing: no memory of a GPU is shared among processes."""


def is_current_stream_capturing() -> bool:
    """Whether work is being recorded into a graph."""
    return is_available() and bool(current_stream().handle.is_capturing())


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


max_memory_reserved = memory_reserved


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that tensors can have occupied since `reset_peak_memory_stats`: what the pool
    grew to meanwhile; 0 without a GPU."""
    return memory_reserved(device)


def reset_peak_memory_stats(device: Any = None) -> None:
    """Begin anew to find the peak: unused memory goes back to the driver."""
    empty_cache()


reset_max_memory_allocated = reset_peak_memory_stats


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
seed_all = seed


def get_rng_state(device: Any = None) -> Any:
    """The state of the GPU's generator, a uint8 tensor on the CPU. Raises: DeviceError without a
    GPU."""
    return _generator_for(_Device("cuda", _index(device))).get_state()


def set_rng_state(new_state: Any, device: Any = None) -> None:
    """Let the GPU's generator go on from `new_state`. Raises: DeviceError without a GPU."""
    _generator_for(_Device("cuda", _index(device))).set_state(new_state)


def get_rng_state_all() -> list[Any]:
    """The states of the generators of all GPUs; empty without one."""
    return [get_rng_state(f"cuda:{index}") for index in range(device_count())]


def set_rng_state_all(new_states: Any) -> None:
    """Let the generators of all GPUs go on from `new_states`."""
    for index, state in enumerate(new_states):
        set_rng_state(state, f"cuda:{index}")


class OutOfMemoryError(RuntimeError):
    """The GPU has no memory left."""


def __getattr__(name: str) -> Any:
    """`FloatTensor` and its like: the types of tensors on the GPU."""
    found = _BY_NAME.get(name)
    if found is not None:
        return tensor_type(name, found.dtype, "cuda")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
