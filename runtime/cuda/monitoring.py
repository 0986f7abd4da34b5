"""What the driver's management library (NVML) tells of a GPU: load, heat, power, clocks, memory and
the processes on it."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from ..backends import cuda as _backend
from .devices import _index

__all__ = [
    "clock_rate", "device_memory_used", "list_gpu_processes", "memory_usage", "power_draw",
    "temperature", "utilization",
]  # fmt: skip

LIBRARIES = ("libnvidia-ml.so.1", "nvml.dll")
"""NVML on Linux and on Windows; it comes with the driver."""
TOO_SMALL = 7
"""NVML_ERROR_INSUFFICIENT_SIZE."""
TEMPERATURE_OF_GPU, CLOCK_OF_MULTIPROCESSORS = 0, 1
"""NVML_TEMPERATURE_GPU and NVML_CLOCK_SM."""


class _Utilization(ctypes.Structure):
    """nvmlUtilization_t, in percent of the last second or so."""

    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class _Memory(ctypes.Structure):
    """nvmlMemory_t, in bytes."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class _Process(ctypes.Structure):
    """nvmlProcessInfo_t."""

    _fields_ = [
        ("pid", ctypes.c_uint), ("memory", ctypes.c_ulonglong),
        ("instance", ctypes.c_uint), ("compute_instance", ctypes.c_uint),
    ]  # fmt: skip


@cache
def _library() -> Any:
    """NVML, initialized. Raises: RuntimeError where it is missing or refuses."""
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.nvmlErrorString.restype = ctypes.c_char_p
        _check(library, "nvmlInit_v2", library.nvmlInit_v2())
        return library
    raise RuntimeError(
        f"Expected the driver's management library, {LIBRARIES[0]}, which tells of a GPU's load "
        "and heat. It was not found: it comes with the NVIDIA driver."
    )


def _check(library: Any, call: str, status: int) -> None:
    if status:
        told = library.nvmlErrorString(status).decode()
        raise RuntimeError(f"NVML: {call} failed. It says: {told}.")


def _ask(device: Any, call: str, *arguments: Any) -> None:
    """Call NVML about a GPU, which it knows by the place on the bus. Raises: DeviceError for a GPU
    that is not there, RuntimeError for what NVML refuses."""
    index = _index(device)
    library = _library()
    place = _backend.xp.cuda.runtime.deviceGetPCIBusId(index)
    handle = ctypes.c_void_p()
    found = library.nvmlDeviceGetHandleByPciBusId_v2(place.encode(), ctypes.byref(handle))
    _check(library, "nvmlDeviceGetHandleByPciBusId_v2", found)
    status = getattr(library, call)(handle, *arguments)
    if status != TOO_SMALL:  # which comes with the size that is wanted
        _check(library, call, status)


def _number(device: Any, call: str, *arguments: int) -> int:
    value = ctypes.c_uint()
    _ask(device, call, *arguments, ctypes.byref(value))
    return value.value


def _utilization(device: Any) -> _Utilization:
    found = _Utilization()
    _ask(device, "nvmlDeviceGetUtilizationRates", ctypes.byref(found))
    return found


def utilization(device: Any = None) -> int:
    """Percent of the last second or so in which kernels ran. Raises: RuntimeError without NVML."""
    return int(_utilization(device).gpu)


def memory_usage(device: Any = None) -> int:
    """Percent of the last second or so in which memory was read or written. Raises: RuntimeError
    without NVML."""
    return int(_utilization(device).memory)


def temperature(device: Any = None) -> int:
    """Degrees Celsius. Raises: RuntimeError without NVML."""
    return _number(device, "nvmlDeviceGetTemperature", TEMPERATURE_OF_GPU)


def power_draw(device: Any = None) -> int:
    """Milliwatts. Raises: RuntimeError without NVML."""
    return _number(device, "nvmlDeviceGetPowerUsage")


def clock_rate(device: Any = None) -> int:
    """Megahertz of the multiprocessors. Raises: RuntimeError without NVML."""
    return _number(device, "nvmlDeviceGetClockInfo", CLOCK_OF_MULTIPROCESSORS)


def device_memory_used(device: Any = None) -> int:
    """Bytes in use on the GPU, by all processes. Raises: RuntimeError without NVML."""
    found = _Memory()
    _ask(device, "nvmlDeviceGetMemoryInfo", ctypes.byref(found))
    return int(found.used)


def list_gpu_processes(device: Any = None) -> str:
    """The processes on a GPU and the memory of each, in words. Raises: RuntimeError without
    NVML."""
    count = ctypes.c_uint(0)
    call = "nvmlDeviceGetComputeRunningProcesses_v3"
    _ask(device, call, ctypes.byref(count), None)
    count.value += 8  # some may have come meanwhile
    found = (_Process * count.value)()
    _ask(device, call, ctypes.byref(count), found)
    lines = [f"GPU:{_index(device)}"]
    lines += [
        f"process {p.pid:>10d} uses {p.memory / 2**20:>12.3f} MB GPU memory"
        for p in found[: count.value]
    ]
    return "\n".join(lines if count.value else [*lines, "no processes are running"])
