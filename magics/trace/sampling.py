"""Tracing of a whole session: one step in so many is watched, so that training stays fast."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from statistics import median
from time import perf_counter
from typing import Any

from flambeau.core import observers
from flambeau.optim.optimizer import register_optimizer_step_post_hook

from .watch import GradientTrace

SHARE = 0.05  # of the time that watching may take
REMEMBERED = 21  # unwatched steps whose median is the length of a step


class SampledTrace:
    """Watches some of the steps of all optimizers, as many as `share` of the time allows.

    A step goes from the end of one `optimizer.step()` to the end of the next. Between watched
    steps nothing is observed: a step then costs one call of a hook. What a watched step took
    beyond the median of the others is what watching costs.
    """

    def __init__(self, modules: Mapping[int, str] | None = None, share: float = SHARE) -> None:
        self.trace = GradientTrace(modules)
        self.share = share
        self.steps = self.watched = 0
        self.spent = self.elapsed = 0.0
        self._usual: deque[float] = deque(maxlen=REMEMBERED)
        self._extra = 0.0  # s, of the last watched step
        self._watching: ExitStack | None = None
        self._last: float | None = None
        self._handle: Any = None

    def start(self) -> None:
        """Watch from now on."""
        self._handle = register_optimizer_step_post_hook(self._after_step)

    def stop(self) -> None:
        """Watch no more; what was seen stays."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        self._leave()

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        now = perf_counter()
        was_watched = self._watching is not None
        self._leave()
        if self._last is not None:
            self._account(now - self._last, was_watched)
        if self.steps and self.spent + self._extra <= self.share * self.elapsed:
            self._enter()
        elif not self.steps:
            self._enter()  # the first step tells what watching costs
        self.steps += 1
        self._last = perf_counter()

    def _account(self, seconds: float, was_watched: bool) -> None:
        self.elapsed += seconds
        if not was_watched:
            self._usual.append(seconds)
        elif self._usual:
            self._extra = max(0.0, seconds - median(self._usual))
            self.spent += self._extra
        else:
            self._extra = self.spent = seconds  # nothing to compare with yet: all of it

    def _enter(self) -> None:
        self._watching = ExitStack()
        self._watching.enter_context(self.trace.stack.following())
        self._watching.enter_context(observers.observing(self.trace))
        self.watched += 1

    def _leave(self) -> None:
        if self._watching is not None:
            self._watching.close()
            self._watching = None
            self.trace.end_pass()

    def __str__(self) -> str:
        if not self.steps:
            return "Tracing is on; no optimizer step yet."
        share = self.spent / self.elapsed if self.elapsed else 0.0
        return (
            f"Tracing is on: {self.watched} of {self.steps} steps watched, "
            f"{share:.1%} of the time spent on it"
        )
