"""`%%trace`: what the gradients of a cell were, by parameter and by backward node."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from IPython.core.magic import cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from flambeau import Tensor
from flambeau.core import observers
from flambeau.core.sparse_arrays import SparseArray

from .base import Instrument, named_tensors, shape_text, table

LIMIT = 60  # backward nodes listed unless told otherwise


@dataclass(frozen=True)
class Statistics:
    """Of one gradient: Euclidean norm of its finite elements, share of zeros, counts of NaN and
    infinity."""

    shape: tuple[int, ...]
    norm: float
    zeros: float
    nan: int
    infinite: int

    @classmethod
    def of(cls, array: Any) -> Statistics:
        """The statistics of a NumPy array."""
        values = np.asarray(array)
        wide = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64, copy=False)
        finite = np.isfinite(wide)
        nan = int(np.isnan(wide).sum())
        kept = wide if finite.all() else wide[finite]
        zeros = float((wide == 0).mean()) if wide.size else 0.0
        norm = math.sqrt(float((np.abs(kept) ** 2).sum()))
        return cls(values.shape, norm, zeros, nan, int(wide.size - finite.sum()) - nan)

    def words(self) -> tuple[str, str, str]:
        """Norm, zeros and what is wrong, as the cells of a table."""
        bad = [f"{self.nan} NaN"] if self.nan else []
        bad += [f"{self.infinite} Inf"] if self.infinite else []
        if self.zeros == 1.0:
            bad.append("all zero")
        return f"{self.norm:.3g}", f"{self.zeros:.0%}", ", ".join(bad)


@dataclass(frozen=True)
class NodeGradient:
    """The gradient that one backward node received, in the order in which they ran."""

    name: str
    statistics: Statistics


class GradientTrace(observers.Observer):
    """Watches backward passes and keeps the last one: gradients of leaves, gradients at nodes."""

    def __init__(self) -> None:
        self.passes = 0
        self.nodes: list[NodeGradient] = []
        self.leaves: dict[int, tuple[Any, Any]] = {}  # id -> leaf tensor, its gradient so far
        self._last_sequence = 0

    def backward_entered(self, node: Any, gradients: tuple[Any, ...]) -> None:
        """Note what arrives. Nodes only get older within a pass: a younger one begins another."""
        if not self.nodes or node.sequence >= self._last_sequence:
            self.passes += 1
            self.nodes, self.leaves = [], {}
        self._last_sequence = node.sequence
        for g in gradients:
            if g is not None:
                self.nodes.append(NodeGradient(node.name(), Statistics.of(_values(node, g))))

    def backward_left(self, node: Any, gradients: tuple[Any, ...], seconds: float) -> None:
        """Note what leaves for a leaf; several contributions add up."""
        for edge, g in zip(node.edges, gradients, strict=False):
            leaf = getattr(edge, "variable", None)
            if leaf is None or g is None:
                continue
            values = _values(node, g)
            before = self.leaves.get(id(leaf))
            total = values.copy() if before is None else before[1] + values
            self.leaves[id(leaf)] = leaf, total

    def report(self, names: Mapping[int, str], limit: int = LIMIT) -> TraceReport:
        """What was seen, leaves called by `names` (id of a tensor -> its name)."""
        rows = [
            (names.get(key, "(no name)"), Statistics.of(g)) for key, (_, g) in self.leaves.items()
        ]
        order = {name: k for k, name in enumerate(names.values())}
        rows.sort(key=lambda row: order.get(row[0], len(order)))
        return TraceReport(self.passes, rows, list(self.nodes), self._without(names), limit)

    def _without(self, names: Mapping[int, str]) -> list[str]:
        """Names of parameters that got nothing, of modules where others did."""
        owners = {names[key].partition(".")[0] for key in self.leaves if "." in names.get(key, "")}
        return [
            name
            for key, name in names.items()
            if key not in self.leaves and "." in name and name.partition(".")[0] in owners
        ]


@dataclass
class TraceReport:
    """The last backward pass of a cell, and how many there were."""

    passes: int
    parameters: list[tuple[str, Statistics]]
    nodes: list[NodeGradient]
    without: list[str]
    limit: int = LIMIT

    def __str__(self) -> str:
        if not self.passes:
            return "No backward pass. %%trace shows gradients of a cell that calls backward()."
        which = "1 backward pass" if self.passes == 1 else f"last of {self.passes} backward passes"
        rows = [("parameter", "shape", "norm", "zeros", "")]
        rows += [(n, shape_text(s.shape), *s.words()) for n, s in self.parameters]
        lines = [f"Gradients, {which}", *table(rows, "<<>><")]
        lines += [f"no gradient: {', '.join(self.without)}"] if self.without else []
        rows = [("backward node", "shape", "norm", "zeros", "")]
        shown = self.nodes[: self.limit]
        rows += [(n.name, shape_text(n.statistics.shape), *n.statistics.words()) for n in shown]
        lines += ["", *table(rows, "<<>><")]
        if len(self.nodes) > self.limit:
            lines.append(f"... and {len(self.nodes) - self.limit} more; %%trace --nodes N shows N")
        return "\n".join(lines)

    __repr__ = __str__


def _values(node: Any, g: Any) -> Any:
    """A gradient as a NumPy array, from whatever device, sparse ones written out."""
    if isinstance(g, Tensor):
        return g.detach().to_dense().numpy_values()
    if isinstance(g, SparseArray):
        g = g.to_dense()
    return node.key.backend.to_numpy(g) if hasattr(g, "nbytes") else np.asarray(g)


@contextmanager
def tracing() -> Iterator[GradientTrace]:
    """Watch the backward passes of a `with` block."""
    found = GradientTrace()
    with observers.observing(found):
        yield found


def parameters_of(namespace: dict[str, Any]) -> dict[int, str]:
    """Names of the session's tensors that can get a gradient, by id."""
    buffers = {
        id(buffer)
        for value in list(namespace.values())
        if hasattr(value, "named_buffers") and not isinstance(value, type)
        for buffer in value.buffers()
    }
    return {key: name for key, name in named_tensors(namespace).items() if key not in buffers}


@magics_class
class TraceMagics(Instrument):
    """Traces gradients."""

    @magic_arguments()
    @argument("--nodes", type=int, default=LIMIT, help=f"backward nodes to list ({LIMIT})")
    @cell_magic("trace")
    def trace(self, line: str, cell: str) -> None:
        """Run the cell, then show its gradients: for each parameter norm, share of zeros, NaN and
        infinities, and who got none; then what arrived at each backward node, in order.

        Example: %%trace on the first line, loss.backward() below it
        """
        arguments = self.arguments(self.trace, line)
        with tracing() as found:
            self.run_cell(cell)
        display(found.report(parameters_of(self.namespace), arguments.nodes))
