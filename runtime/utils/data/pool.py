"""The worker processes of a loader, seen from the loader's process."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from .fetch import Fetch
from .transfer import receive_file, unpack
from .workers import Task, raised, work

GRACE = 5.0  # s for a worker to end when killed
PATIENCE = 0.5  # s for a worker to end when asked to
WATCH = 5.0  # s between two looks at whether a worker lives, should its pipe not tell

_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for pool in list(_pools):
        pool.close()


def _disown_all() -> None:
    for pool in list(_pools):
        pool.disown()


if hasattr(os, "register_at_fork"):
    # A forked process must neither end its parent's workers nor hold their pipes open.
    os.register_at_fork(after_in_child=_disown_all)


class WorkerPool:
    """`count` processes that make batches by `fetch`, seeded by `seed` and their numbers."""

    def __init__(
        self,
        fetch: Fetch,
        count: int,
        seed: int,
        *,
        timeout: float,
        initialize: Callable[[int], None] | None,
        context: Any,
    ) -> None:
        self.timeout, self.passage, self._owner = timeout, 0, os.getpid()
        self.pipes: list[Connection] = []
        self.processes: list[Any] = []
        _pools.add(self)
        try:
            for number in range(count):
                task = Task(fetch, number, count, seed, initialize)
                with interrupts_held():  # until the worker ignores them
                    self._start(context or start_context(), task)
        except BaseException:
            self.close()
            raise

    def _start(self, context: Any, task: Task) -> None:
        ours, theirs = context.Pipe()
        self.pipes.append(ours)  # before the fork, so that the worker closes its copy
        process = context.Process(target=work, args=(task, theirs), daemon=True)
        with warnings.catch_warnings():
            # A fork beside threads is safe here: the worker runs none of their code.
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
            process.start()
        theirs.close()
        self.processes.append(process)

    def is_alive(self) -> bool:
        """Whether all workers run."""
        return bool(self.processes) and all(p.is_alive() for p in self.processes)

    def begin(self) -> None:
        """Begin a pass; what an older one still owes is dropped when it comes."""
        self.passage += 1
        for worker in range(len(self.processes)):
            self.send(worker, "begin")

    def send(self, worker: int, kind: str, content: Any = None) -> None:
        """Ask `worker` for something; if it died, `answer` will say so."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipes[worker].send((kind, self.passage, content))

    def answer(self, workers: Sequence[int]) -> tuple[int, str, Any]:
        """The next answer of one of `workers`: who, and "batch" and the batch, "error" and what it
        raised, or "end" and None.

        Raises: RuntimeError if a worker died or took too long.
        """
        while True:
            worker = self._ready(workers)
            try:
                passage, kind, content = self.pipes[worker].recv()
                if kind == "batch":
                    data, is_file, places = content
                    content = data, receive_file(self.pipes[worker]) if is_file else -1, places
            except (EOFError, ConnectionResetError):
                raise self._death(worker) from None
            if passage == self.passage:
                break
            if kind == "batch" and content[1] >= 0:  # of a pass that was left early
                os.close(content[1])
        if kind == "error":
            return worker, kind, raised(worker, *content)
        return worker, kind, unpack(*content) if kind == "batch" else None

    def _ready(self, workers: Sequence[int]) -> int:
        """The first of `workers` with something to read."""
        sources = {self.pipes[w]: w for w in workers}
        ends = {self.processes[w].sentinel: w for w in workers}
        deadline = time.monotonic() + self.timeout if self.timeout else float("inf")
        while True:
            left = deadline - time.monotonic()
            ready = wait([*sources, *ends], max(0, min(left, WATCH)))
            for source, worker in sources.items():
                if source in ready:
                    return worker
            for worker in workers:
                if not self.processes[worker].is_alive():
                    raise self._death(worker)
            if left <= 0:
                raise RuntimeError(
                    f"DataLoader: expected a batch of worker {workers[0]} within {self.timeout} s. "
                    "Got none. Give a larger timeout, or look at what the data set does."
                )

    def _death(self, worker: int) -> RuntimeError:
        process = self.processes[worker]
        process.join(GRACE)
        return RuntimeError(
            f"DataLoader: worker {worker} (process {process.pid}) died: {_cause(process.exitcode)}."
        )

    def disown(self) -> None:
        """Forget the processes, which are another process's children."""
        for pipe in self.pipes:
            pipe.close()
        self.pipes, self.processes = [], []

    def close(self) -> None:
        """End the workers; a second time does nothing."""
        if self._owner != os.getpid():
            self.disown()
        for worker in range(len(self.processes)):
            self.send(worker, "stop")
        deadline = time.monotonic() + PATIENCE
        for process in self.processes:
            process.join(max(0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()  # it holds nothing that must be put in order
                process.join(GRACE)
        for pipe in self.pipes:
            pipe.close()
        self.pipes, self.processes = [], []

    def __del__(self) -> None:
        if getattr(self, "processes", None):
            self.close()


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the end; processes started meanwhile inherit that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_context() -> Any:
    """The program's own choice by `multiprocessing.set_start_method`, else forking on Linux, which
    hands over data sets that were typed at a prompt and cannot be imported."""
    chosen = multiprocessing.get_start_method(allow_none=True)
    return multiprocessing.get_context(chosen or ("fork" if sys.platform == "linux" else None))


def _cause(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"it ended with status {exitcode}"
    name = signal.Signals(-exitcode).name
    hint = " (often the system's answer to a lack of memory)" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"
