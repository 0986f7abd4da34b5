"""Which steps of a training a profile records, so that recording stays a small part of the time."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from statistics import median
from time import perf_counter
from typing import Any

from flambeau.optim.optimizer import Optimizer, register_optimizer_step_post_hook

SHARE = 0.04
"""Of the time, that recording may take."""

EVENT = 20e-6
"""Seconds that an event takes to record, at most; 10 to 20 microseconds were measured."""

FREE = 0.005
"""Seconds of recording at the beginning that nobody notices."""

BURST = 0.001
"""Seconds of recording saved up before it goes on: each time costs as much as some events."""

FIRST = 2
"""Steps that compile, allocate and read for the first time: they stand for no others."""

UNUSUAL = 4.0
"""Usual lengths of a step after which what runs is no step: an evaluation, a file written."""

GLANCE = 0.02
"""Seconds between two looks whether something else than steps runs."""

REMEMBERED, LOOKS = 21, 8
"""Steps whose median is the usual length, and after how many it is taken again."""

OTHERS = 8
"""Steps of another optimizer in a row after which the rhythm is that one's."""


@dataclass
class Windows:
    """Parts of a recording: of the regular steps among `steps` some were `recorded` and stand for
    all of them; `scaled` are the events of these as (first, one past the last)."""

    steps: int = 0
    recorded: int = 0
    scaled: list[tuple[int, int]] = field(default_factory=list)

    def weights(self, events: int) -> list[float]:
        """By event how many of its kind it stands for."""
        found = [1.0] * events
        scale = self.steps / self.recorded if self.recorded else 1.0
        for first, last in self.scaled:
            found[first:last] = [scale] * (last - first)
        return found


class Sampler:
    """Calls `pause` and `resume` between steps, which end with that of one optimizer, so that no
    more than `share` of the time goes into recording the `count()` events.

    What takes much longer than a step is no step, is recorded, and stands for itself alone.
    """

    def __init__(
        self,
        resume: Callable[[], None],
        pause: Callable[[], None],
        count: Callable[[], int],
        share: float,
    ) -> None:
        self.windows = Windows()
        self._resume, self._pause, self._count, self._share = resume, pause, count, share
        self._clock: Callable[[], Optimizer | None] = lambda: None
        self._others = 0
        self._seen = 0  # steps, also those that count for nothing
        self._usual: deque[float] = deque(maxlen=REMEMBERED)
        self._patience = inf
        self._is_on = self._is_whole = False  # recording now; since the window's beginning
        self._began = self._last = perf_counter()
        self._first_event = 0
        self._handle: Any = None
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def start(self) -> None:
        """Follow the steps of optimizers from now on, recording."""
        self._handle = register_optimizer_step_post_hook(self._after_step)
        self._ended = threading.Event()
        threading.Thread(target=self._watch, args=(self._ended,), daemon=True).start()
        self._begin(True)

    def stop(self) -> None:
        """Follow them no more."""
        self._handle.remove()
        with self._lock:
            self._ended.set()
            self._is_on = False

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(max(GLANCE, min(self._patience, 1.0))):
            self.look()

    def look(self) -> None:
        """Go on recording if no step has ended for long. (Hooks of modules, which could ask this,
        would slow every call.)"""
        with self._lock:
            is_late = perf_counter() - self._last > self._patience
            if is_late and not self._is_on and not self._ended.is_set():
                self._resume()
                self._is_on = True

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self._sets_rhythm(optimizer):
            return
        seconds = perf_counter() - self._last
        self._seen += 1
        is_usual = seconds < self._patience
        if self._seen > FIRST:
            if is_usual:
                self._learn(seconds)
            if not self._is_on or (self._is_whole and is_usual):
                self._count_step()
        left = FREE + self._share * (perf_counter() - self._began) - EVENT * self._count()
        self._begin(left > (0.0 if self._is_on else BURST))

    def _sets_rhythm(self, optimizer: Optimizer) -> bool:
        """Whether this is the one optimizer whose steps count."""
        clock = self._clock()
        if clock is not optimizer:
            self._others += 1
            if clock is not None and self._others <= OTHERS:
                return False
            self._clock = weakref.ref(optimizer)
        self._others = 0
        return True

    def _learn(self, seconds: float) -> None:
        self._usual.append(seconds)
        if self._patience == inf or self._seen % LOOKS == 0:
            self._patience = UNUSUAL * median(self._usual)

    def _count_step(self) -> None:
        self.windows.steps += 1
        if self._is_on:
            self.windows.recorded += 1
            self.windows.scaled.append((self._first_event, self._count()))

    def _begin(self, recording: bool) -> None:
        """A window begins."""
        with self._lock:
            if recording != self._is_on:
                (self._resume if recording else self._pause)()
            self._is_on = self._is_whole = recording
            self._first_event = self._count()
            self._last = perf_counter()
