"""The nodes that computed graphs leave on the tape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..autograd.engine import grad
from ..autograd.grad_mode import enable_grad
from ..autograd.node import Node, OutputEdge, tick
from ..core import deferral
from ..core.dispatch import operations
from ..core.tensor import Tensor, wrap

if TYPE_CHECKING:
    from .gradients import Stage
    from .region import Pending


class CompiledNode(Node):
    """The node of the outputs of one stage of a graph: from their gradients to those of the graph's
    inputs and of the outputs of earlier stages.

    `saved` holds all these first, then what the gradients read besides.
    """

    operation: Any
    saves_arrays = True
    passed: frozenset[int] | set[int] = frozenset()
    """Numbers of the outputs from which a pass has gone that freed what it read."""
    _stage: Stage

    @classmethod
    def of(cls, pending: Pending, stage: Stage, arrays: dict[int, Any], alive: Any) -> CompiledNode:
        """The node of a stage of `pending`, which has been computed: `arrays` by number of the
        value, `alive` the tensors of its outputs, those of earlier stages with their edges."""
        node = cls()
        node.operation = stage.label
        node._stage = stage
        node.edges = (*pending.edges, *[alive[n]._edge for n in stage.cut])
        node.key = pending.tensors[0]._key
        numbers = [v.number for v in stage.graph.inputs]
        known = {**arrays, **dict(zip(numbers, pending.arrays, strict=True))}
        node.saved = tuple([known[n] for n in stage.held])
        versions: list[Any] = []
        tensors = {**dict(zip(numbers, pending.tensors, strict=True)), **alive}
        for n in stage.held:
            tensor = tensors.get(n)
            versions += ([0], 0) if tensor is None else (tensor._writes, tensor._writes[0])
        node.versions = tuple(versions)
        node.sequence = tick()
        node.outputs = len(stage.wanted)
        if node.outputs == 1:
            node.result_shape = stage.graph.values[stage.wanted[0]].shape
        return node

    def name(self) -> str:
        """`CompiledBackward0`."""
        return "CompiledBackward0"

    def attach(self, tensors: list[Tensor]) -> None:
        """Let the outputs' gradients come here."""
        for k, tensor in enumerate(tensors):
            tensor._edge = self if self.outputs == 1 else OutputEdge(self, k)

    def _require(self, wanted: list[int], reads: set[int]) -> None:
        """Raises: GradientError if a pass over the outputs `wanted` was there before, or if the
        values that it `reads` are gone or were changed in place."""
        if self.saved is None or not self.passed.isdisjoint(wanted):
            raise self._freed()
        for k, n in enumerate(self._stage.held):
            if n in reads and self.saved[k] is None:
                raise self._freed()
            if n in reads and self.versions[2 * k][0] != self.versions[2 * k + 1]:
                raise self._changed(k)

    def apply(self, g: Any) -> Any:
        """Bare gradients, one per edge."""
        wanted, gs = self._reached(g)
        backward = self._stage.backward(tuple(wanted))
        self._require(wanted, backward.reads)
        return backward(gs, list(self.saved))

    def _reached(self, g: Any) -> tuple[list[int], list[Any]]:
        """The numbers of the outputs that gradients came to, and these."""
        gs = [g] if self.outputs == 1 else g
        pairs = [(n, x) for n, x in zip(self._stage.wanted, gs, strict=True) if x is not None]
        return [n for n, _ in pairs], [x for _, x in pairs]

    def release(self, gs: list[Any]) -> None:
        """Let go of what led to the outputs with gradients; others may have a pass of their own."""
        stage = self._stage
        wanted, _ = self._reached(gs)
        self.passed = self.passed | set(wanted)
        if len(self.passed) == self.outputs:
            self.saved = None
            return
        gone = (stage.backward(tuple(wanted)).reads & stage.requiring) - set(stage.given)
        held = zip(stage.held, self.saved, strict=True)
        self.saved = tuple([None if n in gone else array for n, array in held])

    def apply_recorded(self, g: Any) -> Any:
        """The same by operations that the tape records: the graph runs again on it."""
        wanted, gs = self._reached(g)
        self._require(wanted, self._stage.led_by)  # all is computed again from these
        before = deferral.enter(None)  # else it would lead here again
        try:
            return self._replayed(tuple(wanted), gs)
        finally:
            deferral.enter(before)

    def _replayed(self, outputs: tuple[int, ...], gs: list[Any]) -> list[Any]:
        # Seen once more, so that the gradients by them do not count what earlier ones lead to.
        again = operations["view_as_shape"].function
        with enable_grad():
            given = [
                again(wrap(a, self.key.of_array(a), edge), shape=a.shape)
                for a, edge in zip(self.saved, self.edges, strict=False)
            ]
            reached = self._stage.replay(given, outputs)
        wanted = [x for x in given if x._edge is not None]
        found = iter(grad(reached, wanted, gs, create_graph=True, allow_unused=True))
        return [None if x._edge is None else next(found) for x in given]
