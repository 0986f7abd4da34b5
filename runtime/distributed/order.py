"""Calls that are done one after another, in the order in which they came."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from .work import Work

Task = tuple[Callable[[], None], Work]


class Order:
    """An order of calls, whichever threads they come from: those that are waited for run in the
    thread that makes them while nothing is under way, all others in a thread of the order."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._is_here = False  # a call runs in the thread that made it
        self._waiting = 0  # calls given to our thread and not done
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def now(self, words: str, call: Callable[[], None]) -> None:
        """Do `call`, after what came before it. Raises: what it raises."""
        is_here = False
        try:
            with self._changed:
                if not (self._is_here or self._waiting):
                    self._is_here = is_here = True
            if is_here:
                call()
                return
        finally:
            if is_here:
                with self._changed:
                    self._is_here = False
                    self._changed.notify_all()
        self.later(call, Work(words)).wait()

    def later(self, call: Callable[[], None], work: Work) -> Work:
        """Let `call` be done after what came before it, without waiting; `work`, which ends with
        it."""
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._do_all, daemon=True, name=self._name)
                self._thread.start()
            self._waiting += 1
            self._tasks.put((call, work))
        return work

    def _do_all(self) -> None:
        while (task := self._tasks.get()) is not None:
            call, work = task
            with self._changed:
                self._changed.wait_for(lambda: not self._is_here)
            error: BaseException | None = None
            try:
                call()
            except BaseException as caught:
                error = caught
            with self._changed:
                self._waiting -= 1
            work._finish(error)
            del task, call, work, error  # they hold tensors

    def close(self, seconds: float) -> None:
        """Let the thread end, after what it was given, for which it is waited so long."""
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join(timeout=seconds)
