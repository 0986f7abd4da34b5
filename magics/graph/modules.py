"""Which modules the operations of a graph ran in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flambeau.core import observers

from ..modules import ModuleStack
from ..source import line_at, user_line

if TYPE_CHECKING:
    from .nodes import Graph, GraphNode

RECORD = "graph_place"  # the key under which nodes remember

REARRANGING = {"view", "transpose", "permute", "expand", "squeeze", "unsqueeze", "cast"}
"""Operations that only show their input otherwise."""


class _Recorder(observers.Observer):
    """Writes line and modules into each node."""

    def __init__(self, stack: ModuleStack) -> None:
        self.stack = stack

    def node_recorded(self, node: Any) -> None:
        path = tuple(self.stack.name_of(module) for module in self.stack.running)
        node.metadata[RECORD] = user_line(), path


@contextmanager
def placed(modules: Mapping[int, str]) -> Iterator[None]:
    """A `with` block whose operations remember their line and modules, called by `modules` (id of
    a module -> its name)."""
    stack = ModuleStack(modules)
    with stack.following(), observers.observing(_Recorder(stack)):
        yield


def recorded_path(node: Any) -> tuple[str, ...]:
    """The modules that a node remembers, the outermost first."""
    return (node.metadata.get(RECORD) or (None, ()))[1] if node._metadata else ()


def recorded_line(node: Any) -> str:
    """The line that a node remembers, from here or from another instrument."""
    metadata = node._metadata or {}
    for key in (RECORD, "traced"):
        if key in metadata and metadata[key][0] is not None:
            return str(metadata[key][0])
    if metadata.get("line") is not None:
        return str(metadata["line"])
    place = metadata.get("forward_line")
    return "" if place is None else str(line_at(*place))


def infer_paths(graph: Graph) -> None:
    """Guess the modules from the names of parameters, where nobody watched.

    What reads `net.0.weight`, or something made of it alone, ran in net.0. What reads no parameter
    ran in the innermost module that both its inputs and its readers ran in, as far as those are
    known.
    """
    known: dict[int, tuple[str, ...]] = {}
    parameters = {n.key: _path_of(n.label) for n in graph.leaves}
    for node in reversed(graph.operations):
        paths = [parameters[k] for k in node.inputs if parameters.get(k)]
        if paths:
            known[node.key] = _common(paths)
            if node.label in REARRANGING and len(node.inputs) == 1:
                parameters[node.key] = known[node.key]  # a weight transposed is a weight still
    before = _spread(graph, known, reversed(graph.operations), _inputs(graph))
    after = _spread(graph, known, graph.operations, _readers(graph))
    for node in graph.operations:
        sides = [path for path in (before.get(node.key), after.get(node.key)) if path is not None]
        node.path = known.get(node.key) or (_common(sides) if len(sides) == 2 else ())


def _path_of(name: str) -> tuple[str, ...]:
    """`net.0.weight` -> (`net`, `net.0`)."""
    parts = name.split(".")[:-1]
    return tuple(".".join(parts[: k + 1]) for k in range(len(parts)))


def _common(paths: list[tuple[str, ...]]) -> tuple[str, ...]:
    """What all paths begin with."""
    first = paths[0]
    length = min(len(path) for path in paths)
    same = 0
    while same < length and all(path[same] == first[same] for path in paths):
        same += 1
    return first[:same]


def _spread(
    graph: Graph,
    known: dict[int, tuple[str, ...]],
    order: Any,
    neighbours: dict[int, list[int]],
) -> dict[int, tuple[str, ...]]:
    """For each node the known path of the nearest neighbours on one side."""
    found: dict[int, tuple[str, ...]] = {}
    for node in order:
        paths = [known.get(k, found.get(k)) for k in neighbours[node.key]]
        met = [path for path in paths if path is not None]
        if met:
            found[node.key] = max(met, key=len)
    return found


def _inputs(graph: Graph) -> dict[int, list[int]]:
    return {n.key: [k for k in n.inputs if not graph.nodes[k].is_leaf] for n in graph.operations}


def _readers(graph: Graph) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {n.key: [] for n in graph.operations}
    for node in graph.operations:
        for k in node.inputs:
            if k in found:
                found[k].append(node.key)
    return found


def runs(nodes: list[GraphNode], level: int) -> Iterator[list[GraphNode]]:
    """`nodes`, in their order in time, cut into runs of the same module at `level`.

    A run is contiguous in time, so that folding it can never close a cycle: what lies between two
    of its operations belongs to it.
    """
    run: list[GraphNode] = []
    for node in nodes:
        if run and _name(run[-1], level) != _name(node, level):
            yield run
            run = []
        run.append(node)
    if run:
        yield run


def _name(node: GraphNode, level: int) -> str:
    """The module at `level`; for a node not that deep in modules nothing others could share."""
    return node.path[level] if len(node.path) > level else f"#{node.key}"
