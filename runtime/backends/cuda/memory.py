"""The GPU's memory: blocks that tensors gave back are kept and handed out again.

CUDA's own allocation waits for the whole device, so memory is asked of it in segments, of which
blocks are cut. A block belongs to the stream that it was allocated on and is free for that stream's
next work the moment its tensor is gone; a block that other streams use too (`record_stream`) waits
for them. Blocks of equal size are reused as they are; only when none fits are neighbours merged.
Memory allocated while a graph is captured comes from the graph's own pool, which nothing else uses.

What is counted, and under which names, follows `torch.cuda.memory_stats`.
"""

from __future__ import annotations

import bisect
import gc
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from ...errors import OutOfMemoryError
from .history import History

ROUND = 512
"""Bytes that sizes and addresses are multiples of."""
SMALL = 1 << 20
"""Bytes up to which blocks come from small segments."""
SMALL_SEGMENT, LARGE_SEGMENT = 2 << 20, 20 << 20
"""Bytes of the segments that small blocks, and blocks of less than half of it, are cut of."""
LARGE_ROUND = 2 << 20
"""Bytes that the segments of larger blocks are multiples of."""

FULL = 2
"""cudaErrorMemoryAllocation."""

current: CachingAllocator
"""Where the memory of arrays comes from, once CuPy is in use."""


class Part:
    """A part of a segment: a block in use, or free. Neighbours are linked."""

    __slots__ = (
        "address", "arena", "before", "behind", "is_free", "requested", "segment", "size", "users",
    )  # fmt: skip

    def __init__(self, address: int, size: int, arena: Arena, segment: int) -> None:
        self.address, self.size, self.arena, self.segment = address, size, arena, segment
        self.before: Part | None = None
        self.behind: Part | None = None
        self.is_free = True
        self.requested = 0
        self.users: set[Any] | None = None  # streams of others that read or write it


class Counts:
    """What happened on one device, in bytes and numbers; `peak` names are the most at a time."""

    __slots__ = (
        "allocated", "allocated_peak", "allocated_total", "blocks", "blocks_peak", "blocks_total",
        "earlier_peak", "failures", "requested", "requested_peak", "requested_total", "reserved",
        "reserved_peak", "reserved_total", "retries", "segments", "segments_peak", "segments_total",
    )  # fmt: skip

    def __init__(self) -> None:
        self.allocated = self.allocated_peak = self.allocated_total = 0
        self.blocks = self.blocks_peak = self.blocks_total = 0
        self.reserved = self.reserved_peak = self.reserved_total = 0
        self.segments = self.segments_peak = self.segments_total = 0
        self.requested = self.requested_peak = self.requested_total = 0
        self.retries = self.failures = self.earlier_peak = 0

    @property
    def peak(self) -> int:
        """The most bytes allocated at a time, also before `allocated_peak` was watched anew."""
        return max(self.earlier_peak, self.allocated_peak)

    def watch(self) -> None:
        """Let `allocated_peak` be found anew, while `peak` goes on."""
        self.earlier_peak, self.allocated_peak = self.peak, self.allocated

    def reset_peaks(self) -> None:
        """Let the peaks be what is there now."""
        for name in ("allocated", "blocks", "reserved", "segments", "requested"):
            setattr(self, f"{name}_peak", getattr(self, name))
        self.earlier_peak = 0


class Arena:
    """Parts that may take each other's place: of one pool (0, or a graph's), device and stream, and
    small or not. The free ones stand in `free` by their size, and `sizes` has those in order."""

    __slots__ = ("counts", "device", "free", "is_small", "pool", "sizes", "stream")

    def __init__(self, pool: int, device: int, stream: int, is_small: bool, counts: Counts) -> None:
        self.pool, self.device, self.stream, self.is_small = pool, device, stream, is_small
        self.counts = counts
        self.free: dict[int, list[Part]] = {}
        self.sizes: list[int] = []

    def put(self, part: Part) -> None:
        """Keep a part for the next that wants its size."""
        part.is_free = True
        of_size = self.free.get(part.size)
        if of_size is None:
            of_size = self.free[part.size] = []
            bisect.insort(self.sizes, part.size)
        of_size.append(part)

    def best(self, size: int) -> Part | None:
        """The smallest free part of at least `size` bytes."""
        sizes, free = self.sizes, self.free
        k = bisect.bisect_left(sizes, size)
        while k < len(sizes):
            of_size = free[sizes[k]]
            if of_size:
                return of_size.pop()
            del free[sizes[k]], sizes[k]
        return None


