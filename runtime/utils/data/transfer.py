"""Batches on their way from a worker to the loader, with their arrays in shared memory.

A worker pickles a batch with its arrays out of band (PEP 574), copies those into an anonymous file
in memory and sends its descriptor over the pipe's socket; the loader maps it and rebuilds the batch
around the mapping, without a copy. The memory has no name anywhere and is gone with the last
process that holds it, however that ends; nor does the size of /dev/shm limit it.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import pickle
import socket
import tempfile
import weakref
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

HAS_SHARED_MEMORY = hasattr(socket, "AF_UNIX") and hasattr(reduction, "sendfds")
"""Whether descriptors can be sent to another process; elsewhere bytes go through the pipe."""

SMALL = 2048  # bytes up to which the pipe is quicker than a file
ALIGNMENT = 64  # bytes; a cache line

Places = list[tuple[int, int]]
"""(offset, size) of each array in the file, in bytes; the last is the pickle itself."""


def pack(batch: Any) -> tuple[bytes, int, Places]:
    """`batch` as bytes, or as the descriptor of a file (else -1) that holds it at the places."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(batch, protocol=5, buffer_callback=buffers.append)
    views = [*(buffer.raw() for buffer in buffers), memoryview(data)]
    places, end = [], 0
    for view in views:
        places.append((end, view.nbytes))
        end += -(-view.nbytes // ALIGNMENT) * ALIGNMENT
    if not HAS_SHARED_MEMORY or end <= SMALL:
        return (pickle.dumps(batch, protocol=5) if buffers else data), -1, []
    descriptor = _anonymous_file()
    try:
        os.truncate(descriptor, end)
        for view, (offset, _) in zip(views, places, strict=True):
            _write(descriptor, view, offset)
    except BaseException:
        os.close(descriptor)
        raise
    return b"", descriptor, places


def _write(descriptor: int, view: memoryview, offset: int) -> None:
    """Write all of `view` at `offset`. Through a mapping it would take twice as long: each new page
    of one is a fault."""
    done = 0
    while done < view.nbytes:
        done += os.pwrite(descriptor, view[done:], offset + done)


def unpack(data: bytes, descriptor: int, places: Places) -> Any:
    """The batch that `pack` took apart; its arrays are the mapped file. Closes the descriptor."""
    if descriptor < 0:
        return pickle.loads(data)
    try:
        memory = _mapped(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    *buffers, data = [memory[start : start + size] for start, size in places]  # type: ignore[assignment]
    return pickle.loads(data, buffers=buffers)


def send_file(pipe: Connection, descriptor: int) -> None:
    """Send a file's descriptor to the process at the other end of `pipe`, and close it here."""
    try:
        with socket.fromfd(pipe.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            reduction.sendfds(connection, [descriptor])
    finally:
        os.close(descriptor)


def receive_file(pipe: Connection) -> int:
    """The descriptor of a file that `send_file` sent."""
    with socket.fromfd(pipe.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        (descriptor,) = reduction.recvfds(connection, 1)
    return int(descriptor)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("flambeau-batch", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    size, number = ctypes.c_size_t, ctypes.c_int
    libc.mmap.argtypes = [ctypes.c_void_p, size, number, number, number, ctypes.c_longlong]
    libc.mmap.restype = ctypes.c_void_p
    libc.munmap.argtypes = [ctypes.c_void_p, size]
    return libc


def _mapped(descriptor: int, size: int) -> memoryview:
    """The file's `size` bytes as memory, freed with its last user.

    The mmap module keeps a descriptor open for each mapping (before Python 3.13): a list of
    1,000 batches would run into the usual limit of 1,024.
    """
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    address = _libc().mmap(None, size, protection, mmap.MAP_SHARED, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), f"mapping a batch of {size} bytes failed")
    block = (ctypes.c_char * size).from_address(address)
    release = functools.partial(_libc().munmap, address, size)
    _unmappings[address] = _Unmapping(block, release)
    return memoryview(block).cast("B")


class _Unmapping(weakref.ref[Any]):
    """A reference whose callback is munmap itself, without a line of Python: Ctrl-C would be raised
    in such a line and be lost. munmap gets the reference too, as a number that it ignores."""

    _as_parameter_ = 0


_unmappings: dict[int, _Unmapping] = {}
"""By address; a block that is gone is replaced by the next at its address."""
