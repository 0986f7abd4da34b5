"""`explain`: what a compiled call made of a function, graph by graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import callsite
from ..nn import Module
from .executables import Executable
from .fusion import Group
from .programs import Program
from .region import run


class Explanation:
    """What one call computed: its `graphs` in order, and why each was computed when it was.

    `graph_count`, `graph_break_count`, `op_count` and `break_reasons` are what PyTorch's has;
    printing it shows loops, kernels, and what is kept for gradients.
    """

    def __init__(self, record: list[tuple[Program, str, Any]], out: Any) -> None:
        self.out = out
        self.graphs = [program for program, *_ in record]
        self.graph_count = len(record)
        self.op_count = sum(len(p.graph.steps) for p in self.graphs)
        self.break_reasons = [
            reason if place is None else f"{reason}, at {callsite.shown(place)}"
            for _, reason, place in record
            if reason != "the end"
        ]
        self.graph_break_count = len(self.break_reasons)
        self._record = record

    def __str__(self) -> str:
        lines = [
            f"{self.graph_count} graph{'s' if self.graph_count != 1 else ''} of {self.op_count} "
            "operations"
        ]
        for number, (program, reason, place) in enumerate(self._record, 1):
            where = "" if place is None or reason == "the end" else f", {callsite.shown(place)}"
            lines.append(f"\ngraph {number}, computed as {_as_clause(reason)}{where}")
            lines += _described(program)
        return "\n".join(lines)

    __repr__ = __str__


def _as_clause(reason: str) -> str:
    return "the function returned" if reason == "the end" else reason


def _described(program: Program) -> list[str]:
    lines = ["  forward", *_units(program.forward)]
    for stage in program.stages:
        kept = [program.graph.values[n] for n in stage.saved]
        inputs = [v.number for v in program.graph.inputs]
        read = sum(n in stage.reads for n in inputs)
        size = sum(v.nbytes for v in kept) / 1e6
        lines += [
            f"  backward, from {read} of {len(inputs)} inputs and {len(kept)} results "
            f"kept ({size:.1f} MB); {len(stage.recomputed)} operations run again",
            *_units(stage.backward().executable),
        ]
    return lines


def _units(executable: Executable) -> list[str]:
    lines = []
    for unit in executable.units:
        if isinstance(unit, Group):
            names = ", ".join(s.operation.label for s in unit.steps)
            lines.append(f"    loop over {unit.shape}: {names}")
        else:
            shapes = ", ".join(str(v.shape) for v in unit.outputs)
            lines.append(f"    {unit.operation.label} {shapes}")
    return lines


def explain(function: Callable[..., Any]) -> Callable[..., Explanation]:
    """A function of the same arguments that calls `function`, a function or module, compiled, and
    gives an `Explanation`.

    Example:
        >>> print(torch.compiler.explain(model)(x))
    """
    plain = getattr(function, "_torchdynamo_orig_callable", function)
    if isinstance(plain, Module):
        plain = getattr(plain, "_orig_mod", plain)

    def explained(*args: Any, **kwargs: Any) -> Explanation:
        record: list[tuple[Program, str, Any]] = []
        out = run(plain, args, kwargs, record=record)
        return Explanation(record, out)

    return explained
