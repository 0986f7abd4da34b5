"""Worker processes that make batches ahead of time and hand arrays over in shared memory.

A worker pickles a batch with its arrays out of band (PEP 574), copies those into one file in a
memory file system and names it; the loader maps the file, removes its name at once and rebuilds
the batch around the mapping, without a copy. The files of a pool lie in a folder of its own, which
whoever survives removes: no segment outlives the processes.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import mmap
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

import numpy as np

MEMORY_FILES = Path("/dev/shm")
"""Linux's memory file system; elsewhere the folder for temporary files serves."""

SMALL = 2048  # bytes of arrays up to which the pipe is quicker than a file
ALIGNMENT = 64  # bytes; a cache line
GRACE = 5.0  # s for a worker to end when asked to


class Fetch(Protocol):
    """Makes a batch for a request. Raises: StopIteration when there are no more."""

    def begin(self) -> None:
        """Prepare for a pass."""
        ...

    def __call__(self, request: Any) -> Any:
        """The batch for `request`."""
        ...


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker process knows of itself."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process its number, seed and data set; None elsewhere."""
    return _info


class WorkerError(Exception):
    """What a worker raised, where its own type cannot be raised again."""


# -- batches as bytes ------------------------------------------------------------------------------


def pack(batch: Any, folder: str) -> tuple[bytes, str, list[tuple[int, int]]]:
    """`batch` as bytes, and its arrays in a file of `folder` (or none) at (offset, size)."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(batch, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    places, end = [], 0
    for view in views:
        places.append((end, view.nbytes))
        end += -(-view.nbytes // ALIGNMENT) * ALIGNMENT
    if end <= SMALL:
        return pickle.dumps(batch, protocol=5), "", []
    descriptor, name = tempfile.mkstemp(dir=folder)
    try:
        os.truncate(descriptor, end)
        with mmap.mmap(descriptor, end) as memory:
            for view, (offset, size) in zip(views, places, strict=True):
                memory[offset : offset + size] = view
    finally:
        os.close(descriptor)
    return data, name, places


def unpack(data: bytes, name: str, places: list[tuple[int, int]]) -> Any:
    """The batch that `pack` took apart; its arrays are the mapped file, whose name is removed."""
    if not name:
        return pickle.loads(data)
    with open(name, "r+b") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0))
    os.unlink(name)
    return pickle.loads(data, buffers=[memory[start : start + size] for start, size in places])


# -- the worker's side -----------------------------------------------------------------------------


def work(
    fetch: Any, number: int, count: int, initialize: Any, folder: str, pipe: Connection
) -> None:
    """Answer requests until the pipe closes. Ctrl-C is the loader's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _without_parents_cleanup()
    try:
        while True:
            kind, content = pipe.recv()
            if kind == "stop":
                return
            pipe.send(_answer(kind, content, fetch, number, count, initialize, folder))
    except (EOFError, OSError):  # the loader's process is gone
        shutil.rmtree(folder, ignore_errors=True)


def _without_parents_cleanup() -> None:
    """A forked worker must not end, or clean up after, what its parent is responsible for."""
    for pool in list(_pools):
        pool.disown()


def _answer(
    kind: str, content: Any, fetch: Any, number: int, count: int, initialize: Any, folder: str
) -> Any:
    try:
        if kind == "start":
            _seed(content + number, number, count, fetch.dataset)
            if initialize is not None:
                initialize(number)
            return "started", None
        if kind == "begin":
            fetch.begin()
            return "begun", None
        return "batch", pack(fetch(content), folder)
    except StopIteration:
        return "end", None
    except BaseException as error:
        text = traceback.format_exc()
        with contextlib.suppress(Exception):
            return "error", (pickle.dumps(type(error)), text)
        return "error", (pickle.dumps(WorkerError), text)


def _seed(seed: int, number: int, count: int, dataset: Any) -> None:
    global _info
    from ...random import manual_seed

    random.seed(seed)
    np.random.seed(seed % 2**32)
    manual_seed(seed)
    _info = WorkerInfo(number, count, seed, dataset)


# -- the loader's side -----------------------------------------------------------------------------

_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for pool in list(_pools):
        pool.close()


