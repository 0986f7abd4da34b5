"""Modules whose `forward` is a graph."""

from __future__ import annotations

import itertools
import linecache
from dataclasses import dataclass
from typing import Any

from ..core.dispatch import operations
from ..nn import Module, Parameter
from .graph import Graph
from .node import Node, map_aggregate, map_arg

__all__ = ["GraphModule"]

_numbers = itertools.count()


@dataclass(frozen=True)
class _Named:
    """In a pickled graph the node, or the operation, of that name."""

    name: str


def _worded(node: Node) -> tuple[Any, ...]:
    """A node without links to others, as which long graphs would be nested deeply."""
    operation = getattr(node.target, "operation", None)
    target = node.target if operation is None else _Named(operation.name)
    args, kwargs = map_arg((node.args, node.kwargs), lambda n: _Named(n.name))
    return node.name, node.op, target, args, kwargs, node.type


def _read(state: dict[str, Any], nodes: list[tuple[Any, ...]], name: str) -> GraphModule:
    """The module of a pickled graph."""
    held, graph, known = Module(), Graph(), {}
    held.__dict__.update(state)
    for own, op, target, args, kwargs, type_expr in nodes:
        args, kwargs = map_aggregate(
            (args, kwargs), lambda x: known[x.name] if isinstance(x, _Named) else x
        )
        called = operations[target.name].function if isinstance(target, _Named) else target
        known[own] = graph.create_node(op, called, args, kwargs, own, type_expr)
    return GraphModule(held, graph, name)


class GraphModule(Module):
    """A module that runs `graph`; parameters and submodules that it reads come from `root`, a
    module or a dict from path to object.

    After a change of the graph call `recompile()`. `code` is the Python that runs.
    """

    def __init__(self, root: Any, graph: Graph, class_name: str = "GraphModule") -> None:
        super().__init__()
        self.__class__ = type(class_name, (type(self),), {})  # whose forward is its own
        if isinstance(root, Module):
            self.training = root.training
        for node in graph.nodes:
            if node.op in ("get_attr", "call_module"):
                self._take(root, str(node.target))
        self.graph = graph

    def _take(self, root: Any, path: str) -> None:
        """Make the attribute `path` of `root` one of this module."""
        *parents, name = path.split(".")
        here: Any = self
        there = root
        for part in parents:
            there = getattr(there, part) if isinstance(root, Module) else None
            if part not in here._modules:
                fresh = Module()
                fresh.training = self.training
                here.add_module(part, fresh)
            elif here._modules[part] is there:
                return  # a module that came whole
            here = here._modules[part]
        value = getattr(there, name) if isinstance(root, Module) else root[path]
        if isinstance(value, Module) and name in here._modules and here._modules[name] is not value:
            self._keep_children(value, here._modules[name])
        if hasattr(value, "_array") and not isinstance(value, Parameter):
            is_kept = isinstance(there, Module) and name in there._buffers
            persistent = not is_kept or name not in there._non_persistent_buffers_set
            here.register_buffer(name, value, persistent=persistent)
        else:
            setattr(here, name, value)

    @staticmethod
    def _keep_children(whole: Module, part: Module) -> None:
        """What was taken of a module before it came whole is its own already."""
        for name, child in part._modules.items():
            whole._modules.setdefault(name, child)

    @property
    def graph(self) -> Graph:
        """The graph that runs."""
        return self.__dict__["_graph"]

    @graph.setter
    def graph(self, graph: Graph) -> None:
        self.__dict__["_graph"] = graph
        graph.owning_module = self
        self.recompile()

    @property
    def code(self) -> str:
        """The Python that runs."""
        return self.__dict__["_code"]

    def recompile(self) -> Any:
        """Write the Python of the graph anew; returns it."""
        made = self.graph.python_code("self")
        filename = f"<flambeau graph {next(_numbers)}>"
        lines = made.src.splitlines(keepends=True)
        linecache.cache[filename] = (len(made.src), None, lines, filename)
        namespace = dict(made.globals)
        exec(compile(made.src, filename, "exec"), namespace)
        type(self).forward = namespace["forward"]
        self.__dict__["_code"] = made.src
        return made

    def print_readable(self, print_output: bool = True, **options: Any) -> str:
        """The code with the class around it, printed unless told not to; returned."""
        inside = "".join(f"    {line}\n" if line else "\n" for line in self.code.splitlines())
        text = f"class {type(self).__name__}(torch.nn.Module):\n{inside}"
        if print_output:
            print(text)
        return text

    def add_submodule(self, target: str, m: Module) -> bool:
        """Put `m` at the path `target`; False if something that is no module stands in the way."""
        *parents, name = target.split(".")
        here: Module = self
        for part in parents:
            if part not in here._modules:
                if hasattr(here, part):
                    return False
                here.add_module(part, Module())
            here = here._modules[part]  # type: ignore[assignment]
        here.add_module(name, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Take the submodule at the path `target` out; whether it was there."""
        *parents, name = target.split(".")
        here: Module | None = self
        for part in parents:
            here = here._modules.get(part) if here is not None else None
        return here is not None and here._modules.pop(name, None) is not None

    def delete_all_unused_submodules(self) -> None:
        """Take out the submodules that no node reads or calls."""
        used = {str(n.target) for n in self.graph.nodes if n.op in ("get_attr", "call_module")}
        for path, _ in list(self.named_modules()):
            inside = any(u == path or u.startswith(f"{path}.") for u in used)
            if path and not inside and not any(path.startswith(f"{u}.") for u in used):
                self.delete_submodule(path)

    def __deepcopy__(self, memo: dict[int, Any]) -> GraphModule:
        from copy import deepcopy

        copied = Module()
        copied.__dict__ = deepcopy(
            {k: v for k, v in self.__dict__.items() if k not in ("_graph", "_code")}, memo
        )
        graph = Graph()
        graph.output(graph.graph_copy(self.graph, {}))
        return GraphModule(copied, graph, type(self).__name__)

    def __reduce__(self) -> Any:
        """Parameters and submodules, and the graph as plain words: functions by their names."""
        state = {k: v for k, v in self.__dict__.items() if k not in ("_graph", "_code")}
        return _read, (state, [_worded(n) for n in self.graph.nodes], type(self).__name__)

    def __str__(self) -> str:
        return f"{super().__str__()}\n\n\n{self.code}"
