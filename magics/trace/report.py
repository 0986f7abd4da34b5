"""What `%trace` shows: findings, a table of parameters, a table of backward nodes, a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..base import report_html, table
from ..charts import line_chart, sparkline
from ..statistics import HEADINGS, Statistics
from .findings import findings
from .watch import GradientTrace, NodeGradient

LIMIT = 60  # backward nodes listed unless told otherwise
WIDTH = 44  # characters of a source line in the table


@dataclass
class ParameterGradient:
    """A parameter in the last pass: its gradient, |update| / |weight|, and norms over passes."""

    name: str
    statistics: Statistics
    update: float | None
    norms: list[float]


@dataclass
class TraceReport:
    """The last backward pass, and the flow of all."""

    passes: int
    parameters: list[ParameterGradient]
    nodes: list[NodeGradient]
    without: list[str]
    findings: list[str] = field(default_factory=list)
    limit: int = LIMIT

    def __str__(self) -> str:
        if not self.passes:
            return "No backward pass. %%trace shows gradients of a cell that calls backward()."
        which = "1 backward pass" if self.passes == 1 else f"last of {self.passes} backward passes"
        lines = [f"Gradients, {which}"]
        lines += [f"  ! {finding}." for finding in self.findings]
        lines += ["", *self._parameter_table()]
        lines += ["", *self._node_table()] if self.limit else []
        if len(self.nodes) > self.limit > 0:
            lines.append(f"... and {len(self.nodes) - self.limit} more; %%trace --nodes N shows N")
        return "\n".join(lines)

    __repr__ = __str__

    def _parameter_table(self) -> list[str]:
        has_steps = any(p.update is not None for p in self.parameters)
        has_flow = any(len(p.norms) > 1 for p in self.parameters)
        head = ["parameter", *HEADINGS[:-1]]
        head += ["update"] * has_steps + ["flow"] * has_flow + [""]
        rows = [tuple(head)]
        for p in self.parameters:
            *numbers, trouble = p.statistics.words()
            row = [p.name, *numbers]
            row += ["" if p.update is None else f"{p.update:.1e}"] * has_steps
            row += [sparkline(p.norms)] * has_flow
            rows.append((*row, trouble))
        return table(rows, "<<>>>>>" + ">" * has_steps + "<" * has_flow + "<")

    def _node_table(self) -> list[str]:
        rows: list[tuple[str, ...]] = [("backward node", *HEADINGS, "module", "line")]
        for node in self.nodes[: self.limit]:
            line = "" if node.line is None else str(node.line)
            line = line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
            rows.append((node.name, *node.statistics.words(), node.module, line))
        return table(rows, "<<>>>>><<<")

    def svg(self) -> str:
        """Norms over passes, a line a parameter; of a single pass, over the parameters."""
        names = [p.name for p in self.parameters]
        if any(len(p.norms) > 1 for p in self.parameters):
            lines = {p.name: p.norms for p in self.parameters}
            return line_chart(lines, log=True, title="Gradient norms over passes")
        norms = {"gradient norm": [p.statistics.norm for p in self.parameters]}
        return line_chart(norms, log=True, labels=names, title="Gradient norms by parameter")

    def _repr_html_(self) -> str:
        """The plot above the text."""
        chart = self.svg() if self.passes and self.parameters else ""
        return chart + report_html(str(self))


def trace_report(trace: GradientTrace, names: Mapping[int, str], limit: int = LIMIT) -> TraceReport:
    """What `trace` saw, leaves called by `names` (id of a tensor -> its name)."""
    last = trace.last
    seen = {k: n for k, n in names.items() if k not in trace.lives or trace.is_alive(k)}
    order = {name: k for k, name in enumerate(seen.values())}
    rows = [
        ParameterGradient(seen.get(key, "(no name)"), s, last.updates.get(key), _norms(trace, key))
        for key, s in last.leaves.items()
    ]
    rows.sort(key=lambda row: order.get(row.name, len(order)))
    without = _without(trace, seen)
    return TraceReport(
        trace.passes, rows, list(last.nodes), without, findings(trace, seen, without), limit
    )


def _norms(trace: GradientTrace, key: int) -> list[float]:
    return [norms.get(key, math.nan) for norms in trace.flow]


def _without(trace: GradientTrace, names: Mapping[int, str]) -> list[str]:
    """Names of parameters that got nothing, of modules where others did."""
    leaves = trace.last.leaves
    owners = {names[key].partition(".")[0] for key in leaves if "." in names.get(key, "")}
    return [
        name
        for key, name in names.items()
        if key not in leaves and "." in name and name.partition(".")[0] in owners
    ]
