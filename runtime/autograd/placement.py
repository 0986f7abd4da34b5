"""Where a backward pass runs: each node on the GPU and the stream that its operation ran on.

Only with several GPUs, or where streams are switched, is there a choice; else `engine.Pass` alone
does the work. A stream that reads what another made waits for that, not for all the other does.
"""

from __future__ import annotations

import bisect
import threading
from typing import Any

from ..core.dispatch import backends
from ..core.tensor import Tensor
from .engine import Pass
from .node import AccumulateGrad, Node, OutputEdge, tick

MOST_SWITCHES = 4_096
"""Changes of a GPU's stream that are remembered: enough for the graphs of a few thousand steps."""


class _Switches(threading.local):
    """By GPU: when a thread's stream changed, in ticks of nodes, and to which."""

    def __init__(self) -> None:
        self.of: dict[int, tuple[list[int], list[Any]]] = {}


_switches = _Switches()


def note_switch(device: int, before: Any, stream: Any) -> None:
    """From now on the work of this thread on a GPU goes to `stream`, CuPy's; so far to `before`."""
    backends["cuda"].has_choice = True  # type: ignore[attr-defined]
    ticks, streams = _switches.of.setdefault(device, ([0], [before]))
    ticks.append(tick())
    streams.append(stream)
    if len(ticks) > MOST_SWITCHES:
        del ticks[: MOST_SWITCHES // 2], streams[: MOST_SWITCHES // 2]


def _last_switch() -> int:
    return max([ticks[-1] for ticks, _ in _switches.of.values()], default=0)


def _stream_at(sequence: int, device: int) -> Any:
    """The stream that work on a GPU went to at a tick; None if that is not remembered."""
    ticks, streams = _switches.of.get(device, ((), ()))
    k = bisect.bisect(ticks, sequence) - 1
    return streams[k] if k >= 0 else None


class _Stretch:
    """Work that a stream of a GPU is given without a break, the event behind it, and the other
    stretches that it has waited for."""

    __slots__ = ("device", "done", "known", "stream")

    def __init__(self, device: int, stream: Any) -> None:
        self.device, self.stream, self.done = device, stream, None
        self.known: set[_Stretch] = set()


class PlacedPass(Pass):
    """A backward pass that goes from GPU to GPU and from stream to stream."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.backend: Any = backends["cuda"]
        self.cuda = self.backend.xp.cuda
        self.first_device = int(self.cuda.runtime.getDevice())
        self.last_switch = _last_switch()
        self.callers: dict[int, _Stretch] = {}  # by GPU, on the stream that was current before
        self.here: _Stretch | None = None
        self.first: _Stretch | None = None
        self.only_device = -1  # the GPU of all work so far, if that is on the caller's stream
        self.last: dict[tuple[int, int], _Stretch] = {}  # by GPU and stream
        self.makers: dict[Any, set[_Stretch]] = {}  # of the gradients that wait for an edge

    def run(self) -> None:
        """Process edges until none is left; then the caller's streams wait for all of it."""
        try:
            super().run()
        finally:
            self._return()

    # -- from place to place -----------------------------------------------------------------------

    def _caller(self, device: int) -> _Stretch:
        """The caller's own stream on a GPU, which the pass begins with."""
        found = self.callers.get(device)
        if found is None:
            found = _Stretch(device, self.cuda.get_current_stream(device))
            self.callers[device] = self.last[device, found.stream.ptr] = found
        return found

    def _stand(self, device: int, sequence: int) -> None:
        """Make a GPU current, and on it the stream of that time."""
        caller, stream = self._caller(device), None
        if sequence <= self.last_switch and not self.backend.is_recording:
            stream = _stream_at(sequence, device)
        stream = caller.stream if stream is None else stream
        here = self.here
        if here is not None and here.device == device and here.stream.ptr == stream.ptr:
            return
        if here is not None:
            self._leave(here)
        self.cuda.Device(device).use()
        stream.use()
        self.here = self.last[device, stream.ptr] = _Stretch(device, stream)
        if self.first is None:
            self.first = self.here
            self.only_device = device if stream.ptr == caller.stream.ptr else -1
        else:
            self.only_device = -1

    def _leave(self, stretch: _Stretch) -> None:
        """Record the event behind a stretch."""
        if stretch.done is None:
            with self.cuda.Device(stretch.device):
                event = self.cuda.Event(disable_timing=True)
                stretch.done = stretch.stream.record(event)

    def _wait(self, makers: set[_Stretch], g: Any) -> None:
        """Let the stream here wait until `makers` have made `g`, whose memory waits for it."""
        here = self.here
        assert here is not None
        for maker in makers:
            if maker.device == here.device and maker.stream.ptr != here.stream.ptr:
                if maker not in here.known:
                    self._leave(maker)
                    here.stream.wait_event(maker.done)
                    here.known.add(maker)
                for array in g if g.__class__ in (list, tuple) else [g]:
                    array = getattr(array, "_array", array)
                    if isinstance(array, self.backend.array_class):
                        self.backend.allocator.record_stream(array, here.stream)

    def _return(self) -> None:
        """Give the caller's streams back, behind the work of all others."""
        if self.here is not None:
            self._leave(self.here)
        for stretch in self.last.values():
            caller = self.callers[stretch.device].stream
            if stretch.stream.ptr != caller.ptr and stretch.done is not None:
                caller.wait_event(stretch.done)
        for device, stretch in self.callers.items():
            with self.cuda.Device(device):
                stretch.stream.use()
        self.cuda.Device(self.first_device).use()

    # -- the steps of a pass -----------------------------------------------------------------------

    def _enter(self, edge: Any, g: Any) -> None:
        """Stand where a node ran, and let its gradient be there."""
        device = _device(edge)
        if device is None:
            return
        makers = self._makers_of(edge)
        self._stand(device, edge.sequence)
        self._wait(makers, g)

    def _makers_of(self, edge: Any) -> set[_Stretch]:
        """What made the gradient of an edge: where nothing was noted, the work before, or that of
        the time when there was only one place."""
        found = self.makers.pop(edge, None)
        return found or {s for s in (self.first, self.here) if s is not None}

    def send(self, edge: Any, g: Any, fresh: bool) -> None:
        device = _device(edge)
        if device is not None and device != self.only_device:
            if self.here is None:  # the gradients that a pass begins with
                maker = self._caller(device)
            else:
                if self.here.device != device:
                    self._stand(device, edge.sequence)
                maker = self.here
            waiting = self.pending.get(edge)
            makers = self.makers.setdefault(edge, set())
            if waiting is not None and self.here is not None:
                self._wait(makers, waiting[0])
            makers.add(maker)
        super().send(edge, g, fresh)

    def _collect(self, edge: OutputEdge, g: Any) -> None:
        self.makers.setdefault(edge.node, set()).update(self._makers_of(edge))
        super()._collect(edge, g)

    def _run_node(self, node: Node, g: Any) -> tuple[Any, Any]:
        is_here = node.key.device.index == self.only_device and node.sequence > self.last_switch
        if not is_here:
            self._enter(node, g)
        return super()._run_node(node, g)

    def _run_prehooks(self, edge: Any, g: Any, fresh: bool) -> tuple[Any, bool]:
        self._enter(edge, g)
        return super()._run_prehooks(edge, g, fresh)

    def accumulate(self, edge: AccumulateGrad, g: Any, fresh: bool, create_graph: bool) -> None:
        device = _device(edge)
        if device is not None and device != self.only_device:
            if self.here is None or self.here.device != device:
                self._stand(device, edge.sequence)
            self._wait(self._makers_of(edge), g)
            assert self.here is not None
            self.makers[edge] = {self.here}  # another part may come, to be added
        super().accumulate(edge, g, fresh, create_graph)


def _device(edge: Any) -> int | None:
    """The GPU that an edge belongs to: that of its leaf or operation, for a copy to the CPU that
    of its source. None for none."""
    if edge.__class__ is AccumulateGrad:
        leaf: Tensor | None = edge.variable
        key = None if leaf is None else leaf._key
    else:
        node = edge.as_target()
        key = node.key
        if key.device.type != "cuda":
            key = getattr(node, "source", key)
    return key.device.index if key is not None and key.device.type == "cuda" else None
