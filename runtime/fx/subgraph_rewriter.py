"""Parts of graphs that look like a pattern, replaced by something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..nn import Module
from .graph import Graph
from .graph_module import GraphModule
from .node import Argument, Node, map_arg
from .tracer import symbolic_trace

__all__ = ["Match", "replace_pattern", "replace_pattern_with_filters"]

Filter = Callable[["Match", Graph, Graph], bool]


class Match(NamedTuple):
    """A place that looks like the pattern: its last node, and the nodes by those of the pattern."""

    anchor: Node
    nodes_map: dict[Node, Any]


def replace_pattern(
    gm: GraphModule,
    pattern: Callable[..., Any] | GraphModule,
    replacement: Callable[..., Any] | GraphModule,
) -> list[Match]:
    """Replace each part of the graph of `gm` that looks like `pattern` by `replacement`, functions
    or modules with the same parameters; returns the places, the last first.

    Parameters of the pattern stand for anything, numbers too; everything else must be equal. Values
    inside of the pattern may not be read outside of it. Places that overlap are taken once.
    Submodules and parameters of a replacement that is a module come along under its names.

    Example:
        >>> traced = torch.fx.symbolic_trace(lambda x, y: torch.relu(x + y) * 2)
        >>> matches = torch.fx.replace_pattern(
        ...     traced, lambda a, b: torch.relu(a + b), lambda a, b: torch.sigmoid(a - b)
        ... )
        >>> traced(torch.tensor(3.0), torch.tensor(3.0))
        tensor(1.)
    """
    return replace_pattern_with_filters(gm, pattern, replacement)


def replace_pattern_with_filters(
    gm: GraphModule,
    pattern: Callable[..., Any] | Graph | GraphModule,
    replacement: Callable[..., Any] | Graph | GraphModule,
    match_filters: Sequence[Filter] = (),
) -> list[Match]:
    """`replace_pattern` where each of `match_filters`, given a `Match`, the graph and the graph of
    the pattern, says yes."""
    wanted, new = _graph_of(pattern), _graph_of(replacement)
    _require_same_parameters(wanted, new)
    if isinstance(replacement, Module):
        _bring_attributes(gm, replacement)
    found: list[Match] = []
    taken: set[Node] = set()
    for anchor in reversed(list(gm.graph.nodes)):
        nodes = _Matching(wanted, taken).at(anchor)
        match = None if nodes is None else Match(anchor, nodes)
        if match is None or not all(says(match, gm.graph, wanted) for says in match_filters):
            continue
        taken.update(_inside(wanted, match.nodes_map))
        found.append(match)
    replaced: dict[Node, Argument] = {}
    for match in reversed(found):
        _replace(gm.graph, wanted, new, match.nodes_map, replaced)
    gm.recompile()
    return found


def _graph_of(given: Any) -> Graph:
    if isinstance(given, Graph):
        return given
    found = given if isinstance(given, GraphModule) else symbolic_trace(given)
    return found.graph


def _inputs(graph: Graph) -> list[Node]:
    return graph.find_nodes(op="placeholder")


def _require_same_parameters(pattern: Graph, replacement: Graph) -> None:
    if len(_inputs(pattern)) != len(_inputs(replacement)):
        listed = [", ".join(n.name for n in _inputs(g)) for g in (pattern, replacement)]
        raise ValueError(
            f"replace_pattern: expected a pattern and a replacement of the same parameters. Got "
            f"({listed[0]}) and ({listed[1]})."
        )


def _results(graph: Graph) -> list[Node]:
    """The nodes that a graph returns."""
    found: list[Node] = []
    map_arg(graph.output_node().args[0], lambda n: found.append(n) or n)
    return found


def _inside(pattern: Graph, nodes: dict[Node, Any]) -> list[Node]:
    """The matched nodes that the replacement stands for."""
    return [nodes[p] for p in pattern.nodes if p.op not in ("placeholder", "output") and p in nodes]


class _Matching:
    """One try to find the pattern; nodes in `taken` belong to other places."""

    def __init__(self, pattern: Graph, taken: set[Node]) -> None:
        self.pattern, self.taken = pattern, taken
        self.nodes: dict[Node, Any] = {}

    def at(self, anchor: Node) -> dict[Node, Any] | None:
        """By node of the pattern the node that it is, where its first result is `anchor`."""
        first, *others = _results(self.pattern)
        if first.op == "placeholder" or not self._same(first, anchor):
            return None
        for result in others:
            if result not in self.nodes and not self._found_elsewhere(result, anchor.graph):
                return None
        return self.nodes if self._is_contained() else None

    def _found_elsewhere(self, result: Node, graph: Graph) -> bool:
        """Whether another result of the pattern is somewhere, with the same inputs."""
        before = dict(self.nodes)
        for candidate in graph.nodes:
            if self._same(result, candidate):
                return True
            self.nodes = dict(before)
        return False

    def _same(self, p: Any, g: Any) -> bool:
        """Whether `g` is what `p` of the pattern asks for; noted in `nodes`."""
        waiting = [(p, g)]
        while waiting:
            p, g = waiting.pop()
            if not isinstance(p, Node):
                if not self._aggregates(p, g, waiting):
                    return False
            elif p in self.nodes:
                if self.nodes[p] is not g and (isinstance(g, Node) or self.nodes[p] != g):
                    return False
            elif p.op == "placeholder":
                self.nodes[p] = g
            elif not isinstance(g, Node) or g in self.taken or (p.op, p.target) != (g.op, g.target):
                return False
            else:
                self.nodes[p] = g
                waiting += [(p.args, g.args), (p.kwargs, g.kwargs)]
        return True

    @staticmethod
    def _aggregates(p: Any, g: Any, waiting: list[tuple[Any, Any]]) -> bool:
        """Whether two arguments are of one form; their parts are still to be looked at."""
        if isinstance(p, tuple | list):
            if not isinstance(g, tuple | list) or len(p) != len(g):
                return False
            waiting += zip(p, g, strict=True)
            return True
        if isinstance(p, dict):
            if not isinstance(g, dict) or set(p) != set(g):
                return False
            waiting += [(p[k], g[k]) for k in p]
            return True
        if isinstance(p, slice):
            waiting += [(getattr(p, e), getattr(g, e, None)) for e in ("start", "stop", "step")]
            return isinstance(g, slice)
        return type(p) is type(g) and bool(p == g)

    def _is_contained(self) -> bool:
        """Whether nobody outside reads what is inside."""
        shown = {self.nodes[r] for r in _results(self.pattern)}
        inside = _inside(self.pattern, self.nodes)
        own = set(inside)
        return len(own) == len(inside) and all(
            n in shown or n.op == "get_attr" or own.issuperset(n.users) for n in inside
        )


def _replace(
    graph: Graph, pattern: Graph, new: Graph, nodes: dict[Node, Any],
    replaced: dict[Node, Argument],
) -> None:  # fmt: skip
    """Put the nodes of `new` behind the last input, and let all readers read them; `replaced` tells
    what stands for nodes of earlier places."""
    given = [_latest(nodes.get(p), replaced) for p in _inputs(pattern)]
    known: dict[Node, Any] = dict(zip(_inputs(new), given, strict=True))
    order = {n: k for k, n in enumerate(graph.nodes)}
    inside = sorted(_inside(pattern, nodes), key=order.__getitem__)
    first = next(n for n in inside if n.op != "get_attr" or n is inside[-1])
    sources = [n for n in given if isinstance(n, Node)]
    last = max(sources, key=order.__getitem__, default=None)
    place = first if last is None or order[last] < order[first] else last.next
    with graph.inserting_before(place):
        result = graph.graph_copy(new, known)
    made = list(result) if isinstance(result, tuple | list) else [result]
    for p, value in zip(_results(pattern), made, strict=True):
        old = nodes[p]
        if isinstance(value, Node):
            old.replace_all_uses_with(value)
        else:
            for user in list(old.users):
                user.replace_input_with(old, value)
        replaced[old] = value
    for node in reversed(inside):
        if not node.users:
            graph.erase_node(node)


def _latest(value: Any, replaced: dict[Node, Argument]) -> Any:
    while isinstance(value, Node) and value in replaced:
        value = replaced[value]
    return value


def _bring_attributes(gm: GraphModule, replacement: Module) -> None:
    """Give `gm` what the replacement has and it has not: modules, parameters and buffers."""
    for name, child in replacement.named_children():
        if name not in gm._modules:
            gm.add_module(name, child)
    for name, parameter in replacement._parameters.items():
        if not hasattr(gm, name):
            gm.register_parameter(name, parameter)
    for name, buffer in replacement._buffers.items():
        if not hasattr(gm, name):
            gm.register_buffer(name, buffer)
