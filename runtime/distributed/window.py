"""Memory that the processes of one machine share: large tensors need not go through sockets.

Each process has two slots there. It writes a chunk into one of them, all meet, and each reads what
it needs of the others' slots while the other slot is filled: a slot is written again only after
another meeting, which nobody comes to before having read. Meetings go along the lanes, so that a
process that dies or calls something else is noticed as ever.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .store import Store

if TYPE_CHECKING:
    from .lanes import Bytes, Lanes

DIRECTORY = Path("/dev/shm")
BOOT = Path("/proc/sys/kernel/random/boot_id")
SLOT = 1 << 20
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


def machine() -> str:
    """What processes have in common that can share memory; a name of its own where it is not
    known."""
    try:
        return f"{BOOT.read_text().strip()}/{DIRECTORY.stat().st_dev}"
    except OSError:
        return secrets.token_hex(16)


def windows(store: Store, rank: int, size: int) -> tuple[Window | None, list[list[int]]]:
    """The window of this process with the others of its machine, None if it has it to itself or no
    memory is to be had; and the ranks on each machine."""
    store.set(f"machine/{rank}", machine())
    names = store.multi_get([f"machine/{k}" for k in range(size)])
    by_machine: dict[bytes, list[int]] = {}
    for k, name in enumerate(names):
        by_machine.setdefault(name, []).append(k)
    ranks = by_machine[names[rank]]
    everywhere = list(by_machine.values())
    # All processes agree on whether windows are used: the schedule of all depends on it.
    window = _shared(store, rank, ranks) if len(ranks) > 1 else None
    store.set(f"window/{rank}", "1" if window is not None or len(ranks) == 1 else "0")
    agreed = store.multi_get([f"window/{k}" for k in range(size)])
    if b"0" in agreed:
        return None, [[k] for k in range(size)]
    return window, everywhere


def _shared(store: Store, rank: int, ranks: list[int]) -> Window | None:
    """The window of `ranks`, made by the first of them; its file has no name any more when all have
    it, so that nothing stays behind whatever happens."""
    length = len(ranks) * 2 * SLOT
    key = f"memory/{ranks[0]}"
    memory = None
    with contextlib.suppress(OSError):
        if rank == ranks[0]:
            file, path = tempfile.mkstemp(prefix="flambeau-", dir=DIRECTORY)
            try:
                os.posix_fallocate(file, 0, length)  # or a full disk would be a SIGBUS later
                memory = mmap.mmap(file, length)
                store.set(key, path)
                store.wait([f"{key}/{k}" for k in ranks[1:]])
            finally:
                os.close(file)
                os.unlink(path)
                if memory is None:
                    store.set(key, "")
        else:
            path = store.get(key).decode()
            try:
                if path:
                    file = os.open(path, os.O_RDWR)
                    memory = mmap.mmap(file, length)
                    os.close(file)
            finally:
                store.set(f"{key}/{rank}", "")
    return None if memory is None else Window(memory, ranks, ranks.index(rank))
