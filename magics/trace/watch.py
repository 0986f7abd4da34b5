"""Watches gradients: what arrives at each backward node, what parameters get, what steps do."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flambeau import Tensor
from flambeau.core import observers

from ..modules import ModuleStack
from ..source import Line, user_line
from ..statistics import Statistics, values_of

KEPT_PASSES = 1000
"""Of the flow over steps; older ones fall out."""

SILENCERS = {"relu", "relu6", "threshold"}
"""Activations whose units die: below zero neither value nor gradient passes."""


@dataclass(frozen=True)
class NodeGradient:
    """The gradient that one backward node received, in the order in which they ran, with the line
    and the module that recorded the node."""

    name: str
    statistics: Statistics
    line: Line | None = None
    module: str = ""


@dataclass(frozen=True)
class Trouble:
    """The first node that made NaN or infinity of a finite gradient."""

    node: NodeGradient
    made: Statistics


@dataclass(frozen=True)
class DeadUnits:
    """Units of one activation (elements along dimension 1) that were 0 for the whole batch."""

    dead: int
    units: int
    line: Line | None
    module: str


@dataclass
class Pass:
    """One backward pass: what arrived at nodes, what leaves got (id -> statistics), the first
    trouble, and, after the optimizer's step, |update| / |weight| by parameter."""

    nodes: list[NodeGradient] = field(default_factory=list)
    leaves: dict[int, Statistics] = field(default_factory=dict)
    updates: dict[int, float] = field(default_factory=dict)
    trouble: Trouble | None = None


class GradientTrace(observers.Observer):
    """Watches backward passes: the last one in full, of the others the norms of leaves.

    `names` (id of a module -> its name) tells where nodes were recorded.
    """

    def __init__(self, modules: Mapping[int, str] | None = None) -> None:
        self.stack = ModuleStack(modules)
        self.passes = 0
        self.last = Pass()
        self.flow: deque[dict[int, float]] = deque(maxlen=KEPT_PASSES)  # id of a leaf -> norm
        self.dead: dict[Line | None, DeadUnits] = {}
        self.lives: dict[int, Any] = {}  # id of a leaf -> weak reference, as ids may come again
        self._sums: dict[int, Any] = {}  # id of a leaf -> its gradient so far in this pass
        self._before: dict[int, Any] = {}  # id of a parameter -> its values before a step
        self._last_sequence = 0

    # -- forward ---------------------------------------------------------------------------------

    def operation_done(
        self, name: str, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...], seconds: float
    ) -> None:
        """Count units that a batch leaves silent."""
        if name not in SILENCERS or outputs[0].ndim < 2 or outputs[0].shape[0] < 8:
            return
        values = values_of(outputs[0])
        if values is not None:
            rest = tuple(k for k in range(values.ndim) if k != 1)
            alive = np.asarray(values != 0).any(axis=rest)
            line = user_line()
            dead = int(alive.size - alive.sum())
            self.dead[line] = DeadUnits(dead, int(alive.size), line, self.stack.current)

    def node_recorded(self, node: Any) -> None:
        """Let the node know its line and module."""
        node.metadata["traced"] = user_line(), self.stack.current

    # -- backward --------------------------------------------------------------------------------

    def backward_entered(self, node: Any, gradients: tuple[Any, ...]) -> None:
        """Note what arrives. Nodes only get older within a pass: a younger one begins another."""
        if not self._last_sequence or node.sequence >= self._last_sequence:
            self.end_pass()
            self.passes += 1
            self.last = Pass()
        self._last_sequence = node.sequence
        line, module = node.metadata.get("traced", (None, ""))
        for g in gradients:
            values = values_of(g)
            if values is not None:
                found = NodeGradient(node.name(), Statistics.of(values), line, module)
                self.last.nodes.append(found)

    def backward_left(self, node: Any, gradients: tuple[Any, ...], seconds: float) -> None:
        """Note what leaves for a leaf; several contributions add up."""
        for edge, g in zip(node.edges, gradients, strict=False):
            values = None if edge is None else values_of(g)
            if values is None:
                continue
            leaf = getattr(edge, "variable", None)
            if leaf is not None:
                before = self._sums.get(id(leaf))
                self._sums[id(leaf)] = values.copy() if before is None else before + values
                self.lives[id(leaf)] = weakref.ref(leaf)
            if self.last.trouble is None:
                self._look_for_trouble(values)

    def _look_for_trouble(self, values: Any) -> None:
        arrived = self.last.nodes[-1] if self.last.nodes else None
        if arrived is None or not arrived.statistics.is_finite or values.dtype.kind not in "fc":
            return
        with np.errstate(all="ignore"):
            if np.isfinite(values.sum()):
                return
        made = Statistics.of(values)
        if not made.is_finite:
            self.last.trouble = Trouble(arrived, made)

    def end_pass(self) -> None:
        """Turn the gradients gathered for leaves into numbers."""
        if self._sums:
            leaves = {key: Statistics.of(g) for key, g in self._sums.items()}
            self.last.leaves = leaves
            self.flow.append({key: s.norm if s.is_finite else np.nan for key, s in leaves.items()})
            self._sums = {}

    # -- steps -----------------------------------------------------------------------------------

    def step_started(self, optimizer: Any) -> None:
        """Keep the parameters as they are."""
        self.end_pass()
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None and not p.is_meta:
                    self._before[id(p)] = values_of(p).copy()

    def step_done(self, optimizer: Any, seconds: float) -> None:
        """Compare them with what they have become."""
        for group in optimizer.param_groups:
            for p in group["params"]:
                before = self._before.pop(id(p), None)
                if before is not None:
                    size = Statistics.of(before).norm
                    change = Statistics.of(values_of(p) - before).norm
                    self.last.updates[id(p)] = change / size if size else np.inf
                    self.lives[id(p)] = weakref.ref(p)
        self._before = {}

    def is_alive(self, key: int) -> bool:
        """Whether the leaf with this id still is the one that was watched."""
        return key in self.lives and self.lives[key]() is not None


@contextmanager
def tracing(modules: Mapping[int, str] | None = None) -> Iterator[GradientTrace]:
    """Watch the backward passes of a `with` block.

    Example:
        >>> with tracing() as trace:
        ...     loss = model(x).sum()
        ...     loss.backward()
        >>> print(trace_report(trace, names))
    """
    found = GradientTrace(modules)
    with found.stack.following(), observers.observing(found):
        try:
            yield found
        finally:
            found.end_pass()
