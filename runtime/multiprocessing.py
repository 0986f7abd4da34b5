"""Python's `multiprocessing`, with `spawn` beside it.

Tensors whose memory is shared (`Tensor.share_memory_`, `Module.share_memory`) are the same tensors
in processes that are forked later; sent through queues and pipes, or to spawned processes, tensors
are copied.
"""

from __future__ import annotations

import multiprocessing as _python
import os
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing import *  # noqa: F403
from multiprocessing.connection import wait
from typing import Any

__all__ = [
    *_python.__all__,  # type: ignore[attr-defined]
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "SpawnContext",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
]

STRATEGIES = {"file_descriptor", "file_system"}
_strategy = "file_descriptor"


class ProcessException(Exception):
    """A process that was started for a function did not end well."""

    def __init__(self, message: str, error_index: int, pid: int) -> None:
        super().__init__(message)
        self.msg, self.error_index, self.pid = message, error_index, pid


class ProcessRaisedException(ProcessException):
    """It raised; the message holds its traceback."""


class ProcessExitedException(ProcessException):
    """It died, by a signal or with an exit code."""

    def __init__(
        self,
        message: str,
        error_index: int,
        error_pid: int,
        exit_code: int,
        signal_name: str | None,
    ) -> None:
        super().__init__(message, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name


class SpawnContext:
    """Processes that run one function; see `spawn`."""

    def __init__(self, processes: list[Any], errors: list[Any]) -> None:
        self.processes, self._errors = processes, errors

    def pids(self) -> list[int]:
        """Their process ids."""
        return [int(process.pid) for process in self.processes]

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all have ended; whether they have, after at most `timeout` seconds.

        Raises: ProcessRaisedException or ProcessExitedException for the first that fails, after
        ending the others.
        """
        running = {process.sentinel: k for k, process in enumerate(self.processes)}
        ready = wait(
            [s for s, k in running.items() if self.processes[k].exitcode is None], timeout=timeout
        )
        for k, process in enumerate(self.processes):
            if process.exitcode is None and process.sentinel in ready:
                process.join()
            if process.exitcode not in (None, 0):
                self._fail(k)
        return all(process.exitcode == 0 for process in self.processes)

    def _fail(self, index: int) -> None:
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join()
        process = self.processes[index]
        try:
            told = self._errors[index].recv()
        except EOFError:
            told = None  # it could not say
        if told is not None:
            raise ProcessRaisedException(
                f"Process {index} raised:\n\n{told}", index, int(process.pid)
            )
        code = int(process.exitcode)
        name = signal.Signals(-code).name if code < 0 else None
        how = f"was ended by {name}" if name else f"ended with exit code {code}"
        raise ProcessExitedException(f"Process {index} {how}.", index, int(process.pid), code, name)


def spawn(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> SpawnContext | None:
    """Run `fn(k, *args)` in `nprocs` processes, counted by k, and wait until all have ended; with
    `join=False`, a SpawnContext to wait with.

    A function that only this process can know (typed at a prompt, or of a script in a session) is
    run by forking.
    Raises: ProcessRaisedException with the traceback of the first that raises,
    ProcessExitedException for one that dies; the others are ended.
    """
    return start_processes(fn, args, nprocs, join, daemon, start_method)


def start_processes(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> SpawnContext | None:
    """`spawn` with another `start_method`: "fork" or "forkserver"."""
    if start_method != "fork" and not _can_be_imported(fn):
        start_method = "fork"
    context: Any = _python.get_context(start_method)
    processes, errors = [], []
    for k in range(nprocs):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(fn, k, args, theirs), daemon=daemon)
        process.start()
        theirs.close()
        processes.append(process)
        errors.append(ours)
    started = SpawnContext(processes, errors)
    if not join:
        return started
    while not started.join():
        pass
    return None


def _can_be_imported(fn: Callable[..., Any]) -> bool:
    """Whether a new interpreter would find `fn`: by importing its module, or by running the main
    program's file again, which is not the one of a session's cells."""
    if fn.__module__ != "__main__":
        return True
    main = sys.modules["__main__"]
    return getattr(main, fn.__name__, None) is fn and hasattr(main, "__file__")


def _run(fn: Callable[..., Any], index: int, args: tuple[Any, ...], errors: Any) -> None:
    try:
        fn(index, *args)
    except KeyboardInterrupt:
        pass  # the parent was interrupted too
    except BaseException:
        errors.send(traceback.format_exc())
        sys.stderr.flush()
        os._exit(1)


def get_all_sharing_strategies() -> set[str]:
    """The names that `set_sharing_strategy` takes."""
    return set(STRATEGIES)


def get_sharing_strategy() -> str:
    """The name given last."""
    return _strategy


def set_sharing_strategy(new_strategy: str) -> None:
    """Taken for PyTorch's sake: memory is shared by forking alone. Raises: ValueError for a name
    that is none."""
    global _strategy
    if new_strategy not in STRATEGIES:
        raise ValueError(f"Expected one of {sorted(STRATEGIES)}. Got {new_strategy!r}.")
    _strategy = new_strategy
