"""Many arrays in one launch: their places go along by value, their elements are cut into chunks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from . import launch

WORDS = 448
"""Words of `struct Table` in `tables.cuh`."""
TABLE = f"{8 * WORDS}s"
"""The table among the words of a kernel."""
HEAD = 2
"""Words of a record before its places: its first chunk and its size."""
LEAST_CHUNK, MOST_CHUNK = 2_048, 65_536
"""Elements of a block: enough for eight of each thread, and few enough that blocks end alike."""
BLOCKS_PER_MULTIPROCESSOR = 16
THREADS = 256

Group = list[Any]
"""Arrays of one size, such as a parameter, its gradient and its state."""


class Table(NamedTuple):
    """What one launch has to do."""

    words: bytes
    records: int
    chunks: int


def chunk_length(groups: list[Group]) -> int:
    """Elements of a block, a power of 2, so that large arrays fill the device a few times over."""
    return chunk_length_of(sum([group[0].size for group in groups]))


def chunk_length_of(elements: int) -> int:
    """The same for so many elements."""
    share = elements // (BLOCKS_PER_MULTIPROCESSOR * launch.driver.multiprocessors())
    return min(MOST_CHUNK, max(LEAST_CHUNK, 1 << share.bit_length()))


def tables(groups: list[Group], length: int) -> Iterator[Table]:
    """Tables of all groups, as many as are needed."""
    count = WORDS // (HEAD + len(groups[0]))
    for start in range(0, len(groups), count):
        words: list[int] = []
        chunks = 0
        part = [group for group in groups[start : start + count] if group[0].size]
        for group in part:
            size = group[0].size
            words += (chunks, size)
            words += [array.data.ptr for array in group]
            chunks += -(-size // length)
        if part:
            yield Table(struct.pack(f"={len(words)}Q", *words), len(part), chunks)
