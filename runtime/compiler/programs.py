"""Programs: what is made of a graph once, and run whenever the same graph comes again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..core.dispatch import DispatchKey, key_of, operations
from .executables import Executable
from .gradients import joint
from .graph import Graph, Step

if TYPE_CHECKING:
    from ..core.dtypes import dtype
    from .region import Pending

MOST_PROGRAMS = 512
"""Programs that are kept; then the one that was not used for longest goes."""

_programs: OrderedDict[Any, Program] = OrderedDict()
_lock = threading.Lock()


def find(pending: Pending, outputs: tuple[int, ...]) -> Program:
    """The program that computes `outputs` of a graph."""
    identity = pending.tensors[0]._key.device, tuple(pending.signature), outputs
    with _lock:
        program = _programs.get(identity)
        if program is None:
            program = _programs[identity] = Program(pending, outputs)
            if len(_programs) > MOST_PROGRAMS:
                _programs.popitem(last=False)
        else:
            _programs.move_to_end(identity)
    return program


def forget() -> None:
    """Forget all programs."""
    with _lock:
        _programs.clear()


def key_for(like: DispatchKey, dtype: dtype) -> DispatchKey:
    """The key of `dtype` on the device of `like`."""
    return key_of(like.device, dtype)


class Label:
    """How a program is called where others ask the operation of a node."""

    takes_list = False

    def __init__(self, graph: Graph) -> None:
        names = list(dict.fromkeys(s.operation.label for s in graph.steps))
        self.label = f"compiled({', '.join(names[:6])}{', ...' if len(names) > 6 else ''})"
        self.array_names = [f"input {k}" for k in range(len(graph.inputs))]


class Program:
    """One graph with its `outputs`: how they are computed, and their gradients."""

    def __init__(self, pending: Pending, outputs: tuple[int, ...]) -> None:
        self.graph = pending.graph
        self.outputs = outputs
        self.device = pending.tensors[0]._key.device
        self.requiring = set(pending.requiring)
        values = self.graph.values
        self.wanted = tuple(
            [n for n in outputs if n in self.requiring and values[n].dtype.is_floating_point]
        )
        self.saved: tuple[int, ...] = ()
        self.reads: set[int] = set()  # which inputs the gradients read
        if self.wanted:
            self._plan_gradients()
        inputs = [v.number for v in self.graph.inputs]
        self.forward = Executable(
            self.graph, self.graph.steps, inputs, [*outputs, *self.saved], self.device
        )
        self.label = Label(self.graph)

    def run(self, arrays: list[Any]) -> tuple[list[Any], list[Any]]:
        """The outputs, and what their gradients read besides the inputs."""
        found = self.forward(arrays, notifies=True)
        return found[: len(self.outputs)], found[len(self.outputs) :]

    # -- gradients -------------------------------------------------------------------------------

    def _plan_gradients(self) -> None:
        whole, (self.incoming, self.by_input) = joint(self.graph, self.wanted, self.requiring)
        self.whole = whole
        first = len(self.graph.steps)
        made = {v.number for s in whole.steps[first:] for v in s.outputs}
        needed = {v.number for s in whole.steps[first:] for v in s.read()}
        needed |= {v.number for v in self.by_input.values()}
        needed -= made | {v.number for v in self.incoming} | set(whole.constants)
        self.saved, self.recomputed, self.reads = _chosen(self.graph, needed, set(self.outputs))

    @cached_property
    def backward(self) -> Executable:
        """From inputs, saved values and incoming gradients to the gradients of the inputs."""
        inputs = [v.number for v in self.graph.inputs]
        sources = [*inputs, *self.saved, *[v.number for v in self.incoming]]
        targets = [v.number for v in self.by_input.values()]
        steps = [*self.recomputed, *self.whole.steps[len(self.graph.steps) :]]
        return Executable(self.whole, steps, sources, targets, self.device)

    def gradients(self, gs: list[Any], saved: list[Any]) -> tuple[list[Any], tuple[Any, ...]]:
        """Gradients of all inputs, None where there is none; and which are new memory."""
        backward = self.backward
        found = dict(zip(self.by_input, backward([*saved, *gs]), strict=True))
        fresh = dict(zip(self.by_input, backward.fresh, strict=True))
        numbers = [v.number for v in self.graph.inputs]
        return [found.get(n) for n in numbers], tuple([fresh.get(n, False) for n in numbers])

    def replay(self, tensors: list[Any]) -> list[Any]:
        """The wanted outputs by operations that the tape records."""
        known: dict[int, Any] = dict(
            zip([v.number for v in self.graph.inputs], tensors, strict=True)
        )
        for step in self.graph.steps:
            inputs = [None if x is None else known[x.number] for x in step.inputs]
            function = operations[step.operation.name].function
            named = dict(zip(step.operation.array_names, inputs, strict=True))
            out = function(**named, **step.attributes)
            outs = out if isinstance(out, tuple) else (out,)
            if not step.is_recorded:
                outs = tuple([x.detach() for x in outs])
            known.update(zip([v.number for v in step.outputs], outs, strict=True))
        return [known[n] for n in self.wanted]


MOVES = frozenset("view_as_shape transpose permute_dims expand_shape reshape_like cast".split())


def _is_cheap(step: Step) -> bool:
    """Whether the results may rather be computed again than kept."""
    return step.operation.formula is not None or step.operation.name in MOVES


def _chosen(
    graph: Graph, needed: set[int], outputs: set[int]
) -> tuple[tuple[int, ...], list[Step], set[int]]:
    """Of the values `needed` by gradients: those to save, the steps that compute the others again
    from these, and which inputs are read.

    A value that follows cheaply is kept only where it is smaller than all it follows from.
    """
    maker = {v.number: s for s in graph.steps for v in s.outputs}
    inputs = {v.number: k for k, v in enumerate(graph.inputs)}
    given = set(inputs)
    saved: dict[int, None] = {}

    def roots(number: int, found: dict[int, None]) -> dict[int, None]:
        waiting = [number]
        while waiting:
            n = waiting.pop()
            if n in given or n in saved or n in found or n in graph.constants:
                continue
            if (n != number and n in outputs) or not _is_cheap(maker[n]):
                found[n] = None
            else:
                waiting += [v.number for v in maker[n].read()]
        return found

    for number in sorted(needed - given):
        found = roots(number, {})
        cost = sum(graph.values[n].nbytes for n in found if n not in outputs)
        if number in outputs or cost > graph.values[number].nbytes:
            saved[number] = None
        else:
            saved.update(found)
    reached: set[int] = set()
    steps: dict[int, Step] = {}
    waiting = list(needed)
    while waiting:
        n = waiting.pop()
        if n in reached:
            continue
        reached.add(n)
        if n in maker and n not in saved:
            steps[id(maker[n])] = maker[n]
            waiting += [v.number for v in maker[n].read()]
    recomputed = [s for s in graph.steps if id(s) in steps]
    return tuple(saved), recomputed, {k for n, k in inputs.items() if n in reached}
