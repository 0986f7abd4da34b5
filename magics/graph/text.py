"""The graph as text: one line an operation, branches as lanes at the left, leaves beside what
reads them."""

from __future__ import annotations

from ..base import count_text, counted, shape_text
from ..memory.pins import bytes_text
from .nodes import Graph, GraphNode

LIMIT = 400
"""Lines after which the rest is counted, not printed: what scrolls away is read by nobody."""


def graph_text(graph: Graph) -> str:
    """A drawing with the roots on top; every line below is older."""
    drawing = _Drawing(graph)
    lines = [graph.summary()]
    operations = graph.operations
    for position, node in enumerate(operations):
        if len(lines) > LIMIT:
            lines.append(f"... and {len(operations) - position} operations more")
            break
        lines += drawing.lines_of(node)
    if not operations:
        lines += [_leaf_words(leaf) for leaf in graph.leaves]
    return "\n".join(lines)


class _Drawing:
    """Lanes: each waits for the node that its line leads to."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.lanes: list[int] = [key for key in graph.roots if not graph.nodes[key].is_leaf]

    def lines_of(self, node: GraphNode) -> list[str]:
        """The node's line, a joining line before it or a branching line after it if needed."""
        lanes = self.lanes
        column = lanes.index(node.key)
        lines = []
        joined = [k for k, key in enumerate(lanes) if key == node.key and k != column]
        if joined:
            lines.append(self._joining(column, joined))
            self.lanes = lanes = [key for k, key in enumerate(lanes) if k not in joined]
        marks = ["●" if k == column else "│" for k in range(len(lanes))]
        lines.append(" ".join(marks) + "  " + self._words(node))
        below = [key for key in node.inputs if not self.graph.nodes[key].is_leaf]
        below = list(dict.fromkeys(below))
        if len(below) > 1:
            lines.append(self._branching(column, len(below)))
        lanes[column : column + 1] = below
        return lines

    def _joining(self, column: int, joined: list[int]) -> str:
        marks = ["│"] * len(self.lanes)
        between = [" "] * len(self.lanes)
        marks[column] = "├"
        for k in range(column, max(joined)):
            between[k] = "─"
        for k in range(column + 1, max(joined)):
            marks[k] = "┼"
        for k in joined:
            marks[k] = "┴"
        marks[max(joined)] = "╯"
        return "".join(m + b for m, b in zip(marks, between, strict=True)).rstrip()

    def _branching(self, column: int, count: int) -> str:
        before = "│ " * column
        after = " │" * (len(self.lanes) - column - 1)
        return before + "├" + "─┬" * (count - 2) + "─╮" + after

    def _words(self, node: GraphNode) -> str:
        words = [f"▣ {node.label}" if node.is_folded else node.label, shape_text(node.shape)]
        if node.is_folded:
            facts = counted(node.operations, "operation", "operations")
            facts += f", {count_text(node.parameters)} parameters" if node.parameters else ""
            facts += f", saves {bytes_text(node.saved)}" if node.saved else ""
            words.append(f"({facts})")
        if node.attributes:
            words.append(f"({node.attributes})")
        leaves = [self.graph.nodes[key] for key in node.inputs if self.graph.nodes[key].is_leaf]
        if leaves:
            words.append("← " + ", ".join(_leaf_words(leaf) for leaf in leaves))
        return "  ".join(words)


def _leaf_words(leaf: GraphNode) -> str:
    return f"{leaf.label} {shape_text(leaf.shape)}"
