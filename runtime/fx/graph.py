"""Graphs of calls, and the Python they stand for."""

from __future__ import annotations

import builtins
import keyword
import operator
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..core.tensor import Tensor
from .node import Argument, Node, Target, map_arg, target_name
from .source import PythonCode, written

__all__ = ["Graph"]


class Graph:
    """A list of nodes, each computed from those before it; the last is the output.

    Build one with `placeholder`, `get_attr`, `call_function`, `call_method`, `call_module` and
    `output`, and run it as the `forward` of a `GraphModule`.
    """

    def __init__(self, owning_module: Any = None) -> None:
        self.owning_module = owning_module
        self._nodes: list[Node] = []
        self._names: set[str] = set()
        self._insert: Node | None = None  # the node before which new ones go; None: at the end

    @property
    def nodes(self) -> _Nodes:
        """All nodes in order of execution; they may be erased while one goes through them."""
        return _Nodes(self)

    # -- growing ---------------------------------------------------------------------------------

    def create_node(
        self,
        op: str,
        target: Target,
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        """A new node at the insertion point, under `name` or one like what it calls."""
        wanted = name or _candidate(op, target)
        node = Node(self, self._unused(wanted), op, target, args or (), kwargs, type_expr)
        at = len(self._nodes) if self._insert is None else self._nodes.index(self._insert)
        self._nodes.insert(at, node)
        return node

    def _unused(self, wanted: str) -> str:
        name = re.sub(r"\W", "_", wanted)
        name = f"_{name}" if name[:1].isdigit() or not name else name
        if keyword.iskeyword(name) or hasattr(builtins, name) or name in ("self", "torch", "nn"):
            name += "_1"
        stem, count = name, 1
        if match := re.fullmatch(r"(.*)_(\d+)", name):
            stem, count = match[1], int(match[2])
        while name in self._names:
            name, count = f"{stem}_{count}", count + 1
        self._names.add(name)
        return name

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = Node) -> Node:
        """An input called `name`, with a default if one is given."""
        args = () if default_value is Node else (default_value,)
        return self.create_node("placeholder", name, args, type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """The parameter, buffer or other attribute of the module with that path."""
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_function(
        self,
        the_function: Callable[..., Any],
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        type_expr: Any = None,
        name: str | None = None,
    ) -> Node:
        """A call of `the_function`."""
        return self.create_node("call_function", the_function, args, kwargs, name, type_expr)

    def call_method(
        self,
        method_name: str,
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        type_expr: Any = None,
    ) -> Node:
        """A call of a method of the first argument."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_module(
        self,
        module_name: str,
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        type_expr: Any = None,
    ) -> Node:
        """A call of the submodule with that path."""
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def output(self, result: Argument, type_expr: Any = None) -> Node:
        """What the graph returns."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    # -- changing --------------------------------------------------------------------------------

    @contextmanager
    def inserting_before(self, n: Node | None = None) -> Iterator[None]:
        """In this block new nodes go before `n`, or to the beginning."""
        before = self._insert
        self._insert = n if n is not None else next(iter(self._nodes), None)
        try:
            yield
        finally:
            self._insert = before

    @contextmanager
    def inserting_after(self, n: Node | None = None) -> Iterator[None]:
        """In this block new nodes go behind `n`, or to the end."""
        at = len(self._nodes) if n is None else self._nodes.index(n) + 1
        before = self._insert
        self._insert = self._nodes[at] if at < len(self._nodes) else None
        try:
            yield
        finally:
            self._insert = before

    def neighbour(self, node: Node, step: int) -> Node:
        """The node `step` places behind `node`, round about."""
        return self._nodes[(self._nodes.index(node) + step) % len(self._nodes)]

    def move(self, node: Node, anchor: Node, behind: int) -> None:
        """Put `node` before `anchor`, or behind it if `behind` is 1."""
        self._nodes.remove(node)
        self._nodes.insert(self._nodes.index(anchor) + behind, node)

    def erase_node(self, to_erase: Node) -> None:
        """Take a node out. Raises: RuntimeError if others read it."""
        if to_erase.users:
            raise RuntimeError(
                f"erase_node: expected a node that nothing reads. {to_erase} is read by "
                f"{', '.join(u.name for u in to_erase.users)}. Replace its uses first."
            )
        if to_erase in self._nodes:
            self._nodes.remove(to_erase)
            to_erase.args, to_erase.kwargs = (), {}

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Erase nodes that nothing reads, unless they do something else, see `Node.is_impure`;
        whether any was."""
        keeps = is_impure_node or Node.is_impure
        found = False
        for node in reversed(self._nodes):
            if not node.users and node.op not in ("placeholder", "output") and not keeps(node):
                self.erase_node(node)
                found = True
        return found

    def node_copy(
        self, node: Node, arg_transform: Callable[[Node], Argument] = lambda n: n
    ) -> Node:
        """A copy here of a node of any graph, its inputs given by `arg_transform`."""
        args, kwargs = map_arg(node.args, arg_transform), map_arg(node.kwargs, arg_transform)
        copy = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        copy.meta = dict(node.meta)
        return copy

    def graph_copy(self, g: Graph, val_map: dict[Node, Node]) -> Argument:
        """Copy the nodes of `g` here, noting them in `val_map`; returns what `g` returns."""
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                return map_arg(node.args[0], val_map.__getitem__)
            val_map[node] = self.node_copy(node, val_map.__getitem__)
        return None

    def output_node(self) -> Node:
        """The node that says what the graph returns."""
        return next(n for n in reversed(self._nodes) if n.op == "output")

    def position(self, node: Node) -> int:
        """The place of a node in the order of execution."""
        return self._nodes.index(node)

    def find_nodes(self, *, op: str, target: Target | None = None, sort: bool = True) -> list[Node]:
        """The nodes of that kind, and if given of that target."""
        return [n for n in self._nodes if n.op == op and (target is None or n.target == target)]

    def lint(self) -> None:
        """Raises: RuntimeError if a node reads one that does not stand before it."""
        seen: set[Node] = set()
        for node in self._nodes:
            missing = [n.name for n in node.all_input_nodes if n not in seen]
            if missing:
                raise RuntimeError(
                    f"Graph: {node.name} reads {', '.join(missing)}, which is not computed before."
                )
            seen.add(node)

    # -- reading ---------------------------------------------------------------------------------

    def python_code(self, root_module: str = "self", **options: Any) -> PythonCode:
        """The Python of the graph: its source, and the global names it needs."""
        return written(self._nodes, root_module)

    def print_tabular(self) -> None:
        """Print one row per node: op, name, target, arguments."""
        head = ("opcode", "name", "target", "args", "kwargs")
        rows = [head] + [
            (n.op, n.name, target_name(n.target), str(n.args), str(n.kwargs)) for n in self._nodes
        ]
        widths = [max(len(r[k]) for r in rows) for k in range(len(head))]
        rows.insert(1, tuple("-" * w for w in widths))
        for row in rows:
            print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())

    def __str__(self) -> str:
        inputs = ", ".join(f"%{n.name}" for n in self._nodes if n.op == "placeholder")
        return "\n    ".join([f"graph({inputs}):", *(n.format_node() for n in self._nodes)])


class _Nodes:
    """A view of a graph's nodes."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._graph._nodes))

    def __reversed__(self) -> Iterator[Node]:
        return reversed(list(self._graph._nodes))

    def __len__(self) -> int:
        return len(self._graph._nodes)

    def __contains__(self, node: object) -> bool:
        return node in self._graph._nodes


def _candidate(op: str, target: Target) -> str:
    """A name for a node that calls `target`, as short as it tells what it is."""
    if isinstance(target, str):
        return target.lstrip("*").replace(".", "_")
    if isinstance(target, Tensor):
        return "tensor"
    name = getattr(target, "__name__", "call").strip("_")
    return {operator.getitem: "getitem"}.get(target, name) or op
