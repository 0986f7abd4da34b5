"""What a process leaves of its last error, so that the launcher of all can show the first one."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"


def write_report(error: BaseException) -> None:
    """Leave `error`, with its traceback and the time, where the launcher looks for it."""
    path = os.environ.get(ERROR_FILE)
    if not path or Path(path).exists():  # the first error is the one that matters
        return
    extra = {"py_callstack": "".join(traceback.format_exception(error)), "timestamp": time.time()}
    message = {"message": f"{type(error).__name__}: {error}", "extraInfo": extra}
    Path(path).write_text(json.dumps({"message": message}))


def read_report(path: Path) -> tuple[str, float] | None:
    """The traceback that a process left, and its time in seconds; None if it left none."""
    try:
        extra = json.loads(path.read_text())["message"]["extraInfo"]
        return str(extra["py_callstack"]), float(extra["timestamp"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def report_at_end() -> None:
    """Write a report when an exception ends this process, if a launcher wants one."""
    if ERROR_FILE not in os.environ:
        return
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, KeyboardInterrupt):
            write_report(error)
        before(kind, error, trace)

    sys.excepthook = hook


def record(fn: F | None = None, error_handler: Any = None) -> Any:
    """Decorates a main function whose errors are to be reported. Those of programs that import
    `flambeau.distributed` are reported anyway; `error_handler` is PyTorch's."""
    if fn is None:
        return functools.partial(record, error_handler=error_handler)

    @functools.wraps(fn)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        except Exception as error:
            write_report(error)
            raise

    return recorded
