"""The line below the prompt: what the kernel is doing, and how long the last cell took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from prompt_toolkit.formatted_text import StyleAndTextTuples


@dataclass
class Toolbar:
    """Calling it gives what to show."""

    busy_since: Callable[[], float | None]  # time.monotonic() of the kernel's word
    waiting: Callable[[], int]  # cells in the queue
    state: str = "starting"
    last_cell: float | None = None  # s

    def __call__(self) -> StyleAndTextTuples:
        fragments: StyleAndTextTuples = [self._state()]
        if waiting := self.waiting():
            fragments.append(("", f" · {waiting} queued"))
        if self.last_cell is not None:
            fragments.append(("", f" · last cell {duration(self.last_cell)}"))
        return fragments

    def _state(self) -> tuple[str, str]:
        since = self.busy_since()
        if self.state == "ready" and since is not None:
            running = duration(max(1, int(time.monotonic() - since)))
            return "class:bottom-toolbar.busy", f"kernel busy for {running}"
        style = "" if self.state == "ready" else "class:bottom-toolbar.busy"
        return style, f"kernel {self.state}"


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
