"""The gradients of a computed graph: one node, whose rule is a graph as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..autograd.engine import grad
from ..autograd.grad_mode import enable_grad
from ..autograd.node import Node, OutputEdge, tick
from ..core.dispatch import operations
from ..core.tensor import wrap
from .graph import Graph, Step, Tracer, Value

if TYPE_CHECKING:
    from .programs import Program
    from .region import Pending


def joint(graph: Graph, wanted: tuple[int, ...], requiring: set[int]) -> tuple[Graph, Any]:
    """`graph` and behind it the steps of its gradients, for gradients of the values `wanted`.

    Also: the values of those incoming gradients, and by number of an input its gradient.
    Every rule is read on a tracer: `F` makes steps.
    """
    whole = Graph()
    whole.values, whole.inputs = list(graph.values), list(graph.inputs)
    whole.constants, whole.steps = dict(graph.constants), list(graph.steps)
    F = Tracer(whole)
    incoming = [whole.input(whole.values[n]) for n in wanted]
    total: dict[int, Value] = dict(zip(wanted, incoming, strict=True))
    for step in reversed(graph.steps):
        if step.is_recorded and any(v.number in total for v in step.outputs):
            for x, g in _contributions(F, step, total, requiring):
                before = total.get(x.number)
                total[x.number] = g if before is None else F.plus(before, g)
    inputs = {v.number: total[v.number] for v in graph.inputs if v.number in total}
    return whole, (incoming, inputs)


def _contributions(F: Tracer, step: Step, total: Any, requiring: set[int]) -> Any:
    """Pairs of an input of `step` and what it gets."""
    operation = step.operation
    roles = operation.arrays
    needs = tuple(
        [
            x is not None and x.number in requiring and p.role == "main"
            for x, p in zip(step.inputs, roles, strict=True)
        ]
    )
    gs = tuple([total.get(v.number) for v in step.outputs])
    several = operation.outputs != 1
    if operation.outputs == 0:  # rules for any number of outputs want a gradient of each
        like = next(g for g in gs if g is not None)
        pairs = zip(gs, step.outputs, strict=True)
        gs = tuple([F.zeros_of(like, shape=v.shape) if g is None else g for g, v in pairs])
    extra: dict[str, Any] = {}
    if operation.saves_out:
        extra["out"] = step.outputs if several else step.outputs[0]
    g: Any = gs if several else gs[0]
    grads = operation.vjp_rule(F, g, needs, *step.inputs, **extra, **step.attributes)
    grads = grads if isinstance(grads, tuple | list) else (grads,)
    return [
        (x, grad)
        for x, need, grad in zip(step.inputs, needs, grads, strict=True)
        if need and grad is not None
    ]


class CompiledNode(Node):
    """The node of all that a graph computed: from gradients of its outputs to those of its inputs.

    `saved` holds the graph's inputs first, then what its gradients read besides.
    """

    operation: Any
    saves_arrays = True
    _program: Program
    _pending: Pending

    @classmethod
    def of(
        cls, pending: Pending, program: Program, saved: list[Any], alive: dict[int, Any]
    ) -> CompiledNode:
        """The node of a program that has just run, for its outputs, `alive` by number."""
        node = cls()
        node.operation = program.label
        node._program = program
        node.edges = tuple(pending.edges)
        node.key = pending.tensors[0]._key
        arrays = [t._array for t in pending.tensors]
        node.saved = (*arrays, *saved)
        inputs = [t if k in program.reads else None for k, t in enumerate(pending.tensors)]
        written = [*inputs, *[alive.get(n) for n in program.saved]]
        node.versions = tuple(
            cell for t in written for cell in (([0], 0) if t is None else (t._writes, t._writes[0]))
        )
        node.sequence = tick()
        node.outputs = len(program.wanted)
        if node.outputs > 1:
            values = pending.graph.values
            node.output_shapes = tuple([values[n].shape for n in program.wanted])
        return node

    def name(self) -> str:
        """`CompiledBackward0`."""
        return "CompiledBackward0"

    def apply(self, g: Any) -> Any:
        """Bare gradients, one per input of the graph."""
        self.check()
        gs = [g] if self.outputs == 1 else list(g)
        return self._program.gradients(gs, list(self.saved))

    def apply_recorded(self, g: Any) -> Any:
        """The same by operations that the tape records: the graph runs again on it."""
        self.check()
        program = self._program
        # Seen once more, so that the gradients by them do not count what earlier ones lead to.
        again = operations["view_as_shape"].function
        with enable_grad():
            inputs = [
                again(wrap(a, self.key.of_array(a), edge), shape=a.shape)
                for a, edge in zip(self.saved, self.edges, strict=False)
            ]
            outputs = program.replay(inputs)
        wanted = [x for x in inputs if x._edge is not None]
        gs = list(g) if self.outputs > 1 else [g]
        found = iter(grad(outputs, wanted, gs, create_graph=True, allow_unused=True))
        return [None if x._edge is None else next(found) for x in inputs]


def edges_of_outputs(node: CompiledNode, count: int) -> list[Any]:
    """The edges of a node's outputs."""
    return [node] if count == 1 else [OutputEdge(node, k) for k in range(count)]
