"""The parts of an ONNX model put together, cleaned and checked."""

from __future__ import annotations

from typing import Any

from .. import fx
from ..export.tracing import Traced
from ..version import __version__
from .builder import Builder, Value, element_type
from .passes import cleaned

__all__ = ["assembled"]


def assembled(
    b: Builder, traced: Traced, inputs: list[fx.Node], outputs: list[tuple[str, fx.Node, Value]]
) -> Any:
    """The onnx.ModelProto of what `b` holds, without nodes and constants that nothing reads."""
    from onnx import helper, numpy_helper

    nodes, constants = cleaned(b, [name for name, _, _ in outputs])
    symbols = _symbols(traced)
    given = [_info(str(n.target), n, symbols) for n in inputs]
    results = [_info(name, node, symbols) for name, node, _ in outputs]
    tensors = [numpy_helper.from_array(a, name) for name, a in constants.items()]
    graph = helper.make_graph(nodes, "main_graph", given, results, tensors)
    opsets = [helper.make_opsetid("", b.opset)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="flambeau")
    model.producer_version = __version__
    model.ir_version = min(model.ir_version, 10)
    return model


def _symbols(traced: Traced) -> dict[tuple[int, ...], str]:
    """Names of open dimensions by their sizes in all runs."""
    found = {}
    for name in traced.opened.all_names():
        k, dim = next(traced.opened.places(name))
        node = [n for n in traced.module.graph.nodes if n.op == "placeholder"][k]
        found[tuple(s[dim] for s in node.meta["shapes"][0])] = name
    return found


def _info(name: str, node: fx.Node, symbols: dict[tuple[int, ...], str]) -> Any:
    """What the model tells of an input or output: open dimensions by name."""
    from onnx import helper

    spec, dims = node.meta["vals"][0], node.meta["dims"][0]
    sizes = list(zip(*node.meta["shapes"][0], strict=True))
    shape = [n if n is not None else symbols.get(tuple(sizes[k])) for k, n in enumerate(dims)]
    shape = [n if n is not None else f"{name}_dim_{k}" for k, n in enumerate(shape)]
    return helper.make_tensor_value_info(name, element_type(spec.dtype), shape)
