"""Observers: how profiler, tracer, graph printer and memory ledger see the runtime.

An observer subscribes to events; with no observer an operation pays one global load. Callbacks run
in the thread that caused the event, in order of subscription, and see arrays and nodes, never
copies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = [
    "Observer",
    "active",
    "is_traced",
    "observing",
    "subscribe",
    "unobserved",
    "unsubscribe",
]


class Observer:
    """Base class of observers; override the events you want. All times are in seconds."""

    traces = False
    """Whether it follows values from operation to operation: while it looks, writes in place go
    through operations, and what depends on sizes is left to operations, not worked out by Python.
    """

    def operation_started(self, name: str, device: Any) -> None:
        """An operation `name` is about to compute on `device`; if it fails, nothing follows."""

    def operation_done(
        self, name: str, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...], seconds: float
    ) -> None:
        """An operation `name` turned `inputs` (tensors, numbers, lists) into `outputs`."""

    def operation_applied(
        self, operation: Any, arguments: dict[str, Any], outputs: tuple[Tensor, ...]
    ) -> None:
        """The same event in full: the declared `operation`, its arguments by name, conformed."""

    def step_taken(self, step: Any, result: Any) -> Any:
        """What `step`, a function that is one step of a trace, shall return: its result, or what
        it might as well have been; an observer that traces tries how a program follows."""
        return result

    def tensor_written(self, tensor: Tensor, result: Tensor) -> None:
        """`tensor` was written in place and holds the values of `result` now."""

    def node_recorded(self, node: Any) -> None:
        """The tape got a backward `node`; `node.metadata` is a dict that observers may write to."""

    def backward_entered(self, node: Any, gradients: tuple[Any, ...]) -> None:
        """The engine is about to run `node` on `gradients`, bare arrays (None means zero)."""

    def backward_left(self, node: Any, gradients: tuple[Any, ...], seconds: float) -> None:
        """`node` handed `gradients` (bare arrays, one per edge, None means none) to its edges."""

    def graph_replayed(self, device: Any, seconds: float) -> None:
        """A CUDA graph was launched on `device`; before it came `operation_started`."""

    def step_started(self, optimizer: Any) -> None:
        """`optimizer.step()` was called and has not yet changed a parameter."""

    def step_done(self, optimizer: Any, seconds: float) -> None:
        """`optimizer.step()` has updated its parameters."""


class _Unobserved(threading.local):
    """Whether the observers do not hear of this thread."""

    on = False


class _Subscribers(list[Observer]):
    """The observers of the thread that asks: none within `unobserved`."""

    def __iter__(self) -> Iterator[Observer]:
        return iter(()) if _unobserved.on else super().__iter__()


_unobserved = _Unobserved()
active: list[Observer] = _Subscribers()
"""The subscribed observers, first come first."""

_switches: list[Callable[[bool], None]] = []
_watches = 0


def on_switch(callback: Callable[[bool], None]) -> None:
    """Call `callback(observed)` whenever the runtime starts or stops being observed."""
    _switches.append(callback)
    callback(bool(active or _watches))


def _switch() -> None:
    for callback in _switches:
        callback(bool(active or _watches))


def watch(change: int) -> None:
    """Have operations take the general way, as if observed: `change` is 1, and -1 at the end."""
    global _watches
    _watches += change
    _switch()


def subscribe(observer: Observer) -> None:
    """Send events to `observer` from now on; a second subscription of the same one is ignored."""
    if observer not in active:
        active.append(observer)
        _switch()


def unsubscribe(observer: Observer) -> None:
    """Stop sending events to `observer`; one that never subscribed is ignored."""
    if observer in active:
        active.remove(observer)
        _switch()


def is_traced() -> bool:
    """Whether some observer of this thread traces."""
    return any(observer.traces for observer in active)


@contextmanager
def observing(observer: Observer) -> Iterator[Observer]:
    """Subscribe `observer` for the length of a `with` block."""
    subscribe(observer)
    try:
        yield observer
    finally:
        unsubscribe(observer)


@contextmanager
def unobserved() -> Iterator[None]:
    """Send no events of this thread in a `with` block: what it computes is not the user's."""
    before, _unobserved.on = _unobserved.on, True
    try:
        yield
    finally:
        _unobserved.on = before
