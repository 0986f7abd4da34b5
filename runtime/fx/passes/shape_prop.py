"""Shapes and dtypes of all values of a graph, noted by running it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...core.tensor import Tensor
from ..interpreter import Interpreter
from ..node import Node, map_aggregate

__all__ = ["ShapeProp", "TensorMetadata"]


class TensorMetadata(NamedTuple):
    """What `node.meta["tensor_meta"]` tells of a tensor."""

    shape: tuple[int, ...]
    dtype: Any
    requires_grad: bool
    stride: tuple[int, ...]


class ShapeProp(Interpreter):
    """Runs a graph and notes, for each node, `meta["tensor_meta"]`: a `TensorMetadata`, or tuples,
    lists and dicts of them as the node's value has tensors; and `meta["type"]`, its type.

    Example:
        >>> from flambeau.fx.passes.shape_prop import ShapeProp
        >>> traced = torch.fx.symbolic_trace(torch.nn.Linear(3, 2))
        >>> out = ShapeProp(traced).propagate(torch.ones(4, 3))
        >>> [tuple(n.meta["tensor_meta"].shape) for n in traced.graph.nodes]
        [(4, 3), (4, 2), (4, 2)]
    """

    def run_node(self, n: Node) -> Any:
        """The node's value, of which is noted what it is."""
        result = super().run_node(n)
        found: list[Tensor] = []

        def described(x: Any) -> Any:
            if not isinstance(x, Tensor):
                return x
            found.append(x)
            return TensorMetadata(x.shape, x.dtype, x.requires_grad, x.stride())

        meta = map_aggregate(result, described)
        if found:
            n.meta["tensor_meta"] = meta
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args: Any) -> Any:
        """Run the graph on `args`; returns what it returns."""
        return self.run(*args)
