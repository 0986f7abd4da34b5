"""What a worker process does: it makes batches when asked, and ends with the loader's process."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import random
import signal
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from .fetch import Fetch
from .transfer import pack, send_file

WATCH = 5.0
"""Seconds between two looks at whether the loader's process lives, should the pipe not tell."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker process knows of itself.

    `rng` and `worker_method` are PyTorch's; workers are always processes here.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process its number, seed and data set; None elsewhere."""
    return _info


class WorkerError(RuntimeError):
    """What a worker raised, where its own type cannot be raised again."""


class Message(str):
    """A text of several lines that is its own repr, which is what a KeyError prints."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Task:
    """What a worker needs to begin."""

    fetch: Fetch
    number: int
    count: int
    base_seed: int
    initialize: Any


def work(task: Task, pipe: Connection) -> None:
    """Answer requests (kind, number of the pass, content) until told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the loader's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not what the parent's program made of it
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # held while it was forked
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, requests), daemon=True).start()
    problem = _problem(lambda: _prepare(task))
    while True:
        kind, passage, content = requests.get()
        if kind == "stop":
            return
        if kind == "begin":
            problem = problem or _problem(task.fetch.begin)
            continue
        answer = problem or _answer(task.fetch, content)
        problem = None  # reported once
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # then _listen ends us
            _send(pipe, passage, *answer)


def _listen(pipe: Connection, requests: queue.SimpleQueue[Any]) -> None:
    """Take requests off the pipe at once, so that the loader's process never waits to send one; end
    this process, whatever it is doing, when that one is gone."""
    parent = os.getppid()
    try:
        while True:
            while not pipe.poll(WATCH):
                if os.getppid() != parent:
                    raise EOFError
            requests.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(1)


def _prepare(task: Task) -> None:
    """Seed all generators by base_seed + number, as PyTorch does, and run worker_init_fn."""
    global _info
    from ...random import manual_seed
    from ...settings import set_num_threads

    set_num_threads(1)  # the workers are the parallelism
    seed = task.base_seed + task.number
    random.seed(seed)
    manual_seed(seed)
    low, high = task.base_seed & 0xFFFFFFFF, task.base_seed >> 32
    np.random.seed(np.random.SeedSequence([task.number, low, high, 0]).generate_state(4))
    _info = WorkerInfo(task.number, task.count, seed, task.fetch.dataset)
    if task.initialize is not None:
        task.initialize(task.number)


def _problem(step: Any) -> tuple[str, Any] | None:
    """The answer that tells what `step` raised, if it did."""
    try:
        step()
    except BaseException as error:
        return _told(error)
    return None


def _answer(fetch: Fetch, request: Any) -> tuple[str, Any]:
    try:
        return "batch", pack(fetch(request))
    except BaseException as error:
        if isinstance(error, StopIteration) and fetch.ends:
            return "end", None
        return _told(error)


def _told(error: BaseException) -> tuple[str, Any]:
    text = traceback.format_exc()
    try:
        return "error", (pickle.dumps(type(error)), text)
    except Exception:  # a class that no other process can import
        return "error", (pickle.dumps(WorkerError), text)


def _send(pipe: Connection, passage: int, kind: str, content: Any) -> None:
    if kind != "batch":
        pipe.send((passage, kind, content))
        return
    data, descriptor, places = content
    pipe.send((passage, kind, (data, descriptor >= 0, places)))
    if descriptor >= 0:
        send_file(pipe, descriptor)


def raised(worker: int, kind: bytes, text: str) -> Exception:
    """The worker's exception, with its traceback as message."""
    words = Message(f"Raised by DataLoader worker {worker}:\n{text}")
    try:
        error: Exception = pickle.loads(kind)(words)
    except Exception:  # its class is not known here, or takes other arguments
        error = WorkerError(words)
    return error if isinstance(error, Exception) else WorkerError(words)
