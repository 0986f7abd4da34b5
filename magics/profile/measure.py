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


@dataclass
class Cost:
    """What one operation, line or module cost: times in seconds, bytes that forward calls read and
    wrote, bytes of new results forward and backward, floating-point operations forward."""

    name: str
    calls: int = 0
    forward: float = 0.0
    backward_calls: int = 0
    backward: float = 0.0
    moved: int = 0
    nbytes: int = 0
    flops: int = 0

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

    def add(self, event: Event) -> None:
        """Count one event."""
        self.nbytes += event.made
        if event.kind == BACKWARD:
            self.backward_calls += 1
            self.backward += event.seconds
            return
        self.calls += 1
        self.forward += event.seconds
        self.moved += event.moved
        if event.kind == FORWARD and event.moved:  # a view computes nothing
            self.flops += flops(event.name, event.shapes[:-1], event.shapes[-1])


class Profiler:
    """A recording, under way or finished: `seconds` it took, `peak` bytes of what it made."""

    def __init__(self, modules: Mapping[int, str] | None = None) -> None:
        self._stack = ModuleStack(modules)
        self._recorder = Recorder(True, self._module)
        self._running = ExitStack()
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

    def start(self) -> None:
        """Record from now on."""
        self._running.enter_context(self._stack.following())
        self._running.enter_context(observers.observing(self._recorder))
        self._started = perf_counter()

    def stop(self) -> None:
        """Record no more."""
        if cuda.is_available():
            cuda.synchronize()
        self.seconds += perf_counter() - self._started
        self._running.close()
        self._recorder.close()

    def costs(self, by: str = "operation") -> list[Cost]:
        """The events by `operation`, `line` or `module`, in the order in which they came. A
        backward call counts where its forward call was."""
        key = KEYS[by]
        found: dict[str, Cost] = {}
        for event in self.events:
            if event.kind != RANGE:
                origin = self.events[event.origin] if event.origin >= 0 else None
                name = key(event, origin)
                found.setdefault(name, Cost(name)).add(event)
        return list(found.values())


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
def profiling(modules: Mapping[int, str] | None = None) -> Iterator[Profiler]:
    """Measure the operations of a `with` block; `modules` names modules by id.

    Example:
        >>> with profiling() as profiler:
        ...     model(x).sum().backward()
        >>> print(profile_report(profiler))
    """
    profiler = Profiler(modules)
    profiler.start()
    try:
        yield profiler
    finally:
        profiler.stop()
