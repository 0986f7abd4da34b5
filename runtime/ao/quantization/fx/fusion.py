"""Layers in a row joined in a graph, as `fuse_modules` joins layers by name."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ....fx import GraphModule, Node
from ....nn import modules as nn
from ....nn.modules.module import Module
from ..fusion import is_joinable, joined

RELUS = ("relu", "relu_")
LONGEST = 3
"""Layers that are joined at most."""


def fuse_graph(model: GraphModule) -> None:
    """Join each convolution, linear layer or normalization with the normalization and the ReLU
    that alone read it; in training normalizations stay what they are, to be trained on."""
    calls = Counter(n.target for n in model.graph.nodes if n.op == "call_module")
    joined_in: set[Node] = set()
    for node in model.graph.nodes:
        if node.op == "call_module" and node not in joined_in:
            chain, layers = _longest(model, node, calls)
            if len(chain) > 1:
                _join(model, chain, layers)
                joined_in.update(chain)
    model.delete_all_unused_submodules()
    model.graph.lint()
    model.recompile()


def _layer_of(model: GraphModule, node: Node, calls: Counter[Any]) -> Module | None:
    """The layer that `node` alone calls, a ReLU whoever calls it too, also for a function of that
    name; or None."""
    if node.op == "call_module":
        layer = model.get_submodule(str(node.target))
        return layer if calls[node.target] == 1 or type(layer) is nn.ReLU else None
    return nn.ReLU().train(model.training) if function_name(node) in RELUS else None


def function_name(node: Node) -> str:
    """What the function or the method that `node` calls is called; "" for other nodes."""
    if node.op == "call_method":
        return str(node.target)
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def _longest(model: GraphModule, node: Node, calls: Counter[Any]) -> tuple[list[Node], list[Any]]:
    """The nodes from `node` on that are to be joined, `node` alone if none are; their layers."""
    chain, layers = [node], [_layer_of(model, node, calls)]
    count = 1
    while len(chain[-1].users) == 1 and len(chain) < LONGEST and layers[-1] is not None:
        (following,) = chain[-1].users
        chain.append(following)
        layers.append(_layer_of(model, following, calls))
        if layers[-1] is not None and is_joinable(layers):
            count = len(chain)
    return chain[:count], layers[:count]


def _join(model: GraphModule, chain: list[Node], layers: list[Any]) -> None:
    fused: Any = joined(tuple(layers), model.training)
    first, *rest = chain
    parent, _, name = str(first.target).rpartition(".")
    model.get_submodule(parent)._modules[name] = fused.train(model.training)
    rest[-1].replace_all_uses_with(first)
    for node in reversed(rest):
        model.graph.erase_node(node)
