"""Programs: what is made of a graph once, and run whenever the same graph comes again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .executables import Executable
from .gradients import Stage, stages_of

if TYPE_CHECKING:
    from .graph import Graph
    from .region import Pending


class Program:
    """One graph with its `outputs`: how they are computed, and their gradients, by `stages`."""

    def __init__(self, pending: Pending, graph: Graph, outputs: tuple[int, ...]) -> None:
        self.graph, self.outputs = graph, outputs
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
