"""Who sends what to whom, and when: the algorithms of collectives over lanes.

Small messages go to all in as few steps as may be (Bruck's all-gather: the logarithm of the number
of processes), and each process combines them in the order of ranks. Large ones are cut into a part
for each process: each combines its own part and hands it on to all, so that of an all-reduce of N
bytes each of n processes sends and receives 2 (n-1)/n N. Either way all end with the same bits.

Sources: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in
MPICH, 2005, sections 4.1 to 4.5.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .lanes import Bytes, Lanes
from .window import parts

SMALL = 1 << 15
"""Bytes of all processes together, up to which messages are exchanged whole."""

CHUNK = 1 << 19
"""Bytes that are combined while the next ones are on their way, and lie in a core's cache."""


def bytes_of(array: Any) -> Bytes:
    """The memory of a row-major array."""
    return memoryview(array.reshape(-1).view(np.uint8))


def gather_small(lanes: Lanes, data: Bytes) -> list[Bytes]:
    """The `data`, of one length everywhere, of all processes, by rank."""
    rank, size, width = lanes.rank, lanes.size, len(data)
    found = memoryview(bytearray(max(1, size * width)))[: size * width]
    found[:width] = data  # place k holds what is of rank + k
    have = 1
    while have < size:
        more = min(have, size - have)
        lanes.exchange(
            (rank - have) % size,
            found[: more * width],
            (rank + have) % size,
            found[have * width : (have + more) * width],
        )
        have += more
    places = [(k - rank) % size for k in range(size)]
    return [found[p * width : (p + 1) * width] for p in places]


def all_reduce(lanes: Lanes, array: Any, combine: Any) -> None:
    """Combine the flat `array` of all processes in each of them."""
    if lanes.size * array.nbytes <= SMALL:
        everyone = [
            np.asarray(data).view(array.dtype) for data in gather_small(lanes, bytes_of(array))
        ]
        array[:] = everyone[0]
        for other in everyone[1:]:
            combine(array, other, out=array)
        return
    if lanes.window is not None:
        lanes.window.all_reduce(lanes, array, combine)
        return
    if lanes.machines is not None:
        _all_reduce_by_machines(lanes, array, combine)
        return
    pieces = [array[place] for place in parts(array.size, lanes.size)]
    reduce_scatter(lanes, pieces, combine)
    all_gather(lanes, [bytes_of(piece) for piece in pieces])


def _all_reduce_by_machines(lanes: Lanes, array: Any, combine: Any) -> None:
    """Within each machine first, so that only one sum of it goes over the network, in as many parts
    as there are processes to send them."""
    here, across = lanes.here(), lanes.across()
    pieces = [array[place] for place in parts(array.size, here.size)]
    reduce_scatter(here, pieces, combine)
    all_reduce(across, pieces[here.rank], combine)
    all_gather(here, [bytes_of(piece) for piece in pieces])


def reduce_scatter(lanes: Lanes, pieces: list[Any], combine: Any) -> None:
    """Combine piece k of all processes in process k, in place; other pieces stay as they are."""
    rank, size = lanes.rank, lanes.size
    if lanes.window is not None:
        lanes.window.reduce_scatter(lanes, pieces, combine)
        return
    mine = pieces[rank]
    step = max(1, CHUNK // mine.itemsize)
    arrived = np.empty(min(step, mine.size), mine.dtype)
    for distance in range(1, size):
        dst, src = (rank + distance) % size, (rank - distance) % size
        theirs = pieces[dst]
        for start in range(0, max(mine.size, theirs.size, 1), step):
            own = mine[start : start + step]
            into = arrived[: own.size]
            lanes.exchange(dst, bytes_of(theirs[start : start + step]), src, bytes_of(into))
            combine(own, into, out=own)


def all_gather(lanes: Lanes, pieces: list[Bytes]) -> None:
    """Fill in the pieces of all others; piece k comes from process k."""
    rank, size = lanes.rank, lanes.size
    widths = {len(piece) for piece in pieces}
    if len(widths) == 1 and size * len(pieces[0]) <= SMALL:
        for k, data in enumerate(gather_small(lanes, pieces[rank])):
            if k != rank:
                pieces[k][:] = data
        return
    if lanes.window is not None:
        lanes.window.all_gather(lanes, pieces)
        return
    for distance in range(1, size):
        dst, src = (rank + distance) % size, (rank - distance) % size
        lanes.exchange(dst, pieces[rank], src, pieces[src])


def broadcast(lanes: Lanes, data: Bytes, src: int) -> None:
    """Fill `data` everywhere with that of process `src`: small ones along a tree, large ones from
    each process to the next, in chunks."""
    rank, size = lanes.rank, lanes.size
    place = (rank - src) % size
    if len(data) > SMALL and lanes.window is not None:
        lanes.window.broadcast(lanes, data, src)
        return
    if len(data) > SMALL:
        before, after = (rank - 1) % size, (rank + 1) % size
        for start in range(0, len(data), CHUNK):
            chunk = data[start : start + CHUNK]
            if place > 0:
                lanes.exchange(before, None, before, chunk)
            if place < size - 1:
                lanes.exchange(after, chunk, after, None)
        return
    reach = 1
    while reach < size:
        if place < reach and place + reach < size:
            dst = (rank + reach) % size
            lanes.exchange(dst, data, dst, None)
        elif reach <= place < 2 * reach:
            origin = (rank - reach) % size
            lanes.exchange(origin, None, origin, data)
        reach *= 2


def reduce(lanes: Lanes, array: Any, combine: Any, dst: int) -> None:
    """Combine the flat `array` of all processes in process `dst`; elsewhere it stays."""
    result = array if lanes.rank == dst else array.copy()
    if lanes.size * array.nbytes <= SMALL:
        all_reduce(lanes, result, combine)
        return
    pieces = [result[place] for place in parts(array.size, lanes.size)]
    reduce_scatter(lanes, pieces, combine)
    gather(lanes, bytes_of(pieces[lanes.rank]), [bytes_of(piece) for piece in pieces], dst)


def gather(lanes: Lanes, data: Bytes, into: list[Bytes], dst: int) -> None:
    """Bring the `data` of process k into piece k of process `dst`, which has its own already."""
    if lanes.rank != dst:
        lanes.exchange(dst, data, dst, None)
        return
    for src in range(lanes.size):
        if src != dst:
            lanes.exchange(src, None, src, into[src])


def scatter(lanes: Lanes, pieces: list[Bytes], into: Bytes, src: int) -> None:
    """Bring piece k of process `src` to process k; its own it has already."""
    if lanes.rank != src:
        lanes.exchange(src, None, src, into)
        return
    for dst in range(lanes.size):
        if dst != src:
            lanes.exchange(dst, pieces[dst], dst, None)


def all_to_all(lanes: Lanes, pieces: list[Bytes], into: list[Bytes]) -> None:
    """Bring piece k of each process to process k, into the place of who sent it."""
    rank, size = lanes.rank, lanes.size
    into[rank][:] = pieces[rank]
    for distance in range(1, size):
        dst, src = (rank + distance) % size, (rank - distance) % size
        lanes.exchange(dst, pieces[dst], src, into[src])
