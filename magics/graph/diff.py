"""What changed in a graph between two runs of the same code."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher

from ..base import TextReport, counted, shape_text
from .nodes import Graph, GraphNode

CONTEXT = 2  # unchanged operations shown around a change


@dataclass
class GraphDiff(TextReport):
    """The operations of two graphs in the order in which they ran, as lines with -, + or ~ (same
    operation, other shape, dtype or attributes) before what changed."""

    lines: list[str]
    removed: int
    added: int
    changed: int

    def __str__(self) -> str:
        if not (self.removed or self.added or self.changed):
            return "Both graphs are the same: operations, shapes, dtypes, attributes, leaves."
        found = [(self.removed, "gone"), (self.added, "new"), (self.changed, "changed")]
        words = [f"{counted(n, 'operation or leaf', 'operations or leaves')} {w}" for n, w in found]
        return "\n".join([*self.lines, "; ".join(w for w, (n, _) in zip(words, found, strict=True)
                                                 if n)])  # fmt: skip

    __repr__ = __str__


def graph_diff(before: Graph, after: Graph) -> GraphDiff:
    """What is different in `after`. Operations are matched by what they are, in their order."""
    old, new = _operations(before), _operations(after)
    matcher = SequenceMatcher(None, [_kind(n) for n in old], [_kind(n) for n in new], False)
    lines: list[str] = []
    counts: Counter[str] = Counter()
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            pairs = list(zip(old[a:b], new[c:d], strict=True))
            lines += _matched(pairs, counts)
            continue
        lines += [f"- {_words(n)}" for n in old[a:b]]
        lines += [f"+ {_words(n)}" for n in new[c:d]]
        counts["-"] += b - a
        counts["+"] += d - c
    lines = _with_context(lines)
    lines += _leaves(before, after, counts)
    return GraphDiff(lines, counts["-"], counts["+"], counts["~"])


def _operations(graph: Graph) -> list[GraphNode]:
    return list(reversed((graph.whole or graph).operations))


def _kind(node: GraphNode) -> tuple[str, tuple[str, ...]]:
    return node.label, node.path


def _matched(pairs: list[tuple[GraphNode, GraphNode]], counts: Counter[str]) -> list[str]:
    lines = []
    for old, new in pairs:
        if _facts(old) == _facts(new):
            lines.append(f"  {_words(new)}")
        else:
            counts["~"] += 1
            lines.append(f"~ {_words(old)}  →  {_facts(new)}")
    return lines


def _facts(node: GraphNode) -> str:
    return "  ".join(w for w in (shape_text(node.shape), node.dtype, node.attributes) if w)


def _words(node: GraphNode) -> str:
    module = f"  in {node.path[-1]}" if node.path else ""
    return f"{node.label}  {_facts(node)}{module}"


def _with_context(lines: list[str]) -> list[str]:
    """Changed lines with a few around them; the rest as a count."""
    near = {
        k + offset
        for k, line in enumerate(lines)
        if not line.startswith("  ")
        for offset in range(-CONTEXT, CONTEXT + 1)
    }
    found: list[str] = []
    hidden = 0
    for k, line in enumerate([*lines, ""]):
        if (k in near and k < len(lines)) or k == len(lines):
            if hidden:
                found.append(f"  ... {counted(hidden, 'operation', 'operations')} the same")
            hidden = 0
            found += [line] if k < len(lines) else []
        else:
            hidden += 1
    return found


def _leaves(before: Graph, after: Graph, counts: Counter[str]) -> list[str]:
    """Leaves that are in one graph only."""
    old, new = ({n.label: n for n in (g.whole or g).leaves} for g in (before, after))
    gone = [f"- {_words(old[name])}" for name in old if name not in new]
    come = [f"+ {_words(new[name])}" for name in new if name not in old]
    counts["-"] += len(gone)
    counts["+"] += len(come)
    return gone + come
