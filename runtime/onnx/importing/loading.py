"""`torch.onnx.load`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ... import fx
from ...core import dtypes
from ...core.creation import as_tensor
from ...core.tensor import Tensor
from ...export.tracing import rooted
from ..builder import OnnxExporterError
from ..exporting import require_onnx
from . import (  # noqa: F401
    elementwise,
    layers,
    movement,
    norms,
    products,
    recurrent,
    reductions,
    resampling,
    searching,
)
from .control import Branch, if_, loop
from .registry import OPERATORS

__all__ = ["OnnxImportError", "load"]

DOMAINS = ("", "ai.onnx")
STATISTICS = {"BatchNormalization": (3, 4)}
"""Inputs that are no parameters, by their place."""
LARGEST_LIST = 64
"""Integers up to which constants that say how are written into the graph."""


class OnnxImportError(OnnxExporterError):
    """An ONNX model with something that cannot be done here."""


def load(f: str | os.PathLike[str] | bytes | Any) -> fx.GraphModule:
    """The model in an ONNX file (or its bytes, or an `onnx.ModelProto`) as a module.

    It takes the model's inputs, by position or by name, and returns its output, or a tuple of them.
    Weights are parameters under their names in the file, other constants buffers; the module
    trains, moves to other devices, prints its Python (`.code`) and is exported like any other.

    Raises: OnnxImportError for operators that are not known here, ImportError without the package
    `onnx`.

    Example:
        >>> program = torch.onnx.export(torch.nn.Linear(3, 2), (torch.ones(4, 3),))
        >>> model = torch.onnx.load(program.model_proto)
        >>> model(torch.ones(4, 3)).shape, [name for name, _ in model.named_parameters()]
        (torch.Size([4, 2]), ['weight', 'bias'])
    """
    require_onnx()
    import onnx

    if isinstance(f, bytes):
        proto = onnx.load_model_from_string(f)
    else:
        proto = f if isinstance(f, onnx.ModelProto) else onnx.load_model(os.fspath(f))
    if proto.functions:
        from onnx import inliner

        proto = inliner.inline_local_functions(proto)
    _require_known(proto.graph)
    opset = max([o.version for o in proto.opset_import if o.domain in DOMAINS], default=1)
    reader = _Reader(opset)
    graph = reader.graph_of(proto.graph, {})
    held = rooted(reader.attributes, reader.parameters)
    for name, branch in reader.branches.items():
        held.add_module(name, branch)
    module = fx.GraphModule(held, graph, _identifier(proto.graph.name) or "OnnxModule")
    return module.eval()  # type: ignore[no-any-return]


def _identifier(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_")) if name.isidentifier() else ""


def _require_known(graph: Any) -> None:
    """Raises: OnnxImportError with all operators that there are no functions for."""
    unknown = sorted(
        {f"{n.domain}.{n.op_type}".strip(".") for n in _all_nodes(graph) if not _is_known(n)}
    )
    if unknown:
        raise OnnxImportError(
            f"torch.onnx.load: expected operators that are known here. Got {', '.join(unknown)}."
        )


def _is_known(node: Any) -> bool:
    return node.domain in DOMAINS and (
        node.op_type in OPERATORS or node.op_type in ("Constant", "If", "Loop")
    )


def _all_nodes(graph: Any) -> Iterable[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _all_nodes(attribute.g)


class _Reader:
    """Writes the graph of a model, and gathers what it reads."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.attributes: dict[str, Tensor] = {}
        self.parameters: set[str] = set()
        self.branches: dict[str, Branch] = {}

    def graph_of(self, proto: Any, outer: dict[str, Any]) -> fx.Graph:
        """The fx graph of an ONNX one; `outer` are values of the graphs around it."""
        scope = _Scope(self, proto, outer)
        for node in proto.node:
            scope.add(node)
        results = [scope.value(o.name) for o in proto.output]
        scope.graph.output(results[0] if len(results) == 1 else tuple(results))
        return scope.graph


