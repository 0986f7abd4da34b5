"""A graph cut into several modules."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ...nn import Module
from ..graph import Graph
from ..graph_module import GraphModule
from ..node import Node, map_arg

__all__ = ["split_module"]


class _Part:
    """The nodes of one module: what it reads from outside and what others read of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.inputs: dict[Node, Node] = {}  # of the whole graph, and here
        self.copies: dict[Node, Node] = {}
        self.outputs: list[Node] = []
        self.graph = Graph()

    def taken(self, node: Node) -> Node:
        """A node of the whole graph, here."""
        if node in self.copies:
            return self.copies[node]
        if node.op == "get_attr":
            self.copies[node] = self.graph.node_copy(node)
            return self.copies[node]
        return self.inputs[node]

    def module(self, root: Any) -> GraphModule:
        """The module of the nodes."""
        for node in self.inputs:
            self.inputs[node] = self.graph.placeholder(node.name)
        for node in self.nodes:
            self.copies[node] = self.graph.node_copy(node, self.taken)
        results = tuple(self.copies[n] for n in self.outputs)
        self.graph.output(results[0] if len(results) == 1 else results)
        return GraphModule(root, self.graph)


def split_module(
    m: GraphModule,
    root_m: Module,
    split_callback: Callable[[Node], Any],
    **options: Any,
) -> GraphModule:
    """A module that calls `submod_0`, `submod_1`, ..., each of which does the nodes for which
    `split_callback(node)` gives its name behind `submod_`; attributes come from `root_m`.

    Raises: RuntimeError where parts would need each other's results both ways.
    """
    parts = _parts(m.graph, split_callback)
    whole, held = Graph(), Module()
    known: dict[Node, Node] = {}
    waiting = list(parts.values())
    for node in m.graph.nodes:
        if node.op == "placeholder":
            known[node] = whole.node_copy(node)
    while waiting:
        ready = next((p for p in waiting if all(n in known for n in p.inputs)), None)
        if ready is None:
            raise RuntimeError(
                "split_module: expected parts of which each needs only earlier ones. Got "
                f"{', '.join(p.name for p in waiting)}, which need each other."
            )
        waiting.remove(ready)
        held.add_module(ready.name, ready.module(root_m))
        call = whole.call_module(ready.name, tuple(known[n] for n in ready.inputs))
        single = len(ready.outputs) == 1
        for k, node in enumerate(ready.outputs):
            known[node] = call if single else whole.call_function(operator.getitem, (call, k))
    _finish(m.graph, whole, known, held, root_m)
    return GraphModule(held, whole, type(m).__name__)


def _parts(graph: Graph, callback: Callable[[Node], Any]) -> dict[Any, _Part]:
    """The parts with their nodes, inputs and outputs."""
    parts: dict[Any, _Part] = {}
    home: dict[Node, _Part] = {}
    for node in graph.nodes:
        if node.op in ("placeholder", "get_attr", "output"):
            continue
        key = callback(node)
        part = home[node] = parts.setdefault(key, _Part(f"submod_{key}"))
        part.nodes.append(node)
    for node in graph.nodes:
        reader = home.get(node)
        for used in node.all_input_nodes:
            maker = home.get(used)
            if maker is not None and maker is not reader and used not in maker.outputs:
                maker.outputs.append(used)
            if reader is not None and maker is not reader and used.op != "get_attr":
                reader.inputs.setdefault(used, used)
    return parts


def _finish(
    graph: Graph, whole: Graph, known: dict[Node, Node], held: Module, root: Module
) -> None:
    """Return what `graph` returns; attributes that it returns as they are come along."""
    result = graph.output_node().args[0]

    def there(node: Node) -> Node:
        if node.op == "get_attr" and node not in known:
            known[node] = whole.node_copy(node)
            setattr(held, str(node.target), getattr(root, str(node.target)))
        return known[node]

    whole.output(map_arg(result, there))
