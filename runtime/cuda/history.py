"""The history of the GPU's memory, for PyTorch's viewer (https://pytorch.org/memory_viz)."""

from __future__ import annotations

import pickle
from typing import Any

from ..backends import cuda as _backend
from ..backends.cuda.history import History
from .devices import _index, device_count, is_available

__all__ = ["_dump_snapshot", "_record_memory_history", "_snapshot", "memory_snapshot"]


def memory_snapshot(mempool_id: Any = None) -> list[dict[str, Any]]:
    """Every segment of memory with its blocks: address, size, stream and state."""
    if not is_available():
        return []
    found = _backend.allocator.segments()
    return [s for s in found if mempool_id is None or s["segment_pool_id"] == tuple(mempool_id)]


def _record_memory_history(
    enabled: Any = "all",
    context: Any = "all",
    stacks: str = "all",
    max_entries: int = 1 << 63,
    device: Any = None,
    clear_history: bool = False,
    **options: Any,
) -> None:
    """Keep the last `max_entries` events of memory on each GPU from now on, with the Python calls
    that led there unless `context` is None; with `enabled` None no longer.

    Raises: DeviceError without a GPU, ValueError for other words.
    """
    if enabled not in (None, False, True, "state", "all"):
        raise ValueError(
            f"_record_memory_history: expected enabled of None, 'state' or 'all'. Got {enabled!r}."
        )
    if not enabled:
        if is_available():
            _backend.allocator.history = None
        return
    _index()
    before = _backend.allocator.history
    history = History(min(int(max_entries), 1 << 31), context is not None)
    if before is not None and not clear_history:
        for index, events in before.events.items():
            history.events[index].extend(events)
        history.frames.update(before.frames)
    _backend.allocator.history = history


def _snapshot(device: Any = None, augment_with_fx_traces: bool = False) -> dict[str, Any]:
    """What memory there is, and what happened to it: `segments` and `device_traces`."""
    history = _backend.allocator.history if is_available() else None
    traces = [
        [] if history is None else list(history.events.get(index, ()))
        for index in range(device_count())
    ]
    return {"segments": memory_snapshot(), "device_traces": traces, "allocator_settings": {}}


def _dump_snapshot(
    filename: str = "dump_snapshot.pickle", augment_with_fx_traces: bool = False
) -> None:
    """Write `_snapshot` to a file."""
    with open(filename, "wb") as file:
        pickle.dump(_snapshot(), file)
