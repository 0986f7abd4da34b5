"""Graphs folded by module: one node stands for all operations of a module's call."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .modules import runs
from .nodes import FOLDED, Graph, GraphNode

READABLE = 40
"""Operations up to which a graph is shown unfolded unless told otherwise."""


def readable(graph: Graph, depth: int | None = None) -> Graph:
    """`graph` folded at `depth`; unless given, as deep as leaves READABLE operations, and not at
    all where there are no more."""
    if depth is not None:
        return folded(graph, depth)
    if len(graph.operations) <= READABLE:
        return graph
    deepest = max((len(n.path) for n in graph.operations), default=0)
    best = graph
    for level in range(deepest):
        found = folded(graph, level)
        if level and len(found.operations) > READABLE:
            break
        best = found
    return best


def folded(graph: Graph, depth: int) -> Graph:
    """`graph` with the modules at `depth` (0: the outermost) as one node each.

    Leaves that only one folded module reads go into it.
    """
    youngest_first = graph.operations
    place: dict[int, int] = {}
    groups: dict[int, list[GraphNode]] = {}
    for run in runs(youngest_first, depth):
        key = run[0].key
        if len(run[0].path) > depth and (len(run) > 1 or len(run[0].path) > depth):
            key = -run[0].key
            groups[key] = run
        for node in run:
            place[node.key] = key
    if not groups:
        return graph
    return _contracted(graph, place, groups, depth)


def _contracted(
    graph: Graph, place: dict[int, int], groups: dict[int, list[GraphNode]], depth: int
) -> Graph:
    readers: dict[int, set[int]] = {}
    for node in graph.operations:
        for key in node.inputs:
            readers.setdefault(key, set()).add(place[node.key])
    inside = {
        leaf.key: next(iter(readers[leaf.key]))
        for leaf in graph.leaves
        if len(readers.get(leaf.key, ())) == 1 and next(iter(readers[leaf.key])) in groups
        and "." in leaf.label
    }  # fmt: skip
    nodes: dict[int, GraphNode] = {}
    for node in graph.operations:
        key = place[node.key]
        if key in nodes:
            continue
        if key in groups:
            leaves = [graph.nodes[k] for k, owner in inside.items() if owner == key]
            nodes[key] = _folded_node(key, groups[key], leaves, place, inside, depth)
        else:
            nodes[key] = _moved(node, place, inside)
    kept = {leaf.key: leaf for leaf in graph.leaves if leaf.key not in inside}
    roots = list(dict.fromkeys(place.get(key, key) for key in graph.roots))
    return Graph(roots, {**nodes, **kept}, graph.is_cut, graph.whole or graph, depth)


def _folded_node(
    key: int,
    run: list[GraphNode],
    leaves: list[GraphNode],
    place: dict[int, int],
    inside: dict[int, int],
    depth: int,
) -> GraphNode:
    """One node for `run`, youngest first, and the leaves that only it reads."""
    youngest = run[0]
    inputs = (place.get(k, k) for node in run for k in node.inputs if k not in inside)
    norms = [leaf.grad_norm for leaf in leaves if leaf.grad_norm is not None]
    return GraphNode(
        key,
        youngest.path[depth],
        False,
        FOLDED,
        youngest.shape,
        youngest.dtype,
        youngest.device,
        inputs=[k for k in dict.fromkeys(inputs) if k != key],
        path=youngest.path[: depth + 1],
        line=youngest.line if all(node.line == youngest.line for node in run) else "",
        saved=sum(node.saved for node in run),
        grad_norm=math.sqrt(sum(n * n for n in norms)) if norms else None,
        operations=len(run),
        parameters=sum(leaf.count for leaf in leaves),
    )


def _moved(node: GraphNode, place: dict[int, int], inside: dict[int, int]) -> GraphNode:
    """`node` with its inputs as they are called now."""
    fields = vars(node) | {"inputs": [place.get(k, k) for k in node.inputs if k not in inside]}
    return GraphNode(**fields)


def inside(graph: Graph, key: int) -> Graph:
    """What the folded node `key` of `graph` stands for, its own modules folded one level deeper;
    what comes from outside stands as a leaf."""
    whole = graph.whole or graph
    node = graph.nodes[key]
    depth = len(node.path) - 1
    run = next(run for run in runs(whole.operations, depth) if run[0].key == -key)
    keys = {n.key for n in run}
    nodes: dict[int, GraphNode] = {}
    outer: dict[int, GraphNode] = {}
    for n in run:
        nodes[n.key] = n
        for k in n.inputs:
            if k not in keys:
                outer[k] = _as_leaf(whole.nodes[k])
    roots = _read_outside(whole, keys) or [run[0].key]
    part = Graph(roots, {**nodes, **outer})
    return folded(part, depth + 1)


def _as_leaf(node: GraphNode) -> GraphNode:
    if node.is_leaf:
        return node
    where = f" of {node.path[-1]}" if node.path else ""
    fields = {"label": f"from {node.label}{where}", "is_leaf": True, "inputs": [], "saved": 0}
    return GraphNode(**(vars(node) | fields))


def _read_outside(graph: Graph, keys: set[int]) -> list[int]:
    """Those of `keys` whose result leaves the set."""
    found = [k for k in graph.roots if k in keys]
    for node in graph.operations:
        if node.key not in keys:
            found += [k for k in node.inputs if k in keys]
    return list(dict.fromkeys(found))


def folded_nodes(graph: Graph) -> Iterable[GraphNode]:
    """The nodes of `graph` that stand for modules."""
    return (node for node in graph.operations if node.is_folded)
