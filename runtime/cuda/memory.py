"""The GPU's memory: how much tensors hold, how much is kept between them, and giving it back.

Without a GPU the counts are 0 and `empty_cache` does nothing.
"""

from __future__ import annotations

from typing import Any

from ..backends import cuda as _backend
from ..backends.cuda.memory import Counts
from .devices import _gpu, _index, is_available
from .history import _dump_snapshot as _dump_snapshot
from .history import _record_memory_history as _record_memory_history
from .history import _snapshot as _snapshot
from .history import memory_snapshot
from .pools import (
    CUDAPluggableAllocator,
    MemPool,
    caching_allocator_alloc,
    caching_allocator_delete,
    caching_allocator_enable,
    change_current_allocator,
    get_allocator_backend,
    use_mem_pool,
)

__all__ = [
    "CUDAPluggableAllocator",
    "MemPool",
    "caching_allocator_alloc",
    "caching_allocator_delete",
    "caching_allocator_enable",
    "change_current_allocator",
    "empty_cache",
    "get_allocator_backend",
    "get_per_process_memory_fraction",
    "max_memory_allocated",
    "max_memory_cached",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_cached",
    "memory_reserved",
    "memory_snapshot",
    "memory_stats",
    "memory_stats_as_nested_dict",
    "memory_summary",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
    "use_mem_pool",
]  # fmt: skip


def _counts(device: Any) -> Counts:
    """What was counted on the GPU `device`; zeros without one."""
    if not is_available():
        return Counts()
    return _backend.allocator.counted(_index(device))


def empty_cache() -> None:
    """Give the memory that no tensor uses back to the driver; not while a graph is recorded, which
    waiting for the GPU would end."""
    if is_available() and not _backend.is_recording:
        xp = _backend.xp
        _backend.allocator.give_back()
        xp.get_default_memory_pool().free_all_blocks()
        xp.get_default_pinned_memory_pool().free_all_blocks()


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors on the GPU occupy; 0 without a GPU."""
    return _counts(device).allocated


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that tensors have occupied at a time since `reset_peak_memory_stats`."""
    return _counts(device).peak


def memory_reserved(device: Any = None) -> int:
    """Bytes that were asked of the driver, in use or kept for reuse; 0 without a GPU."""
    return _counts(device).reserved


def max_memory_reserved(device: Any = None) -> int:
    """The most of them at a time since `reset_peak_memory_stats`."""
    return _counts(device).reserved_peak


def reset_peak_memory_stats(device: Any = None) -> None:
    """Begin anew to find the peaks."""
    _counts(device).reset_peaks()


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Begin anew to count what was allocated and freed in all."""
    counts = _counts(device)
    for name in ("allocated", "blocks", "reserved", "segments", "requested"):
        setattr(counts, f"{name}_total", getattr(counts, name))
    counts.retries = counts.failures = 0


memory_cached, max_memory_cached = memory_reserved, max_memory_reserved
reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats

_NAMES = {
    "allocated_bytes": "allocated", "allocation": "blocks", "reserved_bytes": "reserved",
    "segment": "segments", "requested_bytes": "requested",
}  # fmt: skip


def memory_stats_as_nested_dict(device: Any = None) -> dict[str, Any]:
    """What `memory_stats` gives, as dictionaries in dictionaries."""
    counts, found = _counts(device), {}
    for name, own in _NAMES.items():
        now, total = getattr(counts, own), getattr(counts, f"{own}_total")
        peak = counts.peak if own == "allocated" else getattr(counts, f"{own}_peak")
        row = {"current": now, "peak": peak, "allocated": total,
               "freed": total - now}  # fmt: skip
        found[name] = {"all": row}
    found["active_bytes"], found["active"] = found["allocated_bytes"], found["allocation"]
    return found | {"num_alloc_retries": counts.retries, "num_ooms": counts.failures}


def memory_stats(device: Any = None) -> dict[str, Any]:
    """Counts by name, such as "allocated_bytes.all.peak": `current`, `peak`, and what was
    `allocated` and `freed` in all, of `allocated_bytes`, `reserved_bytes`, `requested_bytes`
    (before rounding), `allocation` and `segment` (numbers); `num_alloc_retries`, `num_ooms`."""
    flat: dict[str, Any] = {}
    for name, value in memory_stats_as_nested_dict(device).items():
        if isinstance(value, dict):
            flat |= {f"{name}.all.{key}": number for key, number in value["all"].items()}
        else:
            flat[name] = value
    return dict(sorted(flat.items()))


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """A table of `memory_stats`, for reading."""
    rows = [("", "now", "peak", "allocated in all", "freed in all")]
    for name, value in memory_stats_as_nested_dict(device).items():
        if isinstance(value, dict) and not name.startswith("active"):
            write = _bytes if name.endswith("bytes") else str
            rows.append((name.replace("_", " "), *map(write, value["all"].values())))
    counts = _counts(device)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    where = f"cuda:{_index(device)}" if is_available() else "no GPU"
    told = f"Memory on {where}: {counts.failures} out of memory, {counts.retries} retries"
    return "\n".join([told, *lines])


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and all bytes of the GPU. Raises: DeviceError if it is not there."""
    with _gpu(device):
        free, total = _backend.xp.cuda.runtime.memGetInfo()
    return int(free), int(total)


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Let this process have no more than a fraction, from 0 to 1, of the GPU's memory.

    Raises: ValueError for another fraction.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"Expected a fraction from 0 to 1. Got {fraction}.")
    total = mem_get_info(device)[1]
    _backend.allocator.limits[_index(device)] = int(fraction * total)


def get_per_process_memory_fraction(device: Any = None) -> float:
    """That fraction; 1 if none was set."""
    total = mem_get_info(device)[1]
    return _backend.allocator.limits.get(_index(device), total) / total
