"""Cells as the session runs them: what begins and ends with each, and what comes of it."""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .origins import CellSource
from .receipts import Changes, Meter, Receipt

MAGIC = ("%%", "#\n%%")
"""What a cell begins with that runs another."""


AGAIN = 0.01
"""Seconds after which an interrupt that was lost is sent again."""


@dataclass(frozen=True)
class Execution:
    """What came of a cell: the `value` of its last expression, or the `error` that ended it."""

    number: int
    success: bool
    value: Any
    error: BaseException | None
    receipt: Receipt | None

    def raise_error(self) -> None:
        """Raise what the cell raised, if it did."""
        if self.error is not None:
            raise self.error


@dataclass
class Running:
    """A cell that runs now; cells that magics run inside it have no meter of their own."""

    info: Any
    thread: int
    cell: CellSource
    process: int
    meter: Meter | None = None
    failure: Any = None
    """The result of a cell that a magic ran inside, if it failed."""


class Cells:
    """Follows the cells of an IPython shell by its events, whichever door they came through.

    `on_start(cell, is_outermost)` hears of each cell before it runs; `on_end(success)` when the
    outermost has ended. `receipt` is that of the last outermost cell.
    """

    def __init__(
        self,
        shell: Any,
        observes: Callable[[], bool],
        on_start: Callable[[CellSource, bool], None],
        on_end: Callable[[bool], None],
    ) -> None:
        self.shell = shell
        self.receipt: Receipt | None = None
        self._observes, self._on_start, self._on_end = observes, on_start, on_end
        self._running: list[Running] = []
        self._changes = Changes(shell.user_ns)
        self._hook = sys.unraisablehook
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._finish)

    @property
    def running(self) -> bool:
        """Whether a cell runs now."""
        return bool(self._running)

    def interrupt(self) -> bool:
        """Raise KeyboardInterrupt in the thread that runs a cell; False if none runs.

        In the main thread as Ctrl-C does, elsewhere at the next line of Python.
        """
        if not self._running:
            return False
        thread = self._running[0].thread
        if thread == threading.main_thread().ident:
            interrupt_main(thread)
        else:
            raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
            raise_in(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
        return True

    def stop(self) -> None:
        """Follow no more."""
        self.shell.events.unregister("pre_run_cell", self._begin)
        self.shell.events.unregister("post_run_cell", self._finish)

    def _begin(self, info: Any) -> None:
        if self._is_aside():
            return
        cell = self._placed(info)
        self._on_start(cell, not self._running)
        running = Running(info, threading.get_ident(), cell, os.getpid())
        if not self._running:
            self.receipt = None
            running.meter = Meter(self._observes())
            self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        self._running.append(running)

    def _finish(self, result: Any) -> None:
        if not self._running or self._is_aside() or not self._is_last(result):
            return  # an empty cell ends without having begun
        running = self._running.pop()
        success = result is not None and result.success
        if os.getpid() != running.process:
            end_child(result)
        if success and running.failure is not None:
            # The magic did its work; the cell that it ran has failed nevertheless.
            inner = running.failure
            result.error_in_exec = inner.error_before_exec or inner.error_in_exec
            success = False
        if self._running and not success and self._running[-1].info.raw_cell.startswith(MAGIC):
            self._running[-1].failure = result
        if running.meter is not None:
            if sys.unraisablehook == self._unraisable:  # else the cell has put its own there
                sys.unraisablehook = self._hook
            self.receipt = running.meter.receipt(self._changes)
            self._on_end(success)

    def _unraisable(self, unraisable: Any) -> None:
        """Send Ctrl-C again that came while an object was given back: Python drops whatever is
        raised in a `__del__` or in the callback of a weak reference, hence also in here."""
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._hook(unraisable)
            return
        cell = self._running[:1]
        threading.Timer(AGAIN, lambda: cell == self._running[:1] and self.interrupt()).start()

    def _is_aside(self) -> bool:
        """Whether a subshell looks at something while the cell of another thread runs."""
        return bool(self._running) and self._running[0].thread != threading.get_ident()

    def _is_last(self, result: Any) -> bool:
        """Whether `result` is of the innermost cell; after Ctrl-C it has another description."""
        begun = self._running[-1].info
        return result is None or result.info is begun or result.info.raw_cell == begun.raw_cell

    def _placed(self, info: Any) -> CellSource:
        """The cell with the name and first line that a user knows it by."""
        source = info.raw_cell
        if self._running:
            outer = self._running[-1].cell
            body = source.removeprefix("#\n")  # stands for the line of a cell magic
            above = outer.source.removesuffix(body)
            if len(above) < len(outer.source):
                return CellSource(body, outer.place, outer.first_line + above.count("\n"))
        compiler = self.shell.compile
        script = getattr(compiler, "script", None)
        if script is not None:
            return CellSource(source, script, compiler.first_line)
        number = self.shell.execution_count - bool(info.store_history)  # counted up already
        return CellSource(source, f"In[{number}]")


def interrupt_main(thread: int) -> None:
    """Raise SIGINT in the main thread; where it can be sent, it also ends a sleep."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, signal.SIGINT)
    else:
        _thread.interrupt_main()


def end_child(result: Any) -> None:
    """End a process that a cell forked and that came to the end of the cell.

    It would go on as a second kernel and take messages from the first.
    """
    error = None if result is None else result.error_before_exec or result.error_in_exec
    code = getattr(error, "code", None) if isinstance(error, SystemExit) else bool(error)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
