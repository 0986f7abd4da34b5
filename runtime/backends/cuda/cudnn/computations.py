"""Computations that stand ready: a graph's plan is chosen when it first runs, and then kept.

What cuDNN has no code for, or what fails in it, is left to our own kernels from then on.
"""

from __future__ import annotations

import ctypes
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ....errors import OutOfMemoryError
from ... import cuda as backend
from ... import cudnn as switches
from ..rows import empty
from . import library
from .descriptors import ALIGNMENT, Descriptor
from .library import CuDNNError, Library, local
from .plans import HEURISTICS, Plan, Rules, graph, plans

MOST_KEPT = 1024
"""Computations that a thread keeps."""
MEASURED_RUNS = 3

Operations = Callable[[Library], list[Descriptor]]


class Situation(NamedTuple):
    """What a computation depends on besides its arrays' shapes and its attributes."""

    dtype: str
    device: int
    is_exact: bool
    is_deterministic: bool
    is_measured: bool
    """Whether the fastest plan is found by measuring."""


def situation(dtype: Any) -> Situation | None:
    """That of arrays of `dtype` on the current device; None if cuDNN is switched off."""
    if not switches.enabled:
        return None
    kind = dtype.char
    return Situation(
        kind,
        sys.modules["cupy"].cuda.runtime.getDevice(),
        kind == "f" and not switches.allow_tf32,
        switches.deterministic or switches.all_deterministic,
        switches.benchmark,
    )


def kept(key: Any, make: Callable[[], Any]) -> Any:
    """What this thread keeps under `key`: a call of `make` if it is new; None if it failed."""
    table = local.kept
    found = table.get(key, table)
    if found is table:
        if len(table) >= MOST_KEPT:
            del table[next(iter(table))]
        found = table[key] = make()
    return found


class Computation:
    """A graph of `operations` on arrays that are numbered from 1 on."""

    def __init__(
        self,
        label: str,
        operations: Operations,
        where: Situation,
        numbers: Sequence[float] = (),
        is_last_resort_fine: bool = True,
    ) -> None:
        """`label` stands for it in messages. `numbers` are those after the arrays. A last resort is
        a plan of which cuDNN promises nothing but its result."""
        functions = library.loaded()
        assert functions is not None
        self.library, self.label, self.operations = functions, label, operations
        self.numbers = [ctypes.c_float(n) for n in numbers]
        self.places = tuple([ctypes.addressof(n) for n in self.numbers])
        self.is_last_resort_fine = is_last_resort_fine
        self.where = where
        self.plan: Plan | None = None
        self.is_refused = False

    def run(self, *arrays: Any) -> bool:
        """Compute from and into the arrays, which begin at multiples of 16 bytes; False if that is
        left to our own kernels."""
        if self.is_refused or (self.plan is None and backend.is_recording):
            return False  # neither handles nor plans can be made while a graph is recorded
        stream = sys.modules["cupy"].cuda.get_current_stream().ptr
        pointers = (*[a.data.ptr for a in arrays], *self.places)
        try:
            handle = library.handle(self.library, self.where.device, stream)
            if self.plan is None:
                self.plan = self._chosen(handle, pointers)
            if self.plan is not None:
                _run(self.plan, handle, pointers)
                if backend.is_recording:  # replays need the plan's code
                    backend.recorded_numbers.append(self.plan)
                return True
        except OutOfMemoryError:
            return False  # our own kernels need no more room
        except CuDNNError as error:
            if not error.is_unsupported:
                warnings.warn(
                    f"{self.label}: our own kernel computes it from now on, as cuDNN failed: "
                    f"{error}",
                    stacklevel=2,
                )
        self.is_refused = True
        return False

    def _chosen(self, handle: int | None, pointers: tuple[int, ...]) -> Plan | None:
        whole = graph(self.library, handle, self.operations(self.library))
        rules = Rules(self.where.is_exact, self.where.is_deterministic)
        modes = HEURISTICS if self.is_last_resort_fine else HEURISTICS[:1]
        candidates = plans(self.library, handle, whole, len(pointers), rules, modes)
        if not self.where.is_measured:
            return next(candidates, None)
        return _fastest(islice(candidates, switches.benchmark_limit or None), handle, pointers)


def _run(plan: Plan, handle: int | None, pointers: tuple[int, ...]) -> None:
    if not plan.workspace_bytes:
        plan.run(handle, 0, pointers)
        return
    workspace = empty((plan.workspace_bytes,), "uint8")  # the stream's next work may take it over
    plan.run(handle, workspace.data.ptr, pointers)


def _fastest(candidates: Iterable[Plan], handle: int | None, pointers: tuple[int, ...]) -> Any:
    """The plan that took the least time, or None if none ran."""
    best, least = None, float("inf")
    for plan in candidates:
        try:
            taken = _milliseconds(plan, handle, pointers)
        except (CuDNNError, OutOfMemoryError):
            continue
        if taken < least:
            best, least = plan, taken
    return best


def _milliseconds(plan: Plan, handle: int | None, pointers: tuple[int, ...]) -> float:
    """The least of some runs, after one that loads the code."""
    cuda = sys.modules["cupy"].cuda
    _run(plan, handle, pointers)
    found = []
    for _ in range(MEASURED_RUNS):
        begin, end = cuda.Event(), cuda.Event()
        begin.record()
        _run(plan, handle, pointers)
        end.record()
        end.synchronize()
        found.append(cuda.get_elapsed_time(begin, end))
    return float(min(found))


def is_aligned(array: Any) -> bool:
    """Whether the array begins where the fastest loads want it."""
    return not array.data.ptr % ALIGNMENT
