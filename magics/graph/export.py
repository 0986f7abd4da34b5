"""Graphs for other programs: Mermaid, DOT, JSON."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import Any

from ..base import shape_text
from .nodes import Graph, GraphNode


def graph_json(graph: Graph) -> str:
    """Nodes with all that is known of them, edges from input to reader."""
    numbers = {key: k for k, key in enumerate(graph.nodes)}
    nodes = [_entry(node, numbers[key], key in graph.roots) for key, node in graph.nodes.items()]
    edges = [
        {"from": numbers[source], "to": numbers[key]}
        for key, node in graph.nodes.items()
        for source in node.inputs
    ]
    return json.dumps({"summary": graph.summary(), "nodes": nodes, "edges": edges}, indent=1)


def _entry(node: GraphNode, number: int, is_root: bool) -> dict[str, Any]:
    kind = "leaf" if node.is_leaf else "module" if node.is_folded else "operation"
    entry: dict[str, Any] = {
        "id": number,
        "kind": kind,
        "label": node.label,
        "is_root": is_root,
        "shape": None if node.shape is None else list(node.shape),
        "dtype": node.dtype,
        "device": node.device,
        "backward": node.backward_name,
        "attributes": node.attributes,
        "module": list(node.path),
        "line": node.line,
        "saved_bytes": node.saved,
    }
    if node.is_folded:
        entry |= {"operations": node.operations, "parameters": node.parameters}
    if node.grad_norm is not None and math.isfinite(node.grad_norm):
        entry["grad_norm"] = node.grad_norm
    return entry


def graph_mermaid(graph: Graph) -> str:
    """A flowchart for Mermaid, modules as subgraphs."""
    numbers = {key: k for k, key in enumerate(graph.nodes)}
    lines = ["flowchart TD"]

    def box(node: GraphNode, indent: str) -> None:
        text = f"{node.label}<br/>{shape_text(node.shape)} {node.dtype}".strip()
        text = text.replace('"', "#quot;")
        left, right = ('(["', '"])') if node.is_leaf else ('["', '"]')
        if node.is_folded:
            left, right = '[["', '"]]'
        lines.append(f"{indent}n{numbers[node.key]}{left}{text}{right}")

    def cluster(name: str, number: int, indent: str) -> None:
        lines.append(f'{indent}subgraph m{number}["{name}"]')

    _clusters(graph, box, cluster, lambda indent: lines.append(f"{indent}end"))
    for key, node in graph.nodes.items():
        lines += [f"  n{numbers[s]} --> n{numbers[key]}" for s in dict.fromkeys(node.inputs)]
    return "\n".join(lines) + "\n"


def graph_dot(graph: Graph) -> str:
    """A digraph for Graphviz, modules as clusters."""
    numbers = {key: k for k, key in enumerate(graph.nodes)}
    lines = ["digraph graph_of_tensors {", '  node [fontname="sans-serif", fontsize=11];']

    def box(node: GraphNode, indent: str) -> None:
        shape = "oval" if node.is_leaf else "box3d" if node.is_folded else "box"
        label = _quoted(f"{node.label}\\n{shape_text(node.shape)} {node.dtype}".strip())
        lines.append(f"{indent}n{numbers[node.key]} [label={label}, shape={shape}];")

    def cluster(name: str, number: int, indent: str) -> None:
        lines.append(f"{indent}subgraph cluster_{number} {{ label={_quoted(name)};")

    _clusters(graph, box, cluster, lambda indent: lines.append(f"{indent}}}"))
    for key, node in graph.nodes.items():
        lines += [f"  n{numbers[s]} -> n{numbers[key]};" for s in dict.fromkeys(node.inputs)]
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def _clusters(graph: Graph, box: Any, cluster: Any, end: Any) -> None:
    """Call `box` for each node, between `cluster` and `end` of the modules around it."""
    inner: defaultdict[tuple[str, ...], list[GraphNode]] = defaultdict(list)
    children: defaultdict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for node in graph.nodes.values():
        path = node.path[:-1] if node.is_folded else node.path
        inner[path].append(node)
        for k in range(len(path), 0, -1):
            if path[:k] not in children[path[: k - 1]]:
                children[path[: k - 1]].append(path[:k])
    numbers: dict[tuple[str, ...], int] = {}

    def write(path: tuple[str, ...], indent: str) -> None:
        for node in inner[path]:
            box(node, indent)
        for child in children[path]:
            cluster(child[-1], numbers.setdefault(child, len(numbers)), indent)
            write(child, indent + "  ")
            end(indent)

    write((), "  ")
