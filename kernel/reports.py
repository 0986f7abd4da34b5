"""What the checker said of cells and modules, for front ends that ask again while nothing has
changed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from flambeau import nn
from flambeau.nn.parameter import is_lazy

if TYPE_CHECKING:
    from flambeau.magics.check import Report

MOMENT = 0.05  # s that it may take to look into a module

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


class Flows:
    """What modules of `namespace` do to shapes, looked into once for the parameters they have."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._found: WeakKeyDictionary[Any, tuple[Any, str | None]] = WeakKeyDictionary()

    def of(self, value: Any) -> str | None:
        """`taken -> given`; None for what is no module, or not understood in a moment."""
        from flambeau.magics.check import module_shapes

        if not isinstance(value, nn.Module) or isinstance(value, type):
            return None
        sign = [(id(p), p._array.shape) for p in value.parameters() if not is_lazy(p)]
        known = self._found.get(value)
        if known is None or known[0] != sign:
            shapes = module_shapes(value, self._namespace, MOMENT)
            known = self._found[value] = (sign, shapes and " -> ".join(shapes))
        return known[1]
