"""Memory "of the GPU": blocks of the CPU's, each on one device, that know when they are gone."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from .interface import checked_methods

CAPACITY = 1 << 30
"""Bytes of each device."""


POISON = 0xA5
"""What every byte of an array holds that nobody has filled."""

devices = 2
"""Number of devices."""


class CUDARuntimeError(RuntimeError):
    """What CUDA refuses; `status` is its number."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class OutOfMemoryError(MemoryError):
    """`cupy.cuda.memory.OutOfMemoryError`."""


class State(threading.local):
    """What is current in a thread."""

    device = 0
    streams: dict[int, Any]
    allocator: Any = None

    def __init__(self) -> None:
        self.streams = {}


current = State()
segments: dict[int, tuple[int, Any, int]] = {}
"""What `malloc` gave out: by address, the size, the memory and its device."""


reserved: set[int] = set()
"""Addresses of those of which nothing is occupied."""
ledger: Any = None
"""What counts kernels instead of running them, see `counting`."""


def used(device: int) -> int:
    """Bytes that `malloc` gave out on a device."""
    return sum(
        size
        for address, (size, _, place) in segments.items()
        if place == device and address not in reserved
    )


def place_of(address: int) -> int | None:
    """The device whose memory an address lies in."""
    for start, (size, _, place) in segments.items():
        if start <= address < start + size:
            return place
    return None


def malloc(size: int) -> int:
    """The address of `size` new bytes on the current device."""
    if used(current.device) + size > CAPACITY:
        raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory", 2)
    memory = np.full(size + 511, POISON, np.uint8)
    address = (memory.ctypes.data + 511) & -512
    segments[address] = size, memory, current.device
    return address


def free(address: int) -> None:
    """Give them back."""
    reserved.discard(address)
    if address and segments.pop(address, None) is None:
        raise CUDARuntimeError("cudaErrorInvalidValue: invalid argument")


class BaseMemory:
    """Bytes from `ptr` on, on a device."""

    ptr: int
    size: int
    device_id: int

    def __init__(self, ptr: int, size: int, device_id: int) -> None:
        self.ptr, self.size, self.device_id = ptr, size, device_id


class Memory(BaseMemory):
    """Bytes straight from `malloc`."""

    def __init__(self, size: int) -> None:
        super().__init__(malloc(size), size, current.device)

    def __del__(self) -> None:
        free(self.ptr)


@checked_methods("cupy.cuda.UnownedMemory")
class UnownedMemory(BaseMemory):
    """Bytes of which someone else takes care."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1) -> None:
        super().__init__(ptr, size, current.device if device_id < 0 else device_id)
        self._owner = owner


@checked_methods("cupy.cuda.MemoryPointer")
class MemoryPointer:
    """A place in some memory."""

    _array: tuple[Any, Any, int] | None = None  # shape, strides and itemsize of what lies there

    def __init__(self, mem: Any, offset: int) -> None:
        self._mem, self._offset = mem, offset

    @property
    def mem(self) -> Any:
        """The memory."""
        return self._mem

    @property
    def ptr(self) -> int:
        """The address."""
        place = int(self._mem.ptr + self._offset)
        if ledger is not None and self._array is not None:
            ledger.noted(place, *self._array)
        return place

    @property
    def device_id(self) -> int:
        """Number of the device."""
        return int(self._mem.device_id)


class Bytes:
    """A pointer's bytes for NumPy, which keeps this object as the base of its arrays.

    `written` has, for new bytes that hold nothing yet, whether each of them was written by a kernel
    of ours; it is None as soon as anything else filled them."""

    def __init__(self, pointer: MemoryPointer, size: int, is_new: bool = False) -> None:
        self.pointer, self.place, self.size = pointer, pointer.ptr, size
        self.written = np.zeros(size, bool) if is_new else None
        held.add(self)
        self.__array_interface__ = {
            "shape": (size,), "typestr": "|u1", "data": (pointer.ptr, False), "version": 3,
        }  # fmt: skip


held: weakref.WeakSet[Bytes] = weakref.WeakSet()
"""The bytes of all arrays."""


def fill(address: int) -> None:
    """Note that the memory of the arrays around an address holds something from now on."""
    for each in held:
        if each.place <= address < each.place + each.size:
            each.written = None


def alloc(size: int) -> MemoryPointer:
    """`size` bytes from the allocator that is set."""
    allocator = current.allocator or _allocator
    return allocator(size)  # type: ignore[no-any-return]


def _plain(size: int) -> MemoryPointer:
    return MemoryPointer(Memory(size), 0)


_allocator: Any = _plain


def set_allocator(allocator: Any = None) -> None:
    """Let memory come from `allocator(size)`."""
    global _allocator
    _allocator = allocator or _plain


def get_allocator() -> Any:
    """What memory comes from in this thread."""
    return current.allocator or _allocator


@contextlib.contextmanager
def using_allocator(allocator: Any = None) -> Iterator[None]:
    """The same in a block, for this thread."""
    before, current.allocator = current.allocator, allocator
    try:
        yield
    finally:
        current.allocator = before


class PinnedMemory:
    """Page-locked memory of the CPU."""

    def __init__(self, size: int, flags: int = 0) -> None:
        self._memory = np.full(size, POISON, np.uint8)
        self.ptr = self._memory.ctypes.data
        self.size = size
        pinned[self.ptr] = size
        weakref.finalize(self, pinned.pop, self.ptr, None).atexit = False


pinned: dict[int, int] = {}
"""Sizes of page-locked memory by address."""


def is_pinned(address: int) -> bool:
    """Whether an address lies in page-locked memory."""
    return any(start <= address < start + size for start, size in pinned.items())


class PinnedMemoryPointer(MemoryPointer):
    """A place in page-locked memory; it offers its bytes to NumPy."""

    def __init__(self, mem: PinnedMemory, offset: int) -> None:
        super().__init__(mem, offset)
        self.__array_interface__ = {
            "shape": (mem.size,), "typestr": "|u1", "data": (mem.ptr, False), "version": 3,
        }  # fmt: skip


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    """`size` page-locked bytes; as with CuPy's pool, often some more."""
    return PinnedMemoryPointer(PinnedMemory(max(512, 1 << (size - 1).bit_length())), 0)


class MemoryPool:
    """CuPy's own pool, which the runtime leaves empty."""

    def free_all_blocks(self) -> None:
        """Nothing to free."""

    def used_bytes(self) -> int:
        """0 bytes."""
        return 0

    total_bytes = used_bytes
