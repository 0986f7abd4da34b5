"""Mistakes found before a cell runs: shapes, element types, devices, gradients.

    >>> from flambeau.magics.check import check_cell
    >>> [finding.code for finding in check_cell("nn.Linear(3, 4)(torch.ones(2, 5))", namespace)]
    ['shape', 'shape']

The cell is interpreted over abstract values: tensors without memory, on which the runtime's own
shape rules run. Nothing of the user's is executed, no live value is touched, and what is not known
draws no finding.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import findings
from .findings import Edit, Finding, Hint, Report
from .source import in_characters, parse

if TYPE_CHECKING:
    from flambeau.nn import Module

    from .interpreter import Interpreter

__all__ = [
    "Edit",
    "Finding",
    "Hint",
    "Report",
    "check_cell",
    "examine",
    "infer_shapes",
    "module_shapes",
]

SECONDS = 1.0
"""How long the interpretation of one cell may take; usual cells take some milliseconds."""


def check_cell(source: str, namespace: dict[str, Any]) -> list[Finding]:
    """What would go wrong if `source` ran with the names of `namespace`, in order of lines.

    What could not be looked at within a second is left out. Never raises.
    """
    return examine([source], namespace)[0].findings


def infer_shapes(source: str, namespace: dict[str, Any]) -> list[Hint]:
    """Shape and dtype at the end of each assignment of a tensor, by line. Never raises."""
    return examine([source], namespace)[0].hints


def examine(
    sources: list[str], namespace: dict[str, Any], seconds: float = SECONDS
) -> list[Report]:
    """What would go wrong if cells ran one after the other, and the shapes, for each of them.

    A function of one cell that fails when another one calls it is blamed where it fails. Never
    raises.
    """
    run, starts = _interpreted(sources, namespace, seconds)
    reports = [Report([], []) for _ in sources]
    for finding in sorted(run.findings.values(), key=findings.order):
        number = _cell_of(finding.line, starts)
        moved = _moved(finding, starts[number])
        reports[number].findings.append(in_characters(moved, sources[number]))
    for hint in sorted(run.hints.values(), key=lambda hint: (hint.line, hint.column)):
        number = _cell_of(hint.line, starts)
        moved = replace(hint, line=hint.line - starts[number])
        reports[number].hints.append(in_characters(moved, sources[number]))
    run.forget()
    return reports


def module_shapes(
    module: Module, namespace: dict[str, Any], seconds: float = SECONDS
) -> tuple[str, str] | None:
    """What `module` takes and what it gives, such as `("(B, 784) float32", "(B, 10) float32")`, as
    far as its first layers tell; None if they do not. Nothing of it is run."""
    from .interpreter import Interpreter

    run = Interpreter(namespace, seconds)
    found = run.shapes_through(module)
    run.forget()
    return found


def _cell_of(line: int, starts: list[int]) -> int:
    return bisect_left(starts, line) - 1


def _interpreted(
    sources: list[str], namespace: dict[str, Any], seconds: float
) -> tuple[Interpreter, list[int]]:
    """The finished run of all cells that are Python, as one text, and the lines before each."""
    from .interpreter import Interpreter

    body: list[ast.stmt] = []
    starts, line = [], 0
    for text in sources:
        starts.append(line)
        try:
            tree = parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            tree = ast.Module([], [])
        body += ast.increment_lineno(tree, line).body
        line += text.count("\n") + 1
    run = Interpreter(namespace, seconds=seconds)
    run.run(ast.Module(body, []))
    return run, starts


def _moved(finding: Finding, start: int) -> Finding:
    """`finding` with its lines counted from behind line `start`."""
    if not start:
        return finding
    return replace(
        finding,
        line=finding.line - start,
        end_line=finding.end_line - start,
        edits=tuple(
            replace(e, line=e.line - start, end_line=e.end_line - start) for e in finding.edits
        ),
        related=tuple((line - start, text) for line, text in finding.related),
    )
