"""GPUs: how many there are, which one is current, what they can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from ..backends import cuda as _backend
from ..backends.cuda import bounds, waits
from ..core.devices import device as _Device

__all__ = [
    "can_device_access_peer", "current_device", "device", "device_count", "device_of",
    "get_arch_list", "get_device_capability", "get_device_name", "get_device_properties",
    "get_gencode_flags", "get_sync_debug_mode", "init", "ipc_collect", "is_available",
    "is_bf16_supported",
    "is_initialized", "is_tf32_supported", "set_device", "set_sync_debug_mode",
    "synchronize",
]  # fmt: skip


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


@dataclass(frozen=True)
class _CudaDeviceProperties:
    """What a GPU is; sizes in bytes, clocks in kilohertz."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    warp_size: int
    max_threads_per_multi_processor: int
    regs_per_multiprocessor: int
    shared_memory_per_block: int
    shared_memory_per_block_optin: int
    shared_memory_per_multiprocessor: int
    L2_cache_size: int
    is_integrated: int
    is_multi_gpu_board: int
    pci_bus_id: int
    pci_device_id: int
    pci_domain_id: int
    clock_rate: int
    memory_clock_rate: int
    memory_bus_width: int
    max_threads_per_block: int
    uuid: str


_CUDA_NAMES = (
    "major minor totalGlobalMem multiProcessorCount warpSize maxThreadsPerMultiProcessor "
    "regsPerMultiprocessor sharedMemPerBlock sharedMemPerBlockOptin sharedMemPerMultiprocessor "
    "l2CacheSize integrated isMultiGpuBoard pciBusID pciDeviceID pciDomainID clockRate "
    "memoryClockRate memoryBusWidth maxThreadsPerBlock"
).split()


def get_device_properties(device: Any = None) -> _CudaDeviceProperties:
    """Name, capability, memory and units of the GPU. Raises: DeviceError if it is not there."""
    found = _properties(device)
    numbers = [int(found.get(n, 0)) for n in _CUDA_NAMES]  # CUDA 13 has dropped the clock rates
    # CuPy reads it as text, which ends with a byte of 0.
    name, uuid = get_device_name(device), UUID(bytes=bytes(found["uuid"])[:16].ljust(16, b"\0"))
    return _CudaDeviceProperties(name, *numbers, str(uuid))


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one GPU reads the memory of another by itself. Raises: DeviceError if either is not
    there."""
    ends = _index(device), _index(peer_device)
    return bool(_backend.xp.cuda.runtime.deviceCanAccessPeer(*ends))


class device_of(device):
    """A `with` block in which "cuda" means the GPU of the tensor `obj`; one of the CPU changes
    nothing."""

    def __init__(self, obj: Any) -> None:
        super().__init__(obj.device if obj.is_cuda else current_device())


def set_sync_debug_mode(debug_mode: int | str) -> None:
    """What happens where the CPU waits for the GPU without being told to (`item`, `tolist`, `cpu`,
    `if tensor:`, `nonzero`, copies that wait): "default" (0) nothing, "warn" (1) a warning, "error"
    (2) an error. Raises: ValueError for another word, DeviceError without a GPU."""
    names = waits.MODES
    if debug_mode not in (*names, *range(len(names))):
        raise ValueError(
            f"set_sync_debug_mode: expected one of {', '.join(names)}. Got {debug_mode!r}."
        )
    _index()
    waits.choose(names.index(debug_mode) if isinstance(debug_mode, str) else debug_mode)


def get_sync_debug_mode() -> int:
    """The number of the mode that `set_sync_debug_mode` chose."""
    return waits.mode()


def get_arch_list() -> list[str]:
    """The architectures that kernels are compiled for: those of the GPUs here, such as "sm_90"."""
    found = {get_device_capability(k) for k in range(device_count())}
    return [f"sm_{major}{minor}" for major, minor in sorted(found)]


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether there is a GPU that computes in bfloat16 (capability 8.0 on, or by emulation)."""
    return is_available() and (including_emulation or get_device_capability() >= (8, 0))


def is_initialized() -> bool:
    """Whether a GPU is in use."""
    return _backend.is_in_use


def init() -> None:
    """Begin to use the GPU. Raises: DeviceError if there is none."""
    _gpu()


def get_gencode_flags() -> str:
    """The same as options of NVIDIA's compiler."""
    numbers = [name.removeprefix("sm_") for name in get_arch_list()]
    return " ".join([f"-gencode compute=compute_{n},code=sm_{n}" for n in numbers])


def is_tf32_supported() -> bool:
    """Whether there is a GPU with TF32 units (capability 8.0 on)."""
    return is_available() and get_device_capability() >= (8, 0)


def ipc_collect() -> None:
    """Nothing: no memory of a GPU is shared among processes."""


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has done all it was asked for.

    Raises: DeviceError if it is not there, IndexError for an index that it found out of range.
    """
    gpu = _gpu(device)
    waits.wait_for(_backend.xp, gpu)
    bounds.raise_noted()
