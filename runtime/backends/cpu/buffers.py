"""Keeps the memory of freed arrays for the next ones.

By itself glibc maps each large block anew and gives it back at once, so that the system must clear
all its pages again in the next operation: 400 ms of a training step of a GPT (6 layers, 384 wide,
batch 8 of 256) and half the time of a layer norm over 4M elements went there. Told to serve blocks
up to 32 MiB (the most that it takes) from its heap, and to keep what is free at the heap's end, it
is a pool: for all threads, without a lock or a copy of ours, and nothing that an array, a view or a
fork could notice.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, in <malloc.h>

LARGEST_BLOCK = 32 << 20
"""Bytes from which a block is mapped by itself: HEAP_MAX_SIZE / 2 on 64-bit systems, the most that
glibc accepts."""

MOST_KEPT = 1 << 30
"""Bytes kept at the end of the heap, at most; an eighth of the machine's memory if that is less."""

_OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def _libc(function: str) -> Any:
    """A function of glibc, or None where the C library is another one."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return getattr(library, function, None) if hasattr(library, "gnu_get_libc_version") else None


def keep_freed(most: int | None = None) -> bool:
    """Keep freed memory, up to `most` bytes at the heap's end (0: as little as glibc would by
    default); whether that was possible.

    Left alone: other C libraries, and processes whose environment sets these limits for glibc.
    """
    mallopt = _libc("mallopt")
    if mallopt is None or any(name in os.environ for name in _OWN_SETTINGS):
        return False
    if most is None:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        most = min(MOST_KEPT, memory // 8)
    default = 128 << 10
    limits = (max(most, default), LARGEST_BLOCK if most else default)
    return bool(mallopt(_TRIM_THRESHOLD, limits[0]) and mallopt(_MMAP_THRESHOLD, limits[1]))


def release() -> None:
    """Give all whole pages that are free back to the system; it takes part in `%free`."""
    trim = _libc("malloc_trim")
    if trim is not None:
        trim(0)