class _Chosen(threading.local):
    """The pool that a thread's memory comes from."""

    pool = 0


class CachingAllocator:
    """Hands out blocks of CuPy's library `cupy`: `malloc(size)` is what `cupy.cuda.set_allocator`
    takes.

    `largest_holders(device)`, if a session sets it, says in words who holds the memory of a device.
    """

    largest_holders: ClassVar[Callable[[int], str] | None] = None
    history: History | None = None  # of what happens, if somebody wants to know

    def __init__(self, cupy: Any) -> None:
        self._cuda = cupy.cuda
        self._runtime = cupy.cuda.runtime
        # What every allocation asks, without a look into the modules.
        self._device, self._stream = cupy.cuda.runtime.getDevice, cupy.cuda.get_current_stream
        self._pointer = cupy.cuda.MemoryPointer
        self._array_class = cupy.ndarray
        self._bare = cupy.ndarray.__mro__[1].__new__
        self._lock = threading.RLock()  # a collection in `malloc` may free and allocate
        self._returned: deque[Part] = deque()
        self._waiting: deque[tuple[Part, list[Any]]] = deque()
        self._arenas: dict[tuple[int, int, int, bool], Arena] = {}
        self._segments: dict[int, Part] = {}  # by address, the first part of each
        self._chosen = _Chosen()
        self._dropped: set[int] = set()  # pools of graphs that are gone
        self.counts: dict[int, Counts] = defaultdict(Counts)
        self.limits: dict[int, int] = {}
        self._block = _block_class(cupy, self._returned)

    # -- handing out and taking back ---------------------------------------------------------------

    def malloc(self, size: int) -> Any:
        """A pointer to `size` bytes on the current device, for the current stream.

        Raises: OutOfMemoryError, after all unused memory was given back to no avail.
        """
        device, stream = self._device(), self._stream().ptr
        if not size:
            return self._pointer(self._cuda.UnownedMemory(0, 0, None, device), 0)
        rounded = (size + ROUND - 1) & -ROUND
        place = (self._chosen.pool, device, stream, rounded <= SMALL)
        with self._lock:
            if self._returned:
                self._take_back()
            if self._waiting:
                self._await()
            arena = self._arenas.get(place) or self._new_arena(place)
            fitting = arena.free.get(rounded)
            part = fitting.pop() if fitting else self._cut(arena, rounded)
            part.is_free, part.requested = False, size
            taken, counts = part.size, arena.counts
            counts.allocated_total += taken
            counts.requested_total += size
            counts.blocks_total += 1
            counts.allocated = now = counts.allocated + taken
            if now > counts.allocated_peak:
                counts.allocated_peak = now
            counts.requested = now = counts.requested + size
            if now > counts.requested_peak:
                counts.requested_peak = now
            counts.blocks = now = counts.blocks + 1
            if now > counts.blocks_peak:
                counts.blocks_peak = now
            if self.history is not None:
                self.history.note("alloc", device, stream, part.address, taken)
        return self._pointer(self._block(part.address, size, part, device), 0)

    def empty(self, shape: tuple[int, ...], dtype: Any, size: int) -> Any:
        """An array of `size` bytes whose memory no kernel has written yet.

        `cupy.empty` and `cupy.ndarray` come to the same by way of Python code of theirs, which
        takes more time than all that is here.
        """
        made = self._bare(self._array_class)
        made._init(shape, dtype, self.malloc(size))
        return made

    def _new_arena(self, place: tuple[int, int, int, bool]) -> Arena:
        made = self._arenas[place] = Arena(*place, self.counts[place[1]])
        return made

    def _take_back(self) -> None:
        """Free the blocks whose tensors are gone; those that other streams use wait for them."""
        while self._returned:
            part = self._returned.popleft()
            arena = part.arena
            counts = arena.counts
            counts.allocated -= part.size
            counts.requested -= part.requested
            counts.blocks -= 1
            if self.history is not None:
                self._tell("free_requested", part)
            if part.users:
                self._waiting.append((part, [stream.record() for stream in part.users]))
                part.users = None
            else:
                if self.history is not None:
                    self._tell("free_completed", part)
                arena.put(part)

    def _tell(self, action: str, part: Part) -> None:
        if self.history is not None:
            arena = part.arena
            self.history.note(action, arena.device, arena.stream, part.address, part.size)

    def _await(self) -> None:
        """Free the blocks that other streams no longer use."""
        for _ in range(len(self._waiting)):
            part, events = self._waiting.popleft()
            if all(event.done for event in events):
                self._tell("free_completed", part)
                part.arena.put(part)
            else:
                self._waiting.append((part, events))

    # -- finding room ------------------------------------------------------------------------------

    def _cut(self, arena: Arena, size: int) -> Part:
        """A part of `size` bytes: of the smallest free one that is large enough, of neighbours
        merged, of a new segment, or of memory that was given back first."""
        part = arena.best(size)
        if part is None and self._merge(arena):
            part = arena.best(size)
        if part is None:
            part = self._new_segment(arena, size)
        rest = part.size - size
        if rest >= (ROUND if arena.is_small else SMALL + 1):
            behind = Part(part.address + size, rest, arena, part.segment)
            behind.before, behind.behind = part, part.behind
            if part.behind is not None:
                part.behind.before = behind
            part.behind, part.size = behind, size
            arena.put(behind)
        return part

    def _merge(self, arena: Arena) -> bool:
        """Join free neighbours; whether there were any."""
        found = False
        arena.free, arena.sizes = {}, []
        for first in [p for p in self._segments.values() if p.arena is arena]:
            part: Part | None = first
            while part is not None:
                behind = part.behind
                if part.is_free and behind is not None and behind.is_free:
                    part.size += behind.size
                    part.behind = behind.behind
                    if behind.behind is not None:
                        behind.behind.before = part
                    found = True
                    continue
                if part.is_free:
                    arena.put(part)
                part = behind
        return found

    def _new_segment(self, arena: Arena, size: int) -> Part:
        if arena.is_small:
            whole = SMALL_SEGMENT
        elif size < LARGE_SEGMENT // 2:
            whole = LARGE_SEGMENT
        else:
            whole = -(-size // LARGE_ROUND) * LARGE_ROUND
        address = self._ask(arena.device, whole) or self._ask_again(arena.device, whole, size)
        part = self._segments[address] = Part(address, whole, arena, address)
        counts = arena.counts
        counts.reserved += whole
        counts.reserved_total += whole
        counts.segments += 1
        counts.segments_total += 1
        counts.reserved_peak = max(counts.reserved_peak, counts.reserved)
        counts.segments_peak = max(counts.segments_peak, counts.segments)
        self._tell("segment_alloc", part)
        return part

    def _ask(self, device: int, size: int) -> int:
        """The address of `size` bytes of CUDA; 0 if there are none, or the limit forbids it."""
        if self.counts[device].reserved + size > self.limits.get(device, 1 << 62):
            return 0
        try:
            return int(self._runtime.malloc(size))
        except self._runtime.CUDARuntimeError as error:
            if error.status != FULL:  # the device has failed before: this is not about memory
                raise
            return 0

    def _ask_again(self, device: int, whole: int, size: int) -> int:
        """The same after unused memory was given back: that of caches, then of garbage."""
        self.counts[device].retries += 1
        address = 0
        for before in () if self._chosen.pool else (lambda: None, gc.collect):
            before()
            self._runtime.deviceSynchronize()  # blocks wait for streams; it would end a recording
            self.give_back(device)
            address = address or self._ask(device, whole)
        if not address:
            self.counts[device].failures += 1
            if self.history is not None:
                self.history.note("oom", device, 0, self._runtime.memGetInfo()[0], size)
            raise OutOfMemoryError(self._complaint(device, size))
        return address

    def _complaint(self, device: int, size: int) -> str:
        counts, (free, total) = self.counts[device], self._runtime.memGetInfo()
        limit = self.limits.get(device)
        words = (
            f"Expected {size_text(size)} of memory on cuda:{device}. Got none: of its "
            f"{size_text(total)}, {size_text(free)} are free, tensors here occupy "
            f"{size_text(counts.allocated)}"
        )
        between, others = counts.reserved - counts.allocated, total - free - counts.reserved
        if between > 0:
            pieces = [a.sizes[-1] for a in self._arenas.values() if a.device == device and a.sizes]
            words += f", {size_text(between)} lie free between them"
            words += f" in pieces of at most {size_text(max(pieces))}" if pieces else ""
        if others > 0:
            words += f", {size_text(others)} are CUDA's own and other programs'"
        words += f"; this process may have {size_text(limit)}." if limit is not None else "."
        if self.largest_holders is not None:
            with suppress(Exception):  # whatever fails there must not hide this error
                words += f" {self.largest_holders(device)}"
        return f"{words} Use smaller batches, drop what is not needed, or checkpoint activations."

    def give_back(self, device: int | None = None) -> None:
        """Return every segment without a block in use to CUDA, of all devices or of one; waits for
        the device's work first."""
        with self._lock:
            self._take_back()
            self._await()
            for arena in list(self._arenas.values()):
                is_unused = arena.pool == 0 or arena.pool in self._dropped
                if is_unused and device in (None, arena.device):
                    self._merge(arena)
                    self._return_segments(arena)

    def _return_segments(self, arena: Arena) -> None:
        empty = [p for p in self._segments.values() if p.arena is arena and p.is_free]
        empty = [p for p in empty if p.behind is None]
        if not empty:
            return
        counts = arena.counts
        with self._cuda.Device(arena.device):
            self._runtime.deviceSynchronize()
            for part in empty:
                self._tell("segment_free", part)
                arena.free[part.size].remove(part)
                del self._segments[part.address]
                self._runtime.free(part.address)
                counts.reserved -= part.size
                counts.segments -= 1

    # -- streams and graphs ------------------------------------------------------------------------

    def record_stream(self, array: Any, stream: Any) -> None:
        """Let the memory of `array` wait for `stream`, CuPy's, before it is used again."""
        part = getattr(array.data.mem, "_owner", None)
        if isinstance(part, Part) and part.arena.stream != stream.ptr:
            part.users = {stream, *(part.users or ())}

    def allocate_from(self, pool: int) -> int:
        """Let this thread's memory come from a graph's pool, or from the common one for 0; returns
        which it was before."""
        before = self._chosen.pool
        self._chosen.pool = pool
        return before

    def is_recorded(self, array: Any) -> bool:
        """Whether the memory of `array` is of the graph that this thread records."""
        part = getattr(array.data.mem, "_owner", None)
        return isinstance(part, Part) and part.arena.pool == self._chosen.pool != 0

    def drop(self, pool: int) -> None:
        """Give back a graph's pool, as far as no tensor holds blocks of it."""
        self._dropped.add(pool)
        self.give_back()

    # -- what is there -----------------------------------------------------------------------------

    def counted(self, device: int) -> Counts:
        """The counts of a device, up to date."""
        with self._lock:
            self._take_back()
            self._await()
            return self.counts[device]

    def watch(self) -> int:
        """Begin to watch how high the allocated bytes of all devices go; returns what they are."""
        with self._lock:
            self._take_back()
            self._await()
            for counts in self.counts.values():
                counts.watch()
            return sum([c.allocated for c in self.counts.values()])

    def watched(self) -> tuple[int, int]:
        """Those bytes now, and at most since `watch`, each device by itself."""
        with self._lock:
            self._take_back()
            self._await()
            found = list(self.counts.values())
            return sum([c.allocated for c in found]), sum([c.allocated_peak for c in found])

    def segments(self) -> list[dict[str, Any]]:
        """Every segment with its blocks, in the order of their addresses, in PyTorch's words."""
        with self._lock:
            self._take_back()
            self._await()
            return [self._described(first) for _, first in sorted(self._segments.items())]

    def _described(self, first: Part) -> dict[str, Any]:
        frames = {} if self.history is None else self.history.frames
        parts: list[dict[str, Any]] = []
        part: Part | None = first
        waiting = {id(p) for p, _ in self._waiting}
        while part is not None:
            state = "inactive" if part.is_free else "active_allocated"
            state = "active_pending_free" if id(part) in waiting else state
            parts.append({
                "address": part.address, "size": part.size, "state": state,
                "requested_size": 0 if part.is_free else part.requested,
                "frames": frames.get(part.address, []),
            })  # fmt: skip
            part = part.behind
        arena = first.arena
        used = sum(p["size"] for p in parts if p["state"] == "active_allocated")
        return {
            "device": arena.device, "address": first.address, "stream": arena.stream,
            "total_size": sum(p["size"] for p in parts), "allocated_size": used,
            "active_size": sum(p["size"] for p in parts if p["state"] != "inactive"),
            "requested_size": sum(p["requested_size"] for p in parts),
            "segment_type": "small" if arena.is_small else "large",
            "segment_pool_id": (0, arena.pool),
            "is_expandable": False, "frames": [], "blocks": parts,
        }  # fmt: skip


def _block_class(cupy: Any, returned: deque[Part]) -> Any:
    """The class of blocks, which say when their last array is gone."""
    give = returned.append  # one step, which neither a lock nor a collection interrupts

    class Block(cupy.cuda.UnownedMemory):  # type: ignore[misc]
        """Memory of one allocation, owned by its part."""

        __slots__ = ()

        def __del__(self) -> None:
            give(self._owner)

    return Block


def size_text(count: float) -> str:
    """`1.50 GiB`."""
    for unit in ("bytes", "KiB", "MiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"
