"""Graphs run node by node, for passes that look at values, or make another graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core import overriding
from ..nn import Module
from .graph import Graph
from .graph_module import GraphModule
from .node import Node, map_aggregate, map_arg
from .proxy import Proxy
from .tracer import Tracer

__all__ = ["Interpreter", "Transformer"]


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


class Transformer(Interpreter):
    """Runs a GraphModule on proxies, which makes a new one: override `call_function` and its like
    to say what becomes of each node.

    Example:
        >>> class Smooth(torch.fx.Transformer):
        ...     def call_function(self, target, args, kwargs):
        ...         target = torch.tanh if target is torch.relu else target
        ...         return super().call_function(target, args, kwargs)
        >>> traced = torch.fx.symbolic_trace(lambda x: torch.relu(x) + 1)
        >>> Smooth(traced).transform()(torch.zeros(1))
        tensor([1.])
    """

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self.new_graph = Graph()
        self.tracer = Tracer()
        self.tracer.root, self.tracer.graph = module, self.new_graph

    def run_node(self, n: Node) -> Any:
        """The proxy of the node's value, which keeps what was noted of the node."""
        result = super().run_node(n)
        if isinstance(result, Proxy) and not result.node.meta:
            result.node.meta = dict(n.meta)
        return result

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The same input."""
        return self.tracer.create_proxy("placeholder", target, args, kwargs)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The same attribute."""
        return self.tracer.create_proxy("get_attr", target, args, kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A call of the same function; its result where no argument is a proxy."""
        found: list[Any] = []
        map_aggregate((args, kwargs), lambda x: found.append(x) if isinstance(x, Proxy) else x)
        if not found:
            return target(*args, **kwargs)
        return self.tracer.create_proxy("call_function", target, args, kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A call of the same submodule."""
        return self.tracer.create_proxy("call_module", target, args, kwargs)

    def transform(self) -> GraphModule:
        """The new module."""
        overriding.switch_on()
        result = self.run()
        self.new_graph.output(self.tracer.create_arg(result))
        return GraphModule(self.module, self.new_graph, type(self.module).__name__)
