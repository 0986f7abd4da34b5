"""Counters in memory of the GPU by which blocks know that they come last, see `last_block.cuh`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.dispatch import backends

if TYPE_CHECKING:
    from . import CUDABackend

COUNT = 4_096
"""Of a stream: more than blocks of which each has others to wait for, which fill a device."""
RECORDED = 65_536
"""At a time, of a graph."""

_of_streams: dict[tuple[int, int, int], Any] = {}
"""By library, device and stream, whose kernels run one after the other."""


class Recorded:
    """Counters for the kernels of a graph, which may run at the same time: each has its own."""

    def __init__(self, array: Any, device: int) -> None:
        self.array, self.device, self.taken = array, device, 0

    def has(self, device: int, count: int) -> bool:
        """Whether there are so many more on the device."""
        return self.device == device and self.taken + count <= RECORDED

    def take(self, count: int) -> int:
        """The address of so many."""
        place = int(self.array.data.ptr) + 4 * self.taken
        self.taken += count
        return place


def address(count: int) -> int:
    """The address of `count` uint32 counters of 0, for one launch on the current stream."""
    backend: CUDABackend = backends["cuda"]  # type: ignore[assignment]
    cuda = backend.xp.cuda
    device = cuda.runtime.getDevice()
    if backend.is_recording:
        return _recorded(backend, device, count).take(count)
    place = id(backend.xp), device, cuda.get_current_stream().ptr
    found = _of_streams.get(place)
    if found is None:
        found = _of_streams[place] = backend.xp.zeros(COUNT, np.uint32)
    if count > COUNT:
        raise ValueError(f"counters: expected at most {COUNT} for a launch. Got {count}.")
    return int(found.data.ptr)


def _recorded(backend: CUDABackend, device: int, count: int) -> Recorded:
    held = backend.recorded_numbers
    last = next((h for h in reversed(held) if isinstance(h, Recorded)), None)
    if last is None or not last.has(device, count):
        with backend.beside_recording(device):
            last = Recorded(backend.xp.zeros(RECORDED, np.uint32), device)
        held.append(last)
    return last
