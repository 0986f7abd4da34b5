"""Memory that the processes of one machine share: large tensors need not go through sockets.

Each process has two slots there. It writes a chunk into one of them, all meet, and each reads what
it needs of the others' slots while the other slot is filled: a slot is written again only after
another meeting, which nobody comes to before having read. Meetings go along the lanes, so that a
process that dies or calls something else is noticed as ever.
"""

from __future__ import annotations

import itertools
import mmap
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .lanes import Bytes, Lanes

SLOT = 1 << 21
"""Bytes of a slot: large against the time of a meeting (some 20 us), small against the caches."""

ALIGNMENT = 64
MEETING = memoryview(bytearray(1))


class Window:
    """The slots of the processes with `ranks` in the group, as one of them sees them."""

    def __init__(self, memory: mmap.mmap, ranks: list[int], own: int) -> None:
        self.ranks, self.own, self.size = ranks, own, len(ranks)
        whole = np.frombuffer(memory, np.uint8)
        self._slots = whole.reshape(self.size, 2, SLOT)
        self._turn = 0

    def _next(self) -> Any:
        """The slots, by place, that it is the turn of."""
        self._turn ^= 1
        return self._slots[:, self._turn]

    def _meet(self, lanes: Lanes) -> None:
        """Wait until all have come so far."""
        reach, size = 1, self.size
        while reach < size:
            lanes.exchange((self.own + reach) % size, MEETING, (self.own - reach) % size, MEETING)
            reach *= 2

    def all_reduce(self, lanes: Lanes, array: Any, combine: Any) -> None:
        """Combine the flat `array` of all in each, in the order of ranks."""
        step = SLOT // array.itemsize
        for start in range(0, array.size, step):
            chunk = array[start : start + step]
            slots = self._next()[:, : chunk.nbytes].view(array.dtype)
            slots[self.own] = chunk
            self._meet(lanes)
            if self.size == 2:
                combine(slots[0], slots[1], out=chunk)
                continue
            places = parts(chunk.size, self.size)
            mine = places[self.own]
            total = slots[0, mine].copy()
            for other in slots[1:]:
                combine(total, other[mine], out=total)
            slots[self.own, mine] = total
            self._meet(lanes)
            for k, place in enumerate(places):
                chunk[place] = slots[k, place]

    def reduce_scatter(self, lanes: Lanes, pieces: list[Any], combine: Any) -> None:
        """Combine piece k of all in the one at place k, in the order of ranks."""
        mine = pieces[self.own]
        width = SLOT // self.size // ALIGNMENT * ALIGNMENT
        step = width // mine.itemsize
        longest = max(piece.size for piece in pieces)
        for start in range(0, longest, step):
            slots = self._next()[:, : width * self.size].reshape(self.size, self.size, width)
            slots = slots[:, :, : step * mine.itemsize].view(mine.dtype)
            for k, piece in enumerate(pieces):
                part = piece[start : start + step]
                slots[self.own, k, : part.size] = part
            self._meet(lanes)
            own = mine[start : start + step]
            own[:] = slots[0, self.own, : own.size]
            for other in slots[1:]:
                combine(own, other[self.own, : own.size], out=own)

    def all_gather(self, lanes: Lanes, pieces: list[Bytes]) -> None:
        """Fill in the pieces of all others."""
        mine = pieces[self.own]
        for start in range(0, max(map(len, pieces)), SLOT):
            slots = self._next()
            part = mine[start : start + SLOT]
            slots[self.own, : len(part)] = part
            self._meet(lanes)
            for k, piece in enumerate(pieces):
                if k != self.own:
                    part = piece[start : start + SLOT]
                    np.asarray(part)[:] = slots[k, : len(part)]

    def broadcast(self, lanes: Lanes, data: Bytes, src: int) -> None:
        """Fill `data` with that of the one at place `src`."""
        for start in range(0, len(data), SLOT):
            slot = self._next()[src]
            part = np.asarray(data[start : start + SLOT])
            if self.own == src:
                slot[: part.size] = part
            self._meet(lanes)
            if self.own != src:
                part[:] = slot[: part.size]


def parts(count: int, size: int) -> list[slice]:
    """`count` elements cut for `size` processes, as equally as may be."""
    whole, rest = divmod(count, size)
    ends = [k * whole + min(k, rest) for k in range(size + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]
