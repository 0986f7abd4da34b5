"""What becomes of a kernel whose front end has gone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

LOOK = 1.0  # s between two looks whether the parent process lives
GRACE = 3600.0  # s that a kernel waits for somebody to attach, after a cell that was under way


class Orphan(Protocol):
    """What the watch asks a kernel."""

    stays: bool  # whether it was told to outlive its front end
    last_request: float  # time.monotonic()

    @property
    def is_running(self) -> bool:
        """Whether a cell is under way."""


class ParentWatch(threading.Thread):
    """Ends an idle kernel when its front end has gone; a cell under way is never cut short.

    A training that outlasts its terminal goes on, and afterwards the kernel waits an hour for
    somebody to attach. Once somebody has, or if it was told to stay, it is not watched any more.
    """

    def __init__(self, parent: int, kernel: Callable[[], Orphan], end: Callable[[], None]) -> None:
        super().__init__(name="parent watch", daemon=True)
        self._parent = parent
        self._kernel = kernel
        self._end = end

    def run(self) -> None:
        """Watch until the kernel ends or is let alone."""
        while os.getppid() == self._parent:
            time.sleep(LOOK)
        left = idle_since = time.monotonic()
        kernel = self._kernel()
        patience = GRACE if kernel.is_running else 0.0
        while not kernel.stays and kernel.last_request < left:
            if kernel.is_running:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= patience:
                self._end()
                return
            time.sleep(LOOK)
