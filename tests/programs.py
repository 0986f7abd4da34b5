"""Programs that tests start: each comes to an end, also one that waits for ever, and is heard."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import psutil

PATIENCE = 120.0  # s; a loaded machine may be slow, a hang is longer


@contextlib.contextmanager
def running(
    *command: str, patience: float = PATIENCE, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """The program, with pipes, in a session of its own. It and all that it started are killed at
    the end of the block, or after `patience`: then whatever is read from it ends."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        command, text=True, start_new_session=True, **{**pipes, **options}
    ) as process:
        guard = threading.Timer(patience, kill, (process.pid,))
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            kill(process.pid)


def kill(pid: int) -> None:
    """Kill a process and all that it started, such as a kernel in a session of its own."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for found in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.kill()


def finished(
    *command: str, input: str | None = None, patience: float = PATIENCE, **options: Any
) -> subprocess.CompletedProcess[str]:
    """What the program left, once it has ended.

    Raises: AssertionError with all that it said, if it had to be killed.
    """
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with running(*command, patience=patience, **options) as process:
        # Longer than the guard: what it cannot find may still hold the pipes.
        printed, told = process.communicate(input, patience + 10)
        status = process.wait()
    assert status != -9, f"{command} was killed. It said:\n{printed}\n{told}"
    return subprocess.CompletedProcess(command, status, printed, told)


def printed(*command: str, **options: Any) -> str:
    """What the program prints. Raises: AssertionError with all that it said, if it fails."""
    done = finished(*command, **options)
    assert done.returncode == 0, f"status {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
