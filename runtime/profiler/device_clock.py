"""When the GPU did what: events of CUDA before and behind each operation, read at the end.

Nobody waits for the GPU meanwhile, so that it works beside the CPU as it does without a profile. An
operation's time is from the moment at which the GPU has done what came before, and has been told
of the operation, to its end: where the GPU waits for the CPU, the launches are part of it.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import Any

from ..backends import cuda as _backend
from .recording import Event

MOST_WAITING = 4_096
"""Pairs of CUDA's events that are kept unread."""


class DeviceClock:
    """The times of operations on the GPUs."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Event, Any, Any, int]] = deque()
        self._last: dict[int, tuple[Any, float]] = {}  # by GPU, an event and its `perf_counter`

    def mark(self, device: int) -> Any:
        """An event behind the work that a GPU's current stream was given; None while a graph is
        recorded, of which each replay has times of its own."""
        if _backend.is_recording:
            return None
        cuda = _backend.xp.cuda
        with cuda.Device(device):
            if device not in self._last:
                origin = cuda.Event()
                origin.record()
                origin.synchronize()
                self._last[device] = origin, perf_counter()
            found = cuda.Event()
            found.record()
        return found

    def spend(self, event: Event, before: Any, device: int) -> None:
        """Have `event`, whose work begins behind `before`, end here."""
        behind = self.mark(device)
        if before is None or behind is None:
            return
        self._waiting.append((event, before, behind, device))
        if len(self._waiting) >= MOST_WAITING:
            self._read(len(self._waiting) // 2)

    def close(self) -> None:
        """Wait for the GPU and read all times."""
        self._read(len(self._waiting))

    def _read(self, count: int) -> None:
        elapsed = _backend.xp.cuda.get_elapsed_time if count else None
        for _ in range(count):
            event, before, behind, device = self._waiting.popleft()
            behind.synchronize()
            assert elapsed is not None
            origin, time = self._last[device]
            # From event to event: the milliseconds since the first one would lose digits.
            event.device_start = time + elapsed(origin, before) / 1e3
            event.device_seconds = elapsed(before, behind) / 1e3
            event.device = device
            self._last[device] = before, event.device_start
