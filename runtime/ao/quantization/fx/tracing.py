"""Graphs of models to be quantized: where each call stands, and what it gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ....autograd.grad_mode import no_grad
from ....core import dtypes
from ....core.tensor import Tensor
from ....fx import GraphModule, Interpreter, Node, Tracer
from ....nn.modules.container import Sequential
from ....nn.modules.module import Module
from ...nn.intrinsic.fused import _FusedModule
from ...nn.quantized import FloatFunctional, FXFloatFunctional
from ..qconfig_mapping import QConfigMapping
from .custom_config import PrepareCustomConfig

LEAVES = ("flambeau.nn", "flambeau.ao.nn")
"""Where the layers are whose calls stay calls."""


class QuantizationTracer(Tracer):
    """Notes with each node the name of the module in which it stands, as `meta["scope"]`."""

    def __init__(self, config: PrepareCustomConfig) -> None:
        super().__init__()
        self.config = config
        self._scopes = [""]

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a call of `m` stays one: of layers, and of what shall not be traced."""
        if isinstance(m, FXFloatFunctional):
            return False
        kept = tuple(self.config.non_traceable_module_classes)
        is_kept = isinstance(m, kept) or (
            module_qualified_name in self.config.non_traceable_module_names
        )
        is_layer = type(m).__module__.startswith(LEAVES)
        is_chain = isinstance(m, Sequential) and not isinstance(m, _FusedModule)
        return is_kept or (is_layer and not is_chain)

    def call_module(
        self, m: Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What a call of `m` gives."""
        self._scopes.append(self.path_of_module(m))
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self._scopes.pop()

    def create_node(self, kind: str, target: Any, *args: Any, **options: Any) -> Node:
        """A node that knows where it stands."""
        node = super().create_node(kind, target, *args, **options)
        leaves = kind == "call_module" and self._scopes[-1] == target
        node.meta["scope"] = self._scopes[-2 if leaves else -1]
        return node


def traced(model: Module, config: PrepareCustomConfig) -> GraphModule:
    """The model as a graph of layers and functions, sums by `FloatFunctional` among these."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is FloatFunctional:
                parent._modules[name] = FXFloatFunctional()
    graph = QuantizationTracer(config).trace(model)
    made = GraphModule(model, graph, type(model).__name__)
    made.train(model.training)
    keep_attributes(model, made, config.preserved_attributes)
    return made


def keep_attributes(model: Any, made: Any, names: list[str]) -> None:
    """Give `made` the attributes of `model` that its graph does not read."""
    for name in names:
        if hasattr(model, name):
            setattr(made, name, getattr(model, name))


def note_settings(model: GraphModule, mapping: QConfigMapping) -> None:
    """The `QConfig` of each call as `meta["qconfig"]`."""
    counts: Counter[Any] = Counter()
    for node in model.graph.nodes:
        if not node.op.startswith("call_"):
            continue
        scope = node.meta.get("scope", "")
        if node.op == "call_module":
            name, kinds = node.target, (type(model.get_submodule(node.target)),)
        else:
            name = scope
            kinds = (node.target, getattr(node.target, "__name__", node.target))
        index = counts[scope, kinds[0]]
        counts[scope, kinds[0]] += 1
        node.meta["qconfig"] = mapping.lookup(name, scope, kinds, index)


class _Values(Interpreter):
    """Notes which nodes give tensors of float32."""

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        n.meta["is_number"] = isinstance(value, Tensor) and value.dtype is dtypes.float32
        return value


def note_values(model: GraphModule, example_inputs: tuple[Any, ...]) -> None:
    """Run the model once, in evaluation, to see which nodes give numbers: `meta["is_number"]`."""
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        with no_grad():
            _Values(model).run(*example_inputs)
    finally:
        for module in training:
            module.training = True
