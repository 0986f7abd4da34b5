"""Events of a profile: operations, backward nodes, optimizer steps and named ranges."""

from __future__ import annotations

import sys
import threading
import weakref
from dataclasses import dataclass
from time import perf_counter
from types import CodeType
from typing import TYPE_CHECKING, Any

from ..core import observers
from ..core.devices import device
from ..core.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from .device_clock import DeviceClock

FORWARD, BACKWARD, STEP, RANGE = "forward", "backward", "step", "range"
"""Kinds of events."""

Place = tuple[CodeType, int]
"""A point in the program: code and instruction."""

HOST = ("IPython.", "ipykernel.", "runpy")
"""Where the stack of a cell or script ends: what runs it is of no interest."""


@dataclass(slots=True)
class Event:
    """Something that took `seconds` from `start` (of `perf_counter`) on.

    `shapes` are of the tensor inputs, then of the first result; `moved` is bytes read and written,
    `made` bytes of new results. `stack` has the user's places, the innermost first; `module` is
    what the profile's `module_of` said. `origin` is the position of the forward event whose
    gradient a backward event computes, -1 if there is none. What ran on a GPU took
    `device_seconds` there, from `device_start` on, on the GPU `device`; `seconds` are the CPU's.
    """

    name: str
    kind: str
    start: float
    seconds: float
    thread: int
    shapes: tuple[tuple[int, ...], ...] = ()
    moved: int = 0
    made: int = 0
    stack: tuple[Place, ...] = ()
    module: Any = None
    origin: int = -1
    device_start: float = 0.0
    device_seconds: float | None = None
    device: int = -1


class Recorder(observers.Observer):
    """Collects events while subscribed.

    `with_stack` keeps the user's frames of each operation; `module_of()` is asked where it runs.
    """

    def __init__(
        self, with_stack: bool = False, module_of: Callable[[], Any] | None = None
    ) -> None:
        self.events: list[Event] = []
        self.with_stack = with_stack
        self.module_of = module_of
        self._clock: DeviceClock | None = None  # made when something runs on a GPU
        # By thread, and whether it is a step: CUDA's event before what runs now.
        self._begun: dict[tuple[int, bool], Any] = {}
        self._ledger = _Ledger()
        self._stacks = _Stacks()
        self._self = weakref.ref(self)  # for nodes, which may outlive it

    @property
    def peak(self) -> int:
        """The most bytes that results and gradients of the recording held at one time."""
        return self._ledger.peak

    def close(self) -> None:
        """Let go of what still lives, and read the times of GPUs; call it when the recording has
        ended."""
        self._ledger.close()
        if self._clock is not None:
            self._clock.close()

    def _begin(self, place: device, is_step: bool = False) -> None:
        """Something is about to run on a GPU; operations may run inside of an optimizer's step."""
        if self._clock is None:
            from .device_clock import DeviceClock  # which asks CuPy

            self._clock = DeviceClock()
        self._begun[threading.get_ident(), is_step] = self._clock.mark(place.index or 0)

    def _add(self, event: Event, place: device | None) -> None:
        """Keep an event; one on a GPU ends there behind what was launched."""
        self.events.append(event)
        before = self._begun.pop((event.thread, event.kind == STEP), None)
        if before is not None and place is not None and self._clock is not None:
            self._clock.spend(event, before, place.index or 0)

    def operation_started(self, name: str, device: device) -> None:
        """What follows on a GPU is timed there."""
        if device.type == "cuda":
            self._begin(device)

    def operation_done(
        self, name: str, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...], seconds: float
    ) -> None:
        """A forward operation."""
        start = perf_counter() - seconds
        shapes, moved, made = [], 0, 0
        for value in inputs:
            if isinstance(value, Tensor):
                shapes.append(value._array.shape)
                moved += value._array.nbytes
            elif value.__class__ is list:
                for x in value:
                    if isinstance(x, Tensor):
                        shapes.append(x._array.shape)
                        moved += x._array.nbytes
        for out in outputs:
            if out._base is None:  # a view makes and moves nothing
                nbytes = out._array.nbytes
                made += nbytes
                self._ledger.add(out._array, nbytes)
        shapes.append(outputs[0]._array.shape)
        self._add(
            Event(
                name,
                FORWARD,
                start,
                seconds,
                threading.get_ident(),
                tuple(shapes),
                moved + made if made else 0,
                made,
                self._stacks.now() if self.with_stack else (),
                self.module_of() if self.module_of is not None else None,
            ),
            outputs[0]._key.device,
        )

    def node_recorded(self, node: Any) -> None:
        """Know which event a backward node belongs to."""
        node.metadata["event"] = self._self, len(self.events) - 1

    def backward_entered(self, node: Any, gradients: tuple[Any, ...]) -> None:
        """A backward node on a GPU is timed there."""
        key = getattr(node, "key", None)
        if key is not None and key.device.type == "cuda":
            self._begin(key.device)

    def graph_replayed(self, device: device, seconds: float) -> None:
        """The replay of a CUDA graph, all of its kernels as one operation."""
        stack = self._stacks.now() if self.with_stack else ()
        start = perf_counter() - seconds
        event = Event("CUDAGraph.replay", FORWARD, start, seconds, threading.get_ident())
        event.stack = stack
        event.module = self.module_of() if self.module_of is not None else None
        self._add(event, device)

    def backward_left(self, node: Any, gradients: tuple[Any, ...], seconds: float) -> None:
        """A backward node has run."""
        start, made = perf_counter() - seconds, 0
        for g in gradients:
            nbytes = getattr(g, "nbytes", None)
            if nbytes is not None:
                made += nbytes
                self._ledger.add(g._array if isinstance(g, Tensor) else g, nbytes)
        recorder, origin = node.metadata.get("event", (None, -1))
        event = Event(node.name(), BACKWARD, start, seconds, threading.get_ident())
        event.made, event.moved = made, 2 * made
        if recorder is self._self:
            before = self.events[origin]
            event.origin, event.stack, event.module = origin, before.stack, before.module
            event.shapes = before.shapes
        key = getattr(node, "key", None)
        self._add(event, None if key is None else key.device)

    def step_started(self, optimizer: Any) -> None:
        """An optimizer's step on a GPU is timed there."""
        place = _place_of(optimizer)
        if place is not None and place.type == "cuda":
            self._begin(place, True)

    def step_done(self, optimizer: Any, seconds: float) -> None:
        """An optimizer has stepped."""
        name = f"Optimizer.step#{type(optimizer).__name__}.step"
        stack = self._stacks.now() if self.with_stack else ()
        start = perf_counter() - seconds
        event = Event(name, STEP, start, seconds, threading.get_ident(), stack=stack)
        has_closure = bool(optimizer._closure_seconds)  # whose operations are not the step's
        self._add(event, None if has_closure else _place_of(optimizer))

    def add_range(self, name: str, start: float, seconds: float) -> None:
        """A range that the user named."""
        self.events.append(Event(name, RANGE, start, seconds, threading.get_ident()))


