"""The nodes that computed graphs leave on the tape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..autograd.engine import grad
from ..autograd.grad_mode import enable_grad
from ..autograd.node import Node, OutputEdge, tick
from ..core import deferral
from ..core.dispatch import operations
from ..core.tensor import Tensor, wrap
from .graph import Graph

if TYPE_CHECKING:
    from .gradients import Stage
    from .region import Pending


class Label:
    """How a graph is called where others ask the operation of a node."""

    takes_list = False

    def __init__(self, graph: Graph) -> None:
        names = list(dict.fromkeys(s.operation.label for s in graph.steps))
        self.label = f"compiled({', '.join(names[:6])}{', ...' if len(names) > 6 else ''})"
        self.array_names = [f"input {k}" for k in range(len(graph.inputs))]


class CompiledNode(Node):
    """The node of the outputs of one stage of a graph: from their gradients to those of the graph's
    inputs and of the outputs of earlier stages.

    `saved` holds all these first, then what the gradients read besides.
    """

    operation: Any
    saves_arrays = True
    _stage: Stage

    @classmethod
    def of(cls, pending: Pending, stage: Stage, arrays: dict[int, Any], alive: Any) -> CompiledNode:
        """The node of a stage of `pending`, which has been computed: `arrays` by number of the
        value, `alive` the tensors of its outputs, those of earlier stages with their edges."""
        node = cls()
        node.operation = Label(pending.graph)
        node._stage = stage
        node.edges = (*pending.edges, *[alive[n]._edge for n in stage.cut])
        node.key = pending.tensors[0]._key
        numbers = [v.number for v in pending.graph.inputs]
        held = [*numbers, *stage.cut, *stage.saved]
        known = {**arrays, **dict(zip(numbers, pending.arrays, strict=True))}
        node.saved = tuple([known[n] for n in held])
        versions: list[Any] = []
        tensors = {**dict(zip(numbers, pending.tensors, strict=True)), **alive}
        for n in held:
            tensor = tensors.get(n) if n in stage.reads else None
            versions += ([0], 0) if tensor is None else (tensor._writes, tensor._writes[0])
        node.versions = tuple(versions)
        node.sequence = tick()
        node.outputs = len(stage.wanted)
        shapes = tuple([pending.graph.values[n].shape for n in stage.wanted])
        if node.outputs > 1:
            node.output_shapes = shapes
        else:
            node.result_shape = shapes[0]
        return node

    def name(self) -> str:
        """`CompiledBackward0`."""
        return "CompiledBackward0"

    def attach(self, tensors: list[Tensor]) -> None:
        """Let the outputs' gradients come here."""
        for k, tensor in enumerate(tensors):
            tensor._edge = self if self.outputs == 1 else OutputEdge(self, k)

    def apply(self, g: Any) -> Any:
        """Bare gradients, one per edge."""
        self.check()
        gs = [g] if self.outputs == 1 else list(g)
        return self._stage.gradients(gs, list(self.saved))

    def apply_recorded(self, g: Any) -> Any:
        """The same by operations that the tape records: the graph runs again on it."""
        self.check()
        before = deferral.enter(None)  # else it would lead here again
        try:
            return self._replayed(list(g) if self.outputs > 1 else [g])
        finally:
            deferral.enter(before)

    def _replayed(self, gs: list[Any]) -> list[Any]:
        # Seen once more, so that the gradients by them do not count what earlier ones lead to.
        again = operations["view_as_shape"].function
        with enable_grad():
            given = [
                again(wrap(a, self.key.of_array(a), edge), shape=a.shape)
                for a, edge in zip(self.saved, self.edges, strict=False)
            ]
            outputs = self._stage.replay(given)
        wanted = [x for x in given if x._edge is not None]
        found = iter(grad(outputs, wanted, gs, create_graph=True, allow_unused=True))
        return [None if x._edge is None else next(found) for x in given]
