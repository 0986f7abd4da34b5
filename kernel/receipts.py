"""Receipts: what a cell cost, attached to its reply and to the log of a script.

By default a receipt takes two looks at the process, about 0.1 ms a cell, and nothing per operation.
Watching every operation makes each one slower, and is only done when asked for.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from time import perf_counter, process_time
from typing import Any
from weakref import ref

import numpy as np

from flambeau import Tensor, cuda, nn
from flambeau.autograd.node import tick
from flambeau.backends import cuda as _backend
from flambeau.core import observers
from flambeau.magics.cells import UserNames

LONGEST_STATUS = 4096  # bytes of a file about the process; they have under 2,000

CHECKED_ELEMENTS = 10_000_000
"""Elements of a cell's variables that are looked at for NaN (about 5 ms), the smallest first."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a cell cost. Times in seconds, memory in bytes; None where it is not known.

    `peak`, `net`          highest resident memory of the process during the cell; growth through it
    `gpu_peak`, `gpu_net`  the most bytes that tensors held on GPUs during the cell; growth through
                           it; both None without a GPU
    `graph`                nodes that the tape recorded
    `tensors`              tensors made by operations; None unless every operation was watched
    `nan`                  whether NaN came up: in what operations made if they were watched, else
                           in the variables that the cell bound or changed
    `nan_in`               the names or operations where it did
    """

    time: float
    cpu_time: float
    peak: int | None
    net: int | None
    gpu_peak: int | None
    gpu_net: int | None
    graph: int
    tensors: int | None
    nan: bool
    nan_in: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in _FIELDS} | {"nan_in": list(self.nan_in)}


_FIELDS = tuple(field.name for field in fields(Receipt))


class Counter(observers.Observer):
    """Counts what operations make, and which of them make NaN from inputs without."""

    def __init__(self) -> None:
        self.tensors = 0
        self.nan_in: dict[str, None] = {}

    def operation_done(
        self, name: str, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...], seconds: float
    ) -> None:
        """Count, and look at the values."""
        self.tensors += len(outputs)
        if name not in self.nan_in and any(has_nan(t) for t in outputs):
            self.nan_in[name] = None

    def backward_left(self, node: Any, gradients: tuple[Any, ...], seconds: float) -> None:
        """Look at the gradients too."""
        name = f"{node.name()}"
        if name not in self.nan_in and any(array_has_nan(g) for g in gradients if g is not None):
            self.nan_in[name] = None


class Meter:
    """Measures one cell: made when it begins, `receipt` when it has ended."""

    def __init__(self, observe: bool) -> None:
        self._counter = Counter() if observe else None
        if self._counter is not None:
            observers.subscribe(self._counter)
        self._has_gpu = has_gpu()
        self._gpu = _backend.allocator.watch() if self._has_gpu and cuda.is_initialized() else 0
        self._resets_peak = reset_peak()
        self._resident = resident_memory()
        self._nodes = tick()
        self._cpu = process_time()
        self._started = perf_counter()

    def receipt(self, changes: Changes) -> Receipt:
        """The bill; what changed in the namespace is looked at for NaN."""
        seconds, cpu = perf_counter() - self._started, process_time() - self._cpu
        graph = tick() - self._nodes - 1
        resident, peak = memory()
        counter = self._counter
        if counter is not None:
            observers.unsubscribe(counter)
        changed = changes.since_last(modules=graph > 0)
        nan_in = tuple(counter.nan_in if counter is not None else names_with_nan(changed))
        known = resident is not None and self._resident is not None
        gpu = _backend.allocator.watched() if self._has_gpu and cuda.is_initialized() else (0, 0)
        return Receipt(
            time=seconds,
            cpu_time=cpu,
            peak=peak if self._resets_peak else None,
            net=resident - self._resident if known else None,  # type: ignore[operator]
            gpu_peak=gpu[1] if self._has_gpu else None,
            gpu_net=gpu[0] - self._gpu if self._has_gpu else None,
            graph=graph,
            tensors=None if counter is None else counter.tensors,
            nan=bool(nan_in),
            nan_in=nan_in,
        )


@cache
def has_gpu() -> bool:
    """Whether there is a GPU; it takes 30 us to ask, and none comes or goes."""
    return bool(cuda.is_available())


class ProcessFile:
    """A file of /proc about this process, kept open: opening it costs more than reading it.

    The interpreter's lock stays with us. Letting it go, as `os.pread` does, hands it to the thread
    that sends output, and to have it back takes longer than all the rest of a receipt.
    """

    def __init__(self, name: str, flags: int) -> None:
        self._path, self._flags = f"/proc/self/{name}", flags
        self._owner = self._descriptor = -1
        self._buffer = ctypes.create_string_buffer(LONGEST_STATUS)

    def read(self) -> bytes:
        """What it says. Raises: OSError where there is no such file, or no right to it."""
        length = _libc().pread(self._open(), self._buffer, LONGEST_STATUS, 0)
        if length < 0:
            raise OSError(f"{self._path} cannot be read")
        return self._buffer.raw[:length]

    def write(self, text: bytes) -> None:
        """Tell the system. Raises: OSError as `read`."""
        if _libc().pwrite(self._open(), text, len(text), 0) != len(text):
            raise OSError(f"{self._path} cannot be written to")

    def _open(self) -> int:
        owner = os.getpid()
        if owner != self._owner:  # after a fork it would tell of the parent
            self._descriptor = os.open(self._path, self._flags)
            self._owner = owner
        return self._descriptor


@cache
def _libc() -> Any:
    """The C library, called with the interpreter's lock held."""
    library = ctypes.PyDLL(None)
    for function in (library.pread, library.pwrite):
        function.argtypes = ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long
        function.restype = ctypes.c_ssize_t
    return library


