"""Which processes of a group run on one machine, and the memory that those share."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .lanes import Lanes
from .schedules import gather_small
from .window import SLOT, Window

DIRECTORY = Path("/dev/shm")
BOOT = Path("/proc/sys/kernel/random/boot_id")
PATH_BYTES = 256  # room for the path of a file in DIRECTORY


def machine() -> str:
    """What processes have in common that can share memory; a name of its own where it is not
    known."""
    try:
        return f"{BOOT.read_text().strip()}/{DIRECTORY.stat().st_dev}"
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
    with _new_file(ranks) if lanes.rank == ranks[0] else contextlib.nullcontext("") as path:
        paths = _told(lanes, path.encode().ljust(PATH_BYTES, b"\0"))
        memory = _opened(paths[ranks[0]].rstrip(b"\0").decode(), ranks)
        is_ready = memory is not None or len(ranks) == 1
        if not all(map(ord, _told(lanes, bytes([is_ready])))):
            return None, [[rank] for rank in range(lanes.size)]
    return None if memory is None else Window(memory, ranks, ranks.index(lanes.rank)), everywhere


def _told(lanes: Lanes, data: bytes) -> list[bytes]:
    """What each process says, by rank; all say equally many bytes."""
    return [bytes(piece) for piece in gather_small(lanes, memoryview(data))]


@contextlib.contextmanager
def _new_file(ranks: list[int]) -> Iterator[str]:
    """The path of memory for the windows of `ranks`, "" if there is none to be had; its name is
    gone when all have it, so that nothing stays behind."""
    path = ""
    if len(ranks) > 1:
        with contextlib.suppress(OSError):
            file, path = tempfile.mkstemp(prefix="flambeau-", dir=DIRECTORY)
    try:
        if path:
            try:
                os.posix_fallocate(file, 0, _length(ranks))  # or a full disk is a SIGBUS later
            except OSError:
                yield ""
                return
            finally:
                os.close(file)
        yield path
    finally:
        if path:
            os.unlink(path)


def _opened(path: str, ranks: list[int]) -> mmap.mmap | None:
    if not path:
        return None
    try:
        with open(path, "r+b") as file:
            return mmap.mmap(file.fileno(), _length(ranks))
    except OSError:
        return None


def _length(ranks: list[int]) -> int:
    return len(ranks) * 2 * SLOT