class _Held(weakref.ref[Any]):
    """An array that lives, its bytes, and the number by which it is found again."""

    __slots__ = ("key", "nbytes")
    key: int
    nbytes: int


def _place_of(optimizer: Any) -> device | None:
    """Where an optimizer's first parameter is."""
    found = (p for group in optimizer.param_groups for p in group["params"][:1])
    return next((p.device for p in found), None)


class _Ledger:
    """Counts the bytes of arrays while they live. It refers to them weakly, and nothing of theirs
    refers to the recorder."""

    def __init__(self) -> None:
        self.live = self.peak = 0
        self._held: dict[int, _Held] = {}  # by the id of the array

    def add(self, array: Any, nbytes: int) -> None:
        """Count an array, once, until it is gone."""
        key = id(array)
        if key in self._held or not array.__class__.__weakrefoffset__:
            return
        self._held[key] = held = _Held(array, self._gone)
        held.key, held.nbytes = key, nbytes
        self.live += nbytes
        if self.live > self.peak:
            self.peak = self.live

    def _gone(self, held: _Held) -> None:
        if self._held.pop(held.key, None) is not None:
            self.live -= held.nbytes

    def close(self) -> None:
        """Forget the arrays that still live."""
        self._held.clear()
        self.live = 0


class _Stacks:
    """Reads the frames that run and are neither the runtime's nor of what runs a cell."""

    USERS, OURS, HOSTS = range(3)

    def __init__(self) -> None:
        # By the id of a module's names, which are kept so that no others get the id.
        self._kinds: dict[int, tuple[int, dict[str, Any]]] = {}

    def now(self) -> tuple[Place, ...]:
        """The user's places, the innermost first."""
        found = []
        frame: Any = sys._getframe(2)
        kinds = self._kinds
        while frame is not None:
            names = frame.f_globals
            known = kinds.get(id(names))
            kind = self._kind(names) if known is None else known[0]
            if kind == self.USERS:
                found.append((frame.f_code, frame.f_lasti))
            elif kind == self.HOSTS:
                break
            frame = frame.f_back
        return tuple(found)

    def _kind(self, names: dict[str, Any]) -> int:
        name = names.get("__name__", "")
        kind = self.OURS if name[:9] == "flambeau." else self.USERS
        kind = self.HOSTS if name.startswith(HOST) else kind
        self._kinds[id(names)] = kind, names
        return kind