class _Scope:
    """One graph, whose values are known by name."""

    def __init__(self, reader: _Reader, proto: Any, outer: dict[str, Any]) -> None:
        self.reader, self.graph = reader, fx.Graph()
        self.values: dict[str, Any] = {}
        self.constants: dict[str, Any] = {t.name: _array(t) for t in proto.initializer}
        self.uses = _statistics(proto)
        self.outer = outer
        for info in proto.input:
            if info.name not in self.constants:
                self.values[info.name] = self.graph.placeholder(info.name)

    def value(self, name: str) -> Any:
        """The node of a value; one from around the graph becomes an input of it."""
        if not name:
            return None
        found = self.values.get(name)
        if found is None and name in self.constants:
            found = self.values[name] = self._attribute(name)
        if found is None:
            if name not in self.outer:
                raise OnnxImportError(f"torch.onnx.load: nothing in the file is called {name!r}.")
            found = self.outer[name]
        return found

    def _attribute(self, name: str) -> fx.Node:
        """A node that reads a constant, which is a parameter if it is a weight."""
        array = self.constants[name]
        tensor = as_tensor(array)
        path = name if all(name.split(".")) else name.replace(".", "_")
        taken = self.reader.attributes
        while path in taken or any(p.startswith(f"{path}.") for p in taken):
            path += "_"
        taken[path] = tensor
        if tensor.is_floating_point() and tensor.ndim and name not in self.uses:
            self.reader.parameters.add(path)
        return self.graph.get_attr(path)

    def add(self, node: Any) -> None:
        """The node that does what an ONNX node does."""
        if node.op_type == "Constant":
            self.constants[node.output[0]] = _constant(node)
            return
        if node.op_type in ("If", "Loop"):
            self._add_branches(node)
            return
        function = OPERATORS[node.op_type]
        signature = inspect.signature(function)
        inputs = self._inputs(node, signature)
        options = _attributes(node)
        if "opset" in signature.parameters:
            options["opset"] = self.reader.opset
        if "outputs" in signature.parameters:
            options["outputs"] = len(node.output)
        self._finish(node, self._call(function, inputs, options, signature, node))

    def _call(
        self, function: Callable[..., Any], inputs: list[Any], options: dict[str, Any],
        signature: inspect.Signature, node: Any,
    ) -> fx.Node:  # fmt: skip
        try:
            signature.bind(*inputs, **options)
        except TypeError as error:
            raise OnnxImportError(
                f"torch.onnx.load: {node.op_type} ({node.name or node.output[0]}) of opset "
                f"{self.reader.opset}: {error}."
            ) from None
        return self.graph.call_function(function, tuple(inputs), options, name=node.output[0])

    def _inputs(self, node: Any, signature: inspect.Signature) -> list[Any]:
        kinds = [p.annotation for p in signature.parameters.values()]
        found = []
        for k, name in enumerate(node.input):
            array = self.constants.get(name)
            says_how = k < len(kinds) and "Sizes" in str(kinds[k])
            if says_how and array is not None and array.size <= LARGEST_LIST:
                found.append([int(n) for n in array.reshape(-1)])
            else:
                found.append(self.value(name))
        return found

    def _finish(self, node: Any, made: fx.Node) -> None:
        """Note the results under their names."""
        if len(node.output) == 1:
            self.values[node.output[0]] = made
            return
        for k, name in enumerate(node.output):
            if name:
                self.values[name] = self.graph.call_function(_part, (made, k), name=name)

    def _add_branches(self, node: Any) -> None:
        """If and Loop: their graphs are modules, and read what they need from around them."""
        branches = {}
        for attribute in node.attribute:
            needed = _needed(attribute.g)
            around = {n: self.value(n) for n in needed}
            branch = self._branch(attribute.g, list(around))
            path = f"{attribute.name}_{len(self.reader.branches)}"
            self.reader.branches[path] = branch
            branches[attribute.name] = self.graph.get_attr(path), tuple(around.values())
        inputs = tuple(self.value(n) for n in node.input)
        function = if_ if node.op_type == "If" else loop
        made = self.graph.call_function(function, inputs, branches, name=node.output[0])
        self._finish(node, made)

    def _branch(self, proto: Any, needed: list[str]) -> Branch:
        reader = _Reader(self.reader.opset)
        scope = _Scope(reader, proto, {})
        for name in needed:
            scope.values[name] = scope.graph.placeholder(f"around_{name}")
        for node in proto.node:
            scope.add(node)
        scope.graph.output(tuple(scope.value(o.name) for o in proto.output))
        held = rooted(reader.attributes, reader.parameters)
        for name, branch in reader.branches.items():
            held.add_module(name, branch)
        return fx.GraphModule(held, scope.graph)


def _part(results: Any, index: int) -> Any:
    """One of several results; None for one that the operator left out."""
    return results[index] if index < len(results) else None


def _needed(graph: Any) -> list[str]:
    """Names that a graph reads and does not make."""
    made = {i.name for i in graph.input} | {t.name for t in graph.initializer} | {""}
    found: dict[str, None] = {}
    for node in graph.node:
        inner = [n for a in node.attribute if a.HasField("g") for n in _needed(a.g)]
        for name in [*node.input, *inner]:
            if name not in made:
                found[name] = None
        made.update(node.output)
    for output in graph.output:
        if output.name not in made:
            found[output.name] = None
    return list(found)


def _statistics(graph: Any) -> set[str]:
    """Names of floating-point constants that are no parameters."""
    found = set()
    for node in graph.node:
        for k in STATISTICS.get(node.op_type, ()):
            if k < len(node.input):
                found.add(node.input[k])
    return found


def _array(tensor: Any) -> Any:
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor)
    if array.dtype.kind in "OUS":
        raise OnnxImportError(f"torch.onnx.load: {tensor.name} holds strings, not numbers.")
    return np.array(array)


def _constant(node: Any) -> Any:
    from onnx import helper

    (attribute,) = node.attribute
    if attribute.name == "value":
        return _array(attribute.t)
    value = helper.get_attribute_value(attribute)
    if attribute.name not in ("value_int", "value_ints", "value_float", "value_floats"):
        raise OnnxImportError(f"torch.onnx.load: a Constant by {attribute.name} is no number.")
    return np.asarray(value, np.int64 if "int" in attribute.name else np.float32)


def _attributes(node: Any) -> dict[str, Any]:
    """The attributes as Python values; tensors as tensors, element types as dtypes."""
    from onnx import helper

    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif attribute.HasField("t"):
            value = as_tensor(_array(attribute.t))
        elif attribute.name in ("to", "dtype") and isinstance(value, int):
            value = dtypes.from_numpy(np.dtype(helper.tensor_dtype_to_np_dtype(value)))
        elif isinstance(value, list) and value and isinstance(value[0], bytes):
            value = [v.decode() for v in value]
        found[attribute.name] = value
    return found
