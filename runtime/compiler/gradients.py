"""The gradients of graphs, which are graphs too.

What a graph computed is on the tape as one node for all its outputs, unless some follow from
others: then gradients may be asked for in between, and each stage of outputs is a node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.dispatch import operations
from .executables import Executable
from .graph import Graph, Step, Tracer, Value
from .saving import chosen, reached

if TYPE_CHECKING:
    from ..core.devices import device


def joint(
    graph: Graph, wanted: tuple[int, ...], cut: tuple[int, ...], requiring: set[int]
) -> tuple[Graph, list[Value], dict[int, Value]]:
    """`graph` and behind it the steps of its gradients, for gradients of the values `wanted`, as
    far as the values `cut` and the inputs.

    Also: the values of those incoming gradients, and by number of an input or cut value its
    gradient. Every rule is read on a tracer: `F` makes steps.
    """
    whole = Graph()
    whole.values, whole.inputs = list(graph.values), list(graph.inputs)
    whole.constants, whole.steps = dict(graph.constants), list(graph.steps)
    F = Tracer(whole)
    incoming = [whole.input(whole.values[n]) for n in wanted]
    total: dict[int, Value] = dict(zip(wanted, incoming, strict=True))
    ends = set(cut)
    for step in reversed(graph.steps):
        gs = tuple([None if v.number in ends else total.get(v.number) for v in step.outputs])
        if step.is_recorded and any(g is not None for g in gs):
            for x, g in _contributions(F, step, gs, requiring):
                before = total.get(x.number)
                total[x.number] = g if before is None else F.plus(before, g)
    found = [*[v.number for v in graph.inputs], *cut]
    return whole, incoming, {n: total[n] for n in found if n in total}


def _contributions(F: Tracer, step: Step, gs: tuple[Any, ...], requiring: set[int]) -> Any:
    """Pairs of an input of `step` and what it gets, from the gradients of its outputs."""
    operation = step.operation
    roles = operation.arrays
    needs = tuple(
        [
            x is not None and x.number in requiring and p.role == "main"
            for x, p in zip(step.inputs, roles, strict=True)
        ]
    )
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


def stages_of(graph: Graph, wanted: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The values `wanted` by how many others of them lead to each, one upon the other."""
    ahead: dict[int, int] = {}  # by number: the stage that what follows from the value is in
    stage: dict[int, int] = {}
    for step in graph.steps:
        first = max([ahead.get(v.number, 0) for v in step.read()], default=0)
        for v in step.outputs:
            ahead[v.number] = first if step.is_recorded else 0
            if v.number in wanted:
                stage[v.number] = first
                ahead[v.number] = first + 1
    count = max(stage.values(), default=-1) + 1
    return [tuple([n for n in wanted if stage.get(n) == k]) for k in range(count)]


class Label:
    """How a graph is called where others ask the operation of a node."""

    takes_list = False

    def __init__(self, graph: Graph) -> None:
        names = list(dict.fromkeys(s.operation.label for s in graph.steps))
        self.label = f"compiled({', '.join(names[:6])}{', ...' if len(names) > 6 else ''})"
        self.array_names = [f"input {k}" for k in range(len(graph.inputs))]


class Stage:
    """The gradients of the outputs `wanted` by the inputs and by the outputs of earlier stages,
    `cut`."""

    def __init__(
        self,
        graph: Graph,
        wanted: tuple[int, ...],
        cut: tuple[int, ...],
        outputs: set[int],
        requiring: set[int],
        place: device,
    ) -> None:
        self.graph, self.wanted, self.cut, self.place = graph, wanted, cut, place
        self.requiring = requiring
        self.label = Label(graph)
        whole, incoming, found = joint(graph, wanted, cut, requiring)
        own = whole.steps[len(graph.steps) :]
        made = {v.number for s in own for v in s.outputs} | {v.number for v in incoming}
        needed = {v.number for s in own for v in s.read()} | {v.number for v in found.values()}
        needed -= made | set(whole.constants)
        self.saved, self.recomputed = chosen(graph, needed, outputs, cut)
        self.reads = reached(graph, needed, {*self.given, *self.saved})
        self.led_by = reached(graph, needed, set(self.given))
        self._backwards: dict[tuple[int, ...], Backward] = {}

    @property
    def given(self) -> list[int]:
        """The numbers of the values that gradients are of."""
        return [*[v.number for v in self.graph.inputs], *self.cut]

    @property
    def held(self) -> list[int]:
        """The numbers of the values that a node keeps: those given, and the saved ones."""
        return [*self.given, *self.saved]

    def backward(self, wanted: tuple[int, ...] | None = None) -> Backward:
        """The gradients of those of the outputs `wanted` (all), made when they are first asked
        for."""
        wanted = self.wanted if wanted is None else wanted
        found = self._backwards.get(wanted)
        if found is None:  # of two threads that come at once each makes its own
            found = self._backwards[wanted] = Backward(self, wanted)
        return found

    def replay(self, tensors: list[Any], wanted: tuple[int, ...]) -> list[Any]:
        """The outputs `wanted` by operations that the tape records, from the given values."""
        known: dict[int, Any] = dict(zip(self.given, tensors, strict=True))
        for step in self.graph.steps:
            inputs = [None if x is None else known[x.number] for x in step.inputs]
            function = operations[step.operation.name].function
            named = dict(zip(step.operation.array_names, inputs, strict=True))
            out = function(**named, **step.attributes)
            outs = out if isinstance(out, tuple) else (out,)
            for value, tensor in zip(step.outputs, outs, strict=True):
                known.setdefault(value.number, tensor if step.is_recorded else tensor.detach())
        return [known[n] for n in wanted]


class Backward:
    """The gradients of some outputs of a stage, `wanted`; the values that only others follow from
    get none."""

    def __init__(self, stage: Stage, wanted: tuple[int, ...]) -> None:
        whole, incoming, self.found = joint(stage.graph, wanted, stage.cut, stage.requiring)
        self.given = stage.given
        sources = [*self.given, *stage.saved, *[v.number for v in incoming]]
        targets = [v.number for v in self.found.values()]
        self.executable = Executable(whole, whole.steps, sources, targets, stage.place)
        self.reads = {*targets, *[n for reads in self.executable.reads for n in reads]}

    def __call__(self, gs: list[Any], saved: list[Any]) -> tuple[list[Any], tuple[Any, ...]]:
        """Gradients of the given values, None where there is none; and which are new memory."""
        executable = self.executable
        found = dict(zip(self.found, executable([*saved, *gs]), strict=True))
        fresh = dict(zip(self.found, executable.fresh, strict=True))
        return [found.get(n) for n in self.given], tuple([fresh.get(n, False) for n in self.given])
