"""From a calibrated graph to one of quantized layers and functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ....fx import Graph, GraphModule, Node, map_arg
from ....ops import quantized_arithmetic
from ....ops.quantized import quantize_per_tensor
from ..conversion import CALIBRATION, swap_module
from ..mappings import DYNAMIC, STATIC
from .fusion import function_name
from .kinds import ARITHMETIC, Kind, inputs_of, is_calibration, kind_of, relu_of


def lowered(model: GraphModule) -> GraphModule:
    """The quantized model, of the layers of `model`, which loses them.

    Values are quantized where the first quantized call reads them, and turned into numbers again
    where the first other one does.
    """
    lowering = _Lowering(model)
    for node in model.graph.nodes:
        lowering.take(node)
    made = GraphModule(model, lowering.graph, type(model).__name__)
    for layer in made.modules():
        layer.__dict__.pop("qconfig", None)
    return made.train(model.training)


def _names(model: GraphModule) -> dict[Node, tuple[str, str]]:
    """Names for the scale and the zero point of each watched value, as PyTorch has them: by the
    module that gives it or, of inputs, that reads it."""
    found: dict[Node, tuple[str, str]] = {}
    stems: Counter[str] = Counter()
    for node in model.graph.nodes:
        if is_calibration(model, node):
            (source,) = node.all_input_nodes
            is_input = source.meta.get("qconfig") is None
            at = next(iter(node.users), source) if is_input else source
            path = str(at.target) if at.op == "call_module" else at.meta.get("scope", "")
            stem = path.replace(".", "_") + "_input" * is_input
            found[node] = f"{stem}_scale_{stems[stem]}", f"{stem}_zero_point_{stems[stem]}"
            stems[stem] += 1
    return found


class _Lowering:
    """For each node so far, the new node of its codes, of its numbers, or both; for values that
    are watched, the names of their scale and zero point."""

    def __init__(self, model: GraphModule) -> None:
        self.model = model
        self.graph = Graph()
        self.codes: dict[Node, Node] = {}
        self.numbers: dict[Node, Node] = {}
        self.scales = _names(model)

    def take(self, node: Node) -> None:
        """Add what becomes of the next node."""
        if node.op == "output":
            self.graph.output(map_arg(node.args[0], self._as_numbers))
        elif is_calibration(self.model, node):
            self._take_calibration(node)
        elif node not in self.codes and not self._quantizes(node):
            self.numbers[node] = self.graph.node_copy(node, self._as_numbers)

    # -- values ------------------------------------------------------------------------------------

    def _as_numbers(self, node: Node) -> Node:
        if node not in self.numbers:
            self.numbers[node] = self.graph.call_method("dequantize", (self.codes[node],))
        return self.numbers[node]

    def _as_codes(self, node: Node) -> Node:
        if node not in self.codes:
            dtype = self.model.get_submodule(str(node.target)).dtype
            given = (self.numbers[node], *self._steps(node), dtype)
            self.codes[node] = self.graph.call_function(quantize_per_tensor, given)
        return self.codes[node]

    def _has_codes(self, node: Node) -> bool:
        return node in self.codes or (node in self.scales and node in self.numbers)

    def _take_calibration(self, node: Node) -> None:
        (source,) = node.all_input_nodes
        if source in self.codes:
            self.codes[node] = self.codes[source]
        else:
            self.numbers[node] = self._as_numbers(source)

    def _steps(self, node: Node) -> list[Node]:
        """The scale and the zero point of what `node` watches, buffers of the model."""
        observer: Any = self.model.get_submodule(str(node.target))
        found = zip(self.scales[node], observer.calculate_qparams(), strict=True)
        for name, value in found:
            self.model.register_buffer(name, value.reshape(-1)[0].clone())
        return [self.graph.get_attr(name) for name in self.scales[node]]

    # -- calls -------------------------------------------------------------------------------------

    def _quantizes(self, node: Node) -> bool:
        """Add the quantized call for `node`, if there is one."""
        kind = kind_of(self.model, node)
        if kind is None:
            return False
        if kind is Kind.WEIGHTS:
            self.numbers[node] = self._layer(node, DYNAMIC, self._as_numbers)
            return True
        inputs = inputs_of(node, kind)
        if not inputs or not all(self._has_codes(n) for n in inputs):
            return False

        def value(n: Node) -> Node:
            return self._as_codes(n) if n in inputs else self._as_numbers(n)

        if kind in (Kind.SHARING, Kind.KNOWN_RANGE):
            self.codes[node] = self.graph.node_copy(node, value)
            return True
        relu = relu_of(self.model, node) if kind is Kind.ARITHMETIC else None
        last = node if relu is None else relu
        seen = next((n for n in last.users if is_calibration(self.model, n)), None)
        if seen is None:
            return False
        if kind is Kind.LAYER:
            layer: Any = self.model.get_submodule(str(node.target))
            layer.activation_post_process = self.model.get_submodule(str(seen.target))
            self.codes[node] = self._layer(node, STATIC, value)
        else:
            self.codes[last] = self.codes[node] = self._arithmetic(node, relu is not None, seen)
        return True

    def _layer(self, node: Node, classes: Any, value: Callable[[Node], Node]) -> Node:
        """A call of the quantized layer, which takes the place of the one that `node` calls."""
        parent, _, name = str(node.target).rpartition(".")
        holder: Any = self.model.get_submodule(parent)
        made = swap_module(holder._modules[name], classes)
        for module in made.modules():
            module._modules.pop(CALIBRATION, None)
        holder._modules[name] = made
        return self.graph.node_copy(node, value)

    def _arithmetic(self, node: Node, has_relu: bool, seen: Node) -> Node:
        name = ARITHMETIC[function_name(node)]
        values = map_arg(node.args, self._as_codes)
        values, dims = (values[:1], values[1:]) if name == "cat" else (values, ())
        function = getattr(quantized_arithmetic, f"quantized_{name}" + "_relu" * has_relu)
        given = (*values, *self._steps(seen), *dims)
        return self.graph.call_function(function, given, node.kwargs, name=node.name)
