"""Programs: what is made of a graph once, and run whenever the same graph comes again."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from ..core.dispatch import DispatchKey, key_of
from ..core.locks import module_lock
from .executables import Executable
from .gradients import Stage, stages_of

if TYPE_CHECKING:
    from ..core.dtypes import dtype
    from .region import Pending

MOST_PROGRAMS = 512
"""Programs that are kept; then the one that was not used for longest goes."""

_programs: OrderedDict[Any, Program] = OrderedDict()
_lock = module_lock()


def find(pending: Pending, outputs: tuple[int, ...]) -> Program:
    """The program that computes `outputs` of a graph."""
    identity = pending.tensors[0]._key.device, tuple(pending.signature), outputs
    with _lock:
        program = _programs.get(identity)
        if program is not None:
            _programs.move_to_end(identity)
            return program
    program = Program(pending, outputs)  # of two threads that come at once each makes its own
    with _lock:
        _programs[identity] = program
        if len(_programs) > MOST_PROGRAMS:
            _programs.popitem(last=False)
    return program


def forget() -> None:
    """Forget all programs."""
    with _lock:
        _programs.clear()


def key_for(like: DispatchKey, dtype: dtype) -> DispatchKey:
    """The key of `dtype` on the device of `like`."""
    return key_of(like.device, dtype)


class Program:
    """One graph with its `outputs`: how they are computed, and their gradients, by `stages`."""

    def __init__(self, pending: Pending, outputs: tuple[int, ...]) -> None:
        graph = self.graph = pending.graph
        self.outputs = outputs
        place = pending.tensors[0]._key.device
        requiring = pending.requiring
        wanted = tuple(
            [n for n in outputs if n in requiring and graph.values[n].dtype.is_floating_point]
        )
        self.stages: list[Stage] = []
        cut: tuple[int, ...] = ()
        for own in stages_of(graph, wanted):
            self.stages.append(Stage(graph, own, cut, set(outputs), requiring, place))
            cut += own
        saved = dict.fromkeys([n for stage in self.stages for n in stage.saved])
        self.targets = list(dict.fromkeys([*outputs, *saved]))
        inputs = [v.number for v in graph.inputs]
        self.forward = Executable(graph, graph.steps, inputs, self.targets, place)

    def run(self, arrays: list[Any]) -> dict[int, Any]:
        """By number of the value: the outputs, and what their gradients read besides the inputs."""
        return dict(zip(self.targets, self.forward(arrays, notifies=True), strict=True))
