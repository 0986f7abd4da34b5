"""A folded graph for a notebook: the drawing, and under it each module to unfold.

It works without scripts (`<details>` folds by itself); where scripts run, a click on a module's box
unfolds it too.
"""

from __future__ import annotations

from html import escape
from itertools import count

from ..base import count_text, counted
from .folding import folded_nodes, inside, readable
from .nodes import Graph, GraphNode
from .svg import graph_svg

PANELS = 300
"""Modules that can be unfolded; a page with more would be slow to open."""

_numbers = count(1)


def graph_html(graph: Graph) -> str:
    """A drawing of `graph`, folded if it is large, with all modules that can be unfolded."""
    shown = graph if graph.whole is not None else readable(graph)
    left = [PANELS]
    return f'<div style="overflow-x:auto">{_level(shown, left)}</div>'


def _level(graph: Graph, left: list[int]) -> str:
    """One drawing, then its modules."""
    prefix = f"flambeau-graph-{next(_numbers)}-"
    panels = []
    for node in reversed(list(folded_nodes(graph))):  # in the order in which they ran
        if left[0] <= 0:
            break
        left[0] -= 1
        panels.append(_panel(graph, node, prefix, left))
    return graph_svg(graph, prefix) + "".join(panels)


def _panel(graph: Graph, node: GraphNode, prefix: str, left: list[int]) -> str:
    facts = [counted(node.operations, "operation", "operations")]
    if node.parameters:
        facts.append(f"{count_text(node.parameters)} parameters")
    summary = f"{node.label} ({', '.join(facts)})"
    return (
        f'<details id="{prefix}{abs(node.key)}" style="margin:2px 0 2px 16px">'
        f"<summary>{escape(summary)}</summary>{_level(inside(graph, node.key), left)}</details>"
    )
