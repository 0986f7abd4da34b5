"""Mistakes found before a cell runs: shapes, element types, devices, gradients.

    >>> from flambeau.magics.check import check_cell
    >>> [finding.code for finding in check_cell("nn.Linear(3, 4)(torch.ones(2, 5))", namespace)]
    ['shape']

The cell is interpreted over abstract values: tensors without memory, on which the runtime's own
shape rules run. Nothing of the user's is executed, no live value is touched, and what is not known
draws no finding.
"""

from __future__ import annotations

from typing import Any

from . import findings, source
from .findings import Edit, Finding, Hint

__all__ = ["Edit", "Finding", "Hint", "check_cell", "infer_shapes"]


def check_cell(source_text: str, namespace: dict[str, Any]) -> list[Finding]:
    """What would go wrong if `source_text` ran with the names of `namespace`, in order of lines.

    Takes at most about a second, and far less for usual cells. Never raises.
    """
    run = _interpreted(source_text, namespace)
    if run is None:
        return []
    return sorted(run.findings.values(), key=findings.order)


def infer_shapes(source_text: str, namespace: dict[str, Any]) -> list[Hint]:
    """Shape and dtype at the end of each assignment of a tensor, by line. Never raises."""
    run = _interpreted(source_text, namespace)
    if run is None:
        return []
    return sorted(run.hints.values(), key=lambda hint: (hint.line, hint.column))


def _interpreted(source_text: str, namespace: dict[str, Any]) -> Any:
    """The finished run of a cell; None if it is no Python."""
    from .interpreter import Interpreter

    try:
        tree = source.parse(source_text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    run = Interpreter(namespace)
    run.run(tree)
    return run
