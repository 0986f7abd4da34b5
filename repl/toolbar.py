"""The rows below the prompt: what the kernel advises, what it is doing, what is in force."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prompt_toolkit.formatted_text import StyleAndTextTuples


@dataclass
class Toolbar:
    """Calling it gives what to show."""

    busy_since: Callable[[], float | None]  # time.monotonic() of the kernel's word
    waiting: Callable[[], int]  # cells in the queue
    advice: Callable[[], StyleAndTextTuples]  # a row of its own, or nothing
    state: str = "starting"
    last_cell: float | None = None  # s
    status: dict[str, Any] | None = None  # what the kernel answered last, see kernel.status

    def __call__(self) -> StyleAndTextTuples:
        advice = self.advice()
        fragments: StyleAndTextTuples = [*advice, ("", "\n")] if advice else []
        fragments.append(self._state())
        if waiting := self.waiting():
            fragments.append(("", f" · {waiting} queued"))
        if self.last_cell is not None and self.busy_since() is None:
            fragments.append(("", f" · last cell {duration(self.last_cell)}"))
        if self.status is not None:
            fragments.append(("", "".join(f" · {fact}" for fact in facts(self.status))))
        return fragments

    def _state(self) -> tuple[str, str]:
        since = self.busy_since()
        if self.state == "ready" and since is not None:
            running = duration(max(1, int(time.monotonic() - since)))
            return "class:bottom-toolbar.busy", f"kernel busy for {running}"
        style = "" if self.state == "ready" else "class:bottom-toolbar.busy"
        return style, f"kernel {self.state}"


def facts(status: dict[str, Any]) -> list[str]:
    """`cpu`, `512 MB`, and what is not as it is by default."""
    found = [status["device"], amount(status["memory"])]
    if status["loss"] is not None:
        found.insert(0, f"loss {status['loss']:.4g}")
    if not status["grad"]:
        found.append("no grad")
    if status["clip"]:
        found.append(status["clip"].partition(":")[0].lower())
    if status["seed"] is not None:
        found.append(f"seed {status['seed']}")
    return found


def amount(count: int) -> str:
    """Bytes as `512 MB` or `1.3 GB`."""
    mega = count / 1e6
    return f"{mega:.0f} MB" if mega < 1000 else f"{mega / 1000:.1f} GB"


def duration(seconds: float) -> str:
    """`8 ms`, `3.2 s`, `45 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
