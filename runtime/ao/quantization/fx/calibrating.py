"""Calibration modules between the calls of a graph."""

from __future__ import annotations

from typing import Any

from ....fx import GraphModule, Node
from .kinds import Kind, inputs_of, is_calibration, kind_of, relu_of

NAME = "activation_post_process_"


def insert_calibration(model: GraphModule) -> None:
    """A calibration module for the inputs and the result of each call that will be quantized: one
    for all that read a value, and the input's own for results that have its scale."""
    seen: dict[Node, Node] = {}  # by what is watched, the calls of calibration modules
    joined: set[Node] = set()
    for node in model.graph.nodes:
        kind = None if node in joined else kind_of(model, node)
        if kind in (None, Kind.WEIGHTS) or not _computes_with_numbers(model, node, kind):
            continue
        relu = relu_of(model, node) if kind is Kind.ARITHMETIC else None
        last = node if relu is None else relu
        joined.add(last)
        for source in inputs_of(node, kind):
            if is_calibration(model, source) or not source.meta.get("is_number"):
                continue
            if source not in seen:
                seen[source] = _watch(model, source, _made(model, node))
            node.replace_input_with(source, seen[source])
        if last.meta.get("is_number"):
            first = inputs_of(node, kind)[0]
            shares = kind is Kind.SHARING and is_calibration(model, first)
            module = model.get_submodule(str(first.target)) if shares else _made(model, last)
            seen[last] = own = _watch(model, last, module)
            last.replace_all_uses_with(own, lambda user, own=own: user is not own)  # type: ignore[misc]
    model.graph.lint()
    model.recompile()


def _computes_with_numbers(model: GraphModule, node: Node, kind: Any) -> bool:
    """Whether all that the call computes with is of float32, or parts of a tuple."""
    inputs = inputs_of(node, kind)
    numbers = [n for n in inputs if n.meta.get("is_number")]
    return bool(inputs) and (len(numbers) == len(inputs) or kind is Kind.SHARING)


def _made(model: GraphModule, node: Node) -> Any:
    """A calibration module by the settings of `node`, where the model lies."""
    made = node.meta["qconfig"].activation()
    first = next(iter(model.parameters()), None)
    return made if first is None else made.to(first.device)


def _watch(model: GraphModule, source: Node, module: Any) -> Node:
    """A call of the calibration module on the value of `source`, just behind it."""
    k = sum(name.startswith(NAME) for name in model._modules)
    model.add_module(f"{NAME}{k}", module)
    with model.graph.inserting_after(source):
        node = model.graph.call_module(f"{NAME}{k}", (source,))
    node.meta |= {"is_number": True, "scope": source.meta.get("scope", "")}
    return node
