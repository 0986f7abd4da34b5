"""What was computed from what in a block, followed through detach() and no_grad() too."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flambeau import Tensor
from flambeau.autograd.grad_mode import is_grad_enabled
from flambeau.core import observers

from ..source import Line, user_line
from ..statistics import Statistics, values_of


@dataclass(frozen=True)
class Source:
    """Where an input of a step comes from: the number of the step that made it, or a negative
    number for a tensor from outside; and whether it came with its past (not so after detach())."""

    step: int
    needs_grad: bool


@dataclass
class Step:
    """One operation. `arriving` and `leaving` are its gradients in the last backward pass."""

    label: str
    line: Line | None
    inputs: list[Source]
    needs_grad: bool
    grad_enabled: bool
    arriving: Statistics | None = None
    leaving: list[Statistics | None] = field(default_factory=list)


class FlowRecorder(observers.Observer):
    """Records the operations of a block in order, and what each was computed from.

    It keeps numbers and weak references only: what dies in the block dies as without it.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.roots: list[int] = []  # the steps where backward passes began
        self._makers: dict[int, tuple[Any, int]] = {}  # id of a tensor -> itself (weakly), step
        self._arrays: dict[int, tuple[Any, int]] = {}  # the same by array: detach() shares it
        self._nodes: dict[int, int] = {}  # sequence of a backward node -> step
        self._last_sequence = 0
        self._outside = 0  # tensors from outside so far

    def _remember(self, tensor: Tensor, step: int) -> None:
        self._makers[id(tensor)] = weakref.ref(tensor), step
        if type(tensor._array).__weakrefoffset__:
            self._arrays[id(tensor._array)] = weakref.ref(tensor._array), step

    def source(self, tensor: Tensor) -> Source:
        """Where `tensor` comes from."""
        needs = tensor._edge is not None
        for table, key in ((self._makers, tensor), (self._arrays, tensor._array)):
            reference, step = table.get(id(key), (None, 0))
            if reference is not None and reference() is key:
                return Source(step, needs)
        self._outside -= 1
        self._remember(tensor, self._outside)
        return Source(self._outside, needs)

    def operation_done(
        self, name: str, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...], seconds: float
    ) -> None:
        """Record a step."""
        sources = [self.source(x) for x in _tensors(inputs)]
        needs = any(out._edge is not None for out in outputs)
        self.steps.append(Step(name, user_line(), sources, needs, is_grad_enabled()))
        for out in outputs:
            self._remember(out, len(self.steps) - 1)

    def node_recorded(self, node: Any) -> None:
        """Know the step of a backward node."""
        self._nodes[node.sequence] = len(self.steps) - 1

    def backward_entered(self, node: Any, gradients: tuple[Any, ...]) -> None:
        """Note where a pass begins, and what arrives. Nodes only get older within a pass."""
        step = self._nodes.get(node.sequence)
        if step is None:
            return
        if not self._last_sequence or node.sequence >= self._last_sequence:
            self.roots.append(step)
        self._last_sequence = node.sequence
        self.steps[step].arriving = _statistics(gradients[0]) if gradients else None

    def backward_left(self, node: Any, gradients: tuple[Any, ...], seconds: float) -> None:
        """Note what leaves."""
        step = self._nodes.get(node.sequence)
        if step is not None:
            self.steps[step].leaving = [_statistics(g) for g in gradients]

    # -- reading it ------------------------------------------------------------------------------

    def influenced(self, target: int) -> set[int]:
        """The steps whose values depend on the step (or tensor from outside) `target`, recorded or
        not."""
        found = {target}
        for number, step in enumerate(self.steps):
            if any(s.step in found for s in step.inputs):
                found.add(number)
        return found

    def connected(self, target: int) -> set[int]:
        """The steps from which gradients flow to `target`."""
        found = {target}
        for number, step in enumerate(self.steps):
            if step.needs_grad and any(s.step in found and s.needs_grad for s in step.inputs):
                found.add(number)
        return found

    def ancestors(self, step: int) -> set[int]:
        """What `step` depends on, itself included."""
        found: set[int] = set()
        stack = [step]
        while stack:
            number = stack.pop()
            if number not in found:
                found.add(number)
                if number >= 0:
                    stack += [s.step for s in self.steps[number].inputs]
        return found


def _tensors(inputs: Any) -> Iterator[Tensor]:
    for value in inputs:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from (x for x in value if isinstance(x, Tensor))


def _statistics(g: Any) -> Statistics | None:
    values = values_of(g)
    return None if values is None else Statistics.of(values)
