"""Runs a block under a recorder, and adds its events up by operation, line or module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import perf_counter

from flambeau import cuda
from flambeau.core import observers
from flambeau.profiler import Event, Recorder
from flambeau.profiler.flops import flops
from flambeau.profiler.recording import BACKWARD, FORWARD, RANGE, STEP

from ..modules import ModuleStack
from ..source import line_at
from .sampling import SHARE, Sampler, Windows


@dataclass
class Cost:
    """What one operation, line or module cost: times in seconds, bytes that forward calls read and
    wrote, bytes of new results forward and backward, floating-point operations forward."""

    name: str
    calls: float = 0
    forward: float = 0.0
    backward_calls: float = 0
    backward: float = 0.0
    moved: float = 0
    nbytes: float = 0
    flops: float = 0

    @property
    def total(self) -> float:
        """Seconds forward and backward."""
        return self.forward + self.backward

    @property
    def bandwidth(self) -> float:
        """Bytes a second that forward calls moved; 0 if they moved none."""
        return self.moved / self.forward if self.forward else 0.0

    @property
    def rate(self) -> float:
        """Floating-point operations a second of forward calls."""
        return self.flops / self.forward if self.forward else 0.0

    def add(self, event: Event, weight: float = 1.0) -> None:
        """Count an event that stands for `weight` of its kind, by the time where it ran."""
        seconds = event.seconds if event.device_seconds is None else event.device_seconds
        self.nbytes += weight * event.made
        if event.kind == BACKWARD:
            self.backward_calls += weight
            self.backward += weight * seconds
            return
        self.calls += weight
        self.forward += weight * seconds
        self.moved += weight * event.moved
        if event.kind == FORWARD and event.moved:  # a view computes nothing
            self.flops += weight * flops(event.name, event.shapes[:-1], event.shapes[-1])

    def rounded(self) -> Cost:
        """The same with whole numbers of calls, bytes and operations."""
        for name in ("calls", "backward_calls", "moved", "nbytes", "flops"):
            setattr(self, name, round(getattr(self, name)))
        return self


class Profiler:
    """A recording, under way or finished: `seconds` it took, `peak` bytes of what it made.

    Of a training of many short steps it records some, which stand for the others: as many as
    `share` of the time allows, all of them with a share of 1.
    """

    def __init__(self, modules: Mapping[int, str] | None = None, share: float = SHARE) -> None:
        self._stack = ModuleStack(modules)
        self._recorder = Recorder(True, self._module)
        self._running = ExitStack()
        self._sampler = Sampler(self._record, self._running.close, lambda: len(self.events), share)
        self._started = 0.0
        self.seconds = 0.0

    def _module(self) -> tuple[str, ...]:
        return tuple(self._stack.name_of(module) for module in self._stack.running)

    @property
    def events(self) -> list[Event]:
        """All events so far, in the order in which they ended."""
        return self._recorder.events

    @property
    def peak(self) -> int:
        """The most bytes that results and gradients of the block held at one time."""
        return self._recorder.peak

    @property
    def windows(self) -> Windows:
        """How many steps there were, and which of them were recorded."""
        return self._sampler.windows

    def weighted(self) -> Iterator[tuple[Event, float]]:
        """All events, and how many of its kind each stands for."""
        return zip(self.events, self.windows.weights(len(self.events)), strict=True)

    def _record(self) -> None:
        self._running.enter_context(self._stack.following())
        self._running.enter_context(observers.observing(self._recorder))

    def start(self) -> None:
        """Record from now on."""
        self._sampler.start()
        self._started = perf_counter()

    def stop(self) -> None:
        """Record no more."""
        if cuda.is_available():
            cuda.synchronize()
        self.seconds += perf_counter() - self._started
        self._sampler.stop()
        self._running.close()
        self._recorder.close()

    def costs(self, by: str = "operation") -> list[Cost]:
        """The events by `operation`, `line` or `module`, in the order in which they came. A
        backward call counts where its forward call was."""
        key = KEYS[by]
        found: dict[str, Cost] = {}
        for event, weight in self.weighted():
            if event.kind != RANGE:
                origin = self.events[event.origin] if event.origin >= 0 else None
                name = key(event, origin)
                found.setdefault(name, Cost(name)).add(event, weight)
        return [cost.rounded() for cost in found.values()]


def _operation(event: Event, origin: Event | None) -> str:
    if event.kind == STEP:
        return event.name.partition("#")[2]
    return event.name if origin is None else origin.name


def _line(event: Event, origin: Event | None) -> str:
    if event.stack:
        return str(line_at(*event.stack[0]))
    return "steps" if event.kind == STEP else "(recorded before)"


def _module(event: Event, origin: Event | None) -> str:
    if event.module:
        return str(event.module[-1])
    return "(optimizer)" if event.kind == STEP else "(no module)"


KEYS: dict[str, Callable[[Event, Event | None], str]] = {
    "operation": _operation,
    "line": _line,
    "module": _module,
}
"""How events are grouped."""


@contextmanager
def profiling(modules: Mapping[int, str] | None = None, share: float = SHARE) -> Iterator[Profiler]:
    """Measure the operations of a `with` block; `modules` names modules by id, `share` is as for
    `Profiler`.

    Example:
        >>> with profiling() as profiler:
        ...     model(x).sum().backward()
        >>> print(profile_report(profiler))
    """
    profiler = Profiler(modules, share)
    profiler.start()
    try:
        yield profiler
    finally:
        profiler.stop()