class WorkerPool:
    """The worker processes of one loader."""

    def __init__(
        self,
        fetch: Fetch,
        count: int,
        seed: int,
        *,
        prefetch: int,
        timeout: float,
        initialize: Callable[[int], None] | None,
        context: Any,
    ) -> None:
        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context or _start_method())
        self.prefetch, self.timeout = prefetch, timeout
        memory = str(MEMORY_FILES) if os.access(MEMORY_FILES, os.W_OK) else None
        self.folder = tempfile.mkdtemp(prefix="flambeau-batches-", dir=memory)
        self.pipes: list[Connection] = []
        self.processes: list[Any] = []
        _pools.add(self)
        try:
            for number in range(count):
                self._start(context, (fetch, number, count, initialize, self.folder))
                self.send(number, "start", seed)
            for number in range(count):
                self.answer(number)
        except BaseException:
            self.close()
            raise

    def _start(self, context: Any, arguments: tuple[Any, ...]) -> None:
        ours, theirs = context.Pipe()
        self.pipes.append(ours)  # before the fork, so that the worker closes its copy
        process = context.Process(target=work, args=(*arguments, theirs), daemon=True)
        with warnings.catch_warnings():
            # A fork beside threads is safe here: the worker runs none of their code.
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
            process.start()
        theirs.close()
        self.processes.append(process)

    def is_alive(self) -> bool:
        """Whether all workers run."""
        return bool(self.processes) and all(p.is_alive() for p in self.processes)

    def batches(self, requests: Iterator[Any], keep: bool) -> Iterator[Any]:
        """The batches for `requests` in their order; the pool is closed at the end unless `keep`.

        The workers begin at once, before the first batch is asked for.
        """
        run = PoolPass(self, requests)
        try:
            run.begin()
        except BaseException:
            self.close()
            raise
        return run.results(keep)

    def answer(self, worker: int) -> tuple[str, Any]:
        """The next answer of `worker`. Raises what the worker raised; RuntimeError if it died or
        took too long."""
        kind, content = self._receive(worker)
        if kind == "error":
            raise _raised(worker, *content)
        return kind, content

    def _receive(self, worker: int) -> tuple[str, Any]:
        pipe, process = self.pipes[worker], self.processes[worker]
        ready = wait([pipe, process.sentinel], self.timeout or None)
        if pipe in ready:
            with contextlib.suppress(EOFError, ConnectionResetError):
                answer: tuple[str, Any] = pipe.recv()
                return answer
        if not ready:
            raise RuntimeError(
                f"DataLoader: expected a batch of worker {worker} within {self.timeout} s. Got "
                "none. Give a larger timeout, or look at what the data set does."
            )
        process.join(GRACE)
        raise RuntimeError(
            f"DataLoader: worker {worker} (process {process.pid}) died: {_cause(process.exitcode)}."
        )

    def send(self, worker: int, kind: str, content: Any = None) -> None:
        """Ask `worker` for something; if it died, `answer` will say so."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipes[worker].send((kind, content))

    def disown(self) -> None:
        """Forget the processes, which are another process's children."""
        for pipe in self.pipes:
            pipe.close()
        self.pipes, self.processes, self.folder = [], [], ""

    def close(self) -> None:
        """End the workers and remove what they left; a second time does nothing."""
        for worker in range(len(self.pipes)):
            self.send(worker, "stop")
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join(GRACE / 10)
            if process.is_alive():
                process.terminate()
                process.join(GRACE)
            process.close()
        self.pipes, self.processes = [], []
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = ""

    def __del__(self) -> None:
        if getattr(self, "processes", None):
            self.close()


class PoolPass:
    """One pass over a data set: who is asked for which batch, and whose turn it is."""

    def __init__(self, pool: WorkerPool, requests: Iterator[Any]) -> None:
        self.pool, self.requests = pool, requests
        self.order: deque[int] = deque()  # workers, in the order of the batches they owe
        self.workers: Iterator[int] = itertools.cycle(range(len(pool.pipes)))
        self.ended: set[int] = set()

    def begin(self) -> None:
        """Start all workers on their first batches."""
        count = len(self.pool.pipes)
        for worker in range(count):
            self.pool.send(worker, "begin")
        for worker in range(count):
            self.pool.answer(worker)
        for _ in range(self.pool.prefetch * count):
            self._ask()

    def _ask(self) -> None:
        """Send the next request to the worker whose turn it is."""
        if len(self.ended) == len(self.pool.pipes):
            return
        request = next(self.requests, None)
        if request is None:
            return
        worker = next(w for w in self.workers if w not in self.ended)
        self.pool.send(worker, "fetch", request)
        self.order.append(worker)

    def results(self, keep: bool) -> Iterator[Any]:
        """The batches in order."""
        complete = False
        try:
            while self.order:
                worker = self.order.popleft()
                kind, content = self.pool.answer(worker)
                if kind == "end":
                    self.ended.add(worker)
                self._ask()
                if kind == "batch":
                    yield unpack(*content)
            complete = True
        finally:
            # After a break the workers owe batches that nobody will take.
            if not (keep and complete):
                self.pool.close()


def _raised(worker: int, kind: bytes, text: str) -> Exception:
    """The worker's exception, with its traceback as message."""
    words = f"Raised by DataLoader worker {worker}:\n{text}"
    try:
        error: Exception = pickle.loads(kind)(words)
    except Exception:  # its class is not known here, or takes other arguments
        error = WorkerError(words)
    return error if isinstance(error, Exception) else WorkerError(words)


def _cause(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"it ended with status {exitcode}"
    name = signal.Signals(-exitcode).name
    hint = " (often the system's answer to a lack of memory)" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"


def _start_method() -> str:
    """Forking hands over data sets that were typed at a prompt, which cannot be imported."""
    methods = multiprocessing.get_all_start_methods()
    return "fork" if "fork" in methods and sys.platform == "linux" else methods[0]
