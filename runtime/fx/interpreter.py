"""Graphs run node by node, for passes that look at values or change what nodes do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..nn import Module
from .graph import Graph
from .node import Node, map_arg

__all__ = ["Interpreter"]


class Interpreter:
    """Runs a GraphModule node by node: override `run_node`, or `call_function` and its like, to see
    values or to do something else.

    Example:
        >>> class Printing(torch.fx.Interpreter):
        ...     def run_node(self, n):
        ...         result = super().run_node(n)
        ...         print(n.name)
        ...         return result
        >>> Printing(torch.fx.symbolic_trace(torch.nn.ReLU())).run(torch.ones(2))
        input_1
        relu
        output
        tensor([1., 1.])
    """

    def __init__(
        self, module: Module, garbage_collect_values: bool = True, graph: Graph | None = None
    ) -> None:
        self.module = module
        self.graph: Graph = graph if graph is not None else module.graph
        self.env: dict[Node, Any] = {}
        self.frees = garbage_collect_values

    def run(self, *args: Any, initial_env: dict[Node, Any] | None = None) -> Any:
        """What the graph returns for `args`."""
        self.env = dict(initial_env or {})
        self.args_iter: Iterator[Any] = iter(args)
        last = {used: node for node in self.graph.nodes for used in node.all_input_nodes}
        for node in self.graph.nodes:
            if node not in self.env:
                self.env[node] = self.run_node(node)
            if node.op == "output":
                return self.env[node]
            if self.frees:
                for used in node.all_input_nodes:
                    if last[used] is node:
                        del self.env[used]
        return None

    def run_node(self, n: Node) -> Any:
        """The value of one node."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        return getattr(self, n.op)(n.target, args, kwargs)

    def fetch_args_kwargs_from_env(self, n: Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The node's arguments, with values for nodes."""
        return map_arg(n.args, self.env.__getitem__), map_arg(n.kwargs, self.env.__getitem__)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The next input, or its default."""
        missing = object()
        value = next(self.args_iter, missing)
        if value is not missing:
            return value
        if args:
            return args[0]
        raise RuntimeError(f"Interpreter: expected a value for the input {target}. Got none.")

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The parameter or other attribute with that path."""
        return self.fetch_attr(target)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The function's result."""
        return target(*args, **kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The result of a method of the first argument."""
        return getattr(args[0], target)(*args[1:], **kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The submodule's result."""
        return self.fetch_attr(target)(*args, **kwargs)

    def output(self, target: Any, args: Any, kwargs: Any) -> Any:
        """What is returned."""
        return args[0]

    def fetch_attr(self, target: str) -> Any:
        """What the module has at a path."""
        here: Any = self.module
        for part in target.split("."):
            here = getattr(here, part)
        return here
