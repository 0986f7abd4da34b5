"""Which processes of a group run on one machine, and the memory that those share."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import secrets
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from .lanes import Lanes
from .schedules import gather_small
from .window import SLOT, Window

BOOT = Path("/proc/sys/kernel/random/boot_id")
NAMES = Path("/proc/self/ns/pid")
PLACE = struct.Struct(
    "<qq16s"
)  # of memory: whose, its file descriptor there, the first bytes in it


def machine() -> str:
    """What processes have in common that can share memory: a kernel, and each other's numbers; a
    name of its own where that is not known."""
    try:
        return f"{BOOT.read_text().strip()}/{os.readlink(NAMES)}"
    except OSError:
        return secrets.token_hex(16)


def windows(lanes: Lanes) -> tuple[Window | None, list[list[int]]]:
    """The window of this process with the others of its machine, None if it has it to itself or no
    memory is to be had; and the ranks on each machine.

    All processes of `lanes` call it, and agree on whether windows are used: the schedule of all
    depends on it.
    """
    names = _told(lanes, hashlib.blake2b(machine().encode()).digest())
    by_machine: dict[bytes, list[int]] = {}
    for rank, name in enumerate(names):
        by_machine.setdefault(name, []).append(rank)
    ranks = by_machine[names[lanes.rank]]
    everywhere = list(by_machine.values())
    is_first = len(ranks) > 1 and lanes.rank == ranks[0]
    with _new_memory(ranks) if is_first else contextlib.nullcontext(PLACE.pack(0, 0, b"")) as own:
        memory = _opened(_told(lanes, own)[ranks[0]], ranks)
        is_ready = memory is not None or len(ranks) == 1
        if not all(map(ord, _told(lanes, bytes([is_ready])))):
            return None, [[rank] for rank in range(lanes.size)]
    return None if memory is None else Window(memory, ranks, ranks.index(lanes.rank)), everywhere


def _told(lanes: Lanes, data: bytes) -> list[bytes]:
    """What each process says, by rank; all say equally many bytes."""
    return [bytes(piece) for piece in gather_small(lanes, memoryview(data))]


@contextlib.contextmanager
def _new_memory(ranks: list[int]) -> Iterator[bytes]:
    """The place of memory for the windows of `ranks`, of nobody if there is none to be had. It is a
    file without a name, so that nothing stays behind whatever happens."""
    file, token = -1, secrets.token_bytes(16)
    try:
        file = os.memfd_create("flambeau")
        os.posix_fallocate(file, 0, _length(ranks))  # or want of memory is a SIGBUS later
        os.pwrite(file, token, 0)
        place = PLACE.pack(os.getpid(), file, token)
    except (OSError, AttributeError):  # no memory, or a system without such files
        place = PLACE.pack(0, 0, b"")
    try:
        yield place
    finally:
        if file >= 0:
            os.close(file)


def _opened(place: bytes, ranks: list[int]) -> mmap.mmap | None:
    """The memory at a place, if it is there: elsewhere its numbers may be those of another file."""
    pid, number, token = PLACE.unpack(place)
    path = Path(f"/proc/{pid}/fd/{number}")
    if pid == 0:
        return None
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size != _length(ranks):
            return None
        with path.open("r+b", buffering=0) as file:
            memory = mmap.mmap(file.fileno(), _length(ranks))
    except OSError:
        return None
    return memory if secrets.compare_digest(memory[: len(token)], token) else None


def _length(ranks: list[int]) -> int:
    return len(ranks) * 2 * SLOT
