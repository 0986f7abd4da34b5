"""The threads of fused loops, which cost microseconds to wake.

The work `f(words, 0, n)` is cut into chunks, always at the same places, so that sums don't depend
on the number of threads. The threads are those of the OpenMP library that oneDNN runs on: of two
pools each would spin on the other's processors (a product of 256x256 and a loop in turn took 270 us
with two pools and 175 with one). Where there is none the pool has its own.

The pool is for one call at a time: a second thread of Python that comes meanwhile does its work
alone. Before a fork its own threads end, and parent and child start new ones when they need them; a
child would inherit none.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
from typing import Any

from ..onednn.library import library
from . import machine, sharing, thread_limit


def _cores() -> int:
    """How many processors this process may use, and OpenMP's settings let it."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


class Pool:
    """Threads that share the chunks of one call."""

    def __init__(self, uses_openmp: bool = True) -> None:
        self.limit = thread_limit or _cores()
        self._uses_openmp = uses_openmp
        self._lock = threading.Lock()
        self._memory: Any = None
        self._threads: list[Any] = []
        self._calls: dict[str, Any] = {}

    def run(self, code: Any, words: bytes, size: int, chunk: int) -> None:
        """`code(words, begin, end)` for all chunks of `size` items; returns when all are done."""
        if size <= chunk:
            code.call(words, 0, size)
            return
        if self.limit == 1 or not self._lock.acquire(blocking=False):
            sharing.alone()(code.address, words, size, chunk)
            return
        try:
            if self._memory is None:
                self._start()
            self._calls["run"](self._memory, code.address, words, size, chunk)
        finally:
            self._lock.release()

    def _start(self) -> None:
        self._calls = sharing.functions()
        memory = sharing.memory(self.limit)
        memory[sharing.TEAM] = self.limit
        self._calls["prepare"](memory)
        onednn = library() if self._uses_openmp else None
        if onednn is not None and onednn.openmp is not None:
            for place, name in (
                (sharing.FORK, "GOMP_parallel"),
                (sharing.NUMBER, "omp_get_thread_num"),
            ):
                function = getattr(onednn.openmp, name)
                memory[place] = ctypes.cast(function, ctypes.c_void_p).value
        else:
            for _ in range(self.limit - 1):
                thread = ctypes.c_void_p()
                if self._calls["start"](memory, ctypes.byref(thread)) == 0:
                    self._threads.append(thread)
        self._memory = memory

    def stop(self) -> None:
        """End the threads; the next call starts new ones."""
        if self._threads:
            self._calls["stop"](self._memory)
            for thread in self._threads:
                self._calls["join"](thread)
            self._threads.clear()
        self._memory = None

    def set_limit(self, threads: int) -> None:
        """Use at most `threads`, that of the caller among them."""
        with self._lock:
            self.stop()
            self.limit = threads

    def before_fork(self) -> None:
        """Wait for the call and the compilation that are running, and end the threads."""
        self._lock.acquire()
        machine.lock.acquire()
        self.stop()

    def after_fork(self) -> None:
        """Go on, in the parent and in the child."""
        machine.lock.release()
        self._lock.release()


pool = Pool()
atexit.register(pool.stop)  # their code is unmapped when LLVM's engine goes
if sys.platform == "win32":  # no POSIX threads
    pool.limit = 1
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=pool.before_fork, after_in_parent=pool.after_fork, after_in_child=pool.after_fork
    )