_status = ProcessFile("status", os.O_RDONLY)
_statm = ProcessFile("statm", os.O_RDONLY)
_references = ProcessFile("clear_refs", os.O_WRONLY)


def reset_peak() -> bool:
    """Let the system count the process's highest memory from now on; False where it does not."""
    try:
        _references.write(b"5")  # proc(5): reset the peak resident set size
    except OSError:
        return False
    return True


def resident_memory() -> int | None:
    """Resident memory of this process alone, which the system tells in a third of the time."""
    try:
        pages = _statm.read().split(None, 2)[1]
    except OSError:
        return None
    return int(pages) * mmap.PAGESIZE


def memory() -> tuple[int | None, int | None]:
    """Resident memory of this process, and its highest; None where the system does not tell."""
    try:
        text = _status.read()
    except OSError:
        return None, None
    found = [text.find(field) for field in (b"VmRSS:", b"VmHWM:")]
    if -1 in found:
        return None, None
    resident, peak = (int(text[at + 6 : at + 24].split(None, 1)[0]) * 1024 for at in found)
    return resident, peak


def names_with_nan(variables: dict[str, Any]) -> list[str]:
    """The names whose tensors hold NaN, as far as they are on the CPU and worth the time."""
    tensors = [(v.numel(), n, v) for n, v in variables.items()]
    found, left = [], CHECKED_ELEMENTS
    for size, name, tensor in sorted(tensors, key=lambda t: t[:2]):
        left -= size
        if left < 0:
            break
        if has_nan(tensor):
            found.append(name)
    return found


def has_nan(tensor: Any) -> bool:
    """Whether a tensor of the CPU holds NaN."""
    return array_has_nan(tensor._array)


def array_has_nan(array: Any) -> bool:
    """Whether a NumPy array holds NaN; False for what is no NumPy array of inexact numbers."""
    if type(array) is not np.ndarray or array.size == 0:
        return False
    with np.errstate(all="ignore"):
        if array.dtype.kind == "f":
            return bool(np.isnan(array.min()))  # one pass, no memory
        return array.dtype.kind in "cV" and bool(np.isnan(array).any())  # V: bfloat16


class Changes:
    """Tells which tensors of a namespace were bound or written to since the last question."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._names = UserNames(namespace)
        self._known: dict[str, tuple[Any, int, int]] = {}

    def since_last(self, modules: bool) -> dict[str, Any]:
        """The changed tensors by name; with `modules` also parameters and buffers, by their
        path."""
        found, known = {}, {}
        for name, tensor in _tensors(self._names, modules):
            now = (id(tensor._array), tensor._writes[0])
            before = self._known.get(name)
            if before is not None and before[0]() is tensor and before[1:] == now:
                known[name] = before
            else:
                known[name] = (ref(tensor), *now)
                found[name] = tensor
        self._known = known if modules else {**self._known, **known}
        return found


def _tensors(names: UserNames, modules: bool) -> Iterator[tuple[str, Any]]:
    for name, value in names.items():
        if isinstance(value, Tensor):
            yield name, value
        elif modules and isinstance(value, nn.Module) and not isinstance(value, type):
            for path, tensor in (*value.named_parameters(), *value.named_buffers()):
                yield f"{name}.{path}", tensor
