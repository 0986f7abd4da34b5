"""Where the CPU waits for the GPU: told to those who look for such places, and ended by Ctrl-C in a
session."""

from __future__ import annotations

import sys
import threading
import warnings
from time import perf_counter
from typing import Any

from .history import OWN

MODES = ("default", "warn", "error")
"""What happens then: nothing, a warning, an error."""


AT_ONCE = 2e-3
"""Seconds of a wait before it goes to a thread, which takes 30 microseconds."""


class _Chosen:
    """The mode by its number, and whether Ctrl-C ends waits."""

    mode = 0
    is_interruptible = False


def let_interrupts_through() -> None:
    """Let Ctrl-C end waits of the main thread from now on; the GPU's work goes on. CUDA's own
    waits only come back when that is done."""
    _Chosen.is_interruptible = True


def wait_for(cupy: Any, awaited: Any) -> None:
    """`awaited.synchronize()`, of a device, stream or event of CuPy's."""
    if not _Chosen.is_interruptible or threading.current_thread() is not threading.main_thread():
        awaited.synchronize()
        return
    queue = cupy.cuda.get_current_stream()
    if queue.is_capturing():
        awaited.synchronize()  # which says why that cannot be
        return
    mark = awaited if hasattr(awaited, "done") else queue.record()
    deadline = perf_counter() + AT_ONCE
    while not mark.done:
        if perf_counter() > deadline:
            _wait_aside(awaited)
            return
    awaited.synchronize()


def wait_for_values(cupy: Any) -> None:
    """Wait for the current stream before a copy of CUDA's does, which Ctrl-C would not end."""
    if _Chosen.is_interruptible:
        wait_for(cupy, cupy.cuda.get_current_stream())


def _wait_aside(awaited: Any) -> None:
    """The same in a thread, whose end the caller awaits as Ctrl-C lets it."""
    failures: list[BaseException] = []
    finished = threading.Event()

    def wait() -> None:
        try:
            awaited.synchronize()
        except BaseException as error:
            failures.append(error)
        finally:
            finished.set()

    threading.Thread(target=wait, name="wait for the GPU", daemon=True).start()
    finished.wait()
    if failures:
        raise failures[0]


def mode() -> int:
    """The number of the mode."""
    return _Chosen.mode


def choose(number: int) -> None:
    """Another mode from now on."""
    _Chosen.mode = number


def note(what: str) -> None:
    """`what` is about to wait for the GPU. Raises: RuntimeError if the mode is "error"."""
    if not _Chosen.mode:
        return
    told = (
        f"{what}: called a synchronizing CUDA operation: the CPU waits until the GPU has done all "
        "that it was asked for. Keep values on the GPU, or copy with non_blocking=True."
    )
    if MODES[_Chosen.mode] == "error":
        raise RuntimeError(told)
    warnings.warn(told, UserWarning, stacklevel=_callers_level())


def _callers_level() -> int:
    """How many frames above `note` the user's line stands."""
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((OWN, "<flambeau")):
        level, frame = level + 1, frame.f_back
    return level
