"""What the checker said of cells, for front ends that ask again while nothing has changed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flambeau.magics.check import Report

KEPT = 256
"""Reports; a notebook has less cells, and each keystroke makes a new text."""


class Reports:
    """Reports on cells that have not run, for the names of `namespace`.

    One run of the checker serves all questions about a text, until a cell has run; while one runs,
    for `interval` seconds.
    """

    def __init__(self, namespace: dict[str, Any], interval: float) -> None:
        self._namespace, self._interval = namespace, interval
        self._found: dict[str, tuple[float, Report]] = {}
        self._asking = threading.Lock()  # two questions about a text are one run

    def changed(self) -> None:
        """The namespace may have changed."""
        self._found = {}

    def of(self, source: str, running: bool) -> Report:
        """The latest report on `source`, or a new one."""
        from flambeau.magics.check import examine

        with self._asking:
            known, now = self._found, time.monotonic()
            made, report = known.get(source, (0.0, None))
            if report is None or (running and now - made > self._interval):
                report = examine([source], self._namespace)[0]
                if len(known) >= KEPT:
                    known.pop(next(iter(known)))
                known[source] = (now, report)
            return report
