"""What makes an ONNX graph smaller without changing what it computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .builder import Builder

__all__ = ["cleaned"]


def cleaned(b: Builder, outputs: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """The nodes that outputs depend on and the constants they read, after the rewriting."""
    nodes = _deduplicated(b.nodes, outputs)
    if b.folds:
        nodes = _fold_batch_norms(nodes, b)
    nodes = _without_identities(nodes, outputs)
    nodes = _live(nodes, outputs)
    read = {name for node in nodes for name in node.input}
    return nodes, {name: a for name, a in b.constants.items() if name in read}


def _live(nodes: list[Any], outputs: list[str]) -> list[Any]:
    wanted, found = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]


def _deduplicated(nodes: list[Any], outputs: list[str]) -> list[Any]:
    """Equal nodes once, such as the shape of one tensor asked for in many places."""
    known: dict[Any, Any] = {}
    renamed: dict[str, str] = {}
    found = []
    for node in nodes:
        node.input[:] = [renamed.get(n, n) for n in node.input]
        attributes = sorted(a.SerializeToString() for a in node.attribute)
        key = (node.op_type, len(node.output), *node.input, *attributes)
        first = known.get(key)
        if first is None or set(node.output) & set(outputs):
            known.setdefault(key, node)
            found.append(node)
        else:
            renamed.update(zip(node.output, first.output, strict=True))
    return found


def _without_identities(nodes: list[Any], outputs: list[str]) -> list[Any]:
    """Readers read the source; an output's name goes to the node that makes it, where no other
    output has it."""
    renamed: dict[str, str] = {}
    kept = []
    for node in nodes:
        if node.op_type == "Identity" and node.output[0] not in outputs:
            renamed[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    for node in kept:
        node.input[:] = [_last(renamed, n) for n in node.input]
    makers = {name for node in kept if node.op_type != "Identity" for name in node.output}
    final: dict[str, str] = {}
    for node in [n for n in kept if n.op_type == "Identity"]:
        source = node.input[0]
        if source in makers and source not in final and source not in outputs:
            final[source] = node.output[0]
            kept.remove(node)
    for node in kept:
        node.input[:] = [final.get(n, n) for n in node.input]
        node.output[:] = [final.get(n, n) for n in node.output]
    return kept


def _last(renamed: dict[str, str], name: str) -> str:
    while name in renamed:
        name = renamed[name]
    return name


def _fold_batch_norms(nodes: list[Any], b: Builder) -> list[Any]:
    """Conv, then BatchNormalization: the factors go into the weight, the rest into the bias."""
    constants = b.constants
    makers = {name: node for node in nodes for name in node.output}
    readers: dict[str, int] = {}
    for node in nodes:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    found = []
    for node in nodes:
        conv = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if (
            conv is None
            or conv.op_type != "Conv"
            or readers[node.input[0]] > 1
            or not all(n in constants for n in [*node.input[1:], *conv.input[1:]])
        ):
            found.append(node)
            continue
        _fold(node, conv, b)
    return found


def _fold(norm: Any, conv: Any, b: Builder) -> None:
    """w' = w * scale, b' = (b - mean) * scale + shift; in float64, kept in the weight's type."""
    constants = b.constants
    scale, shift, mean, var = (constants[n].astype(np.float64) for n in norm.input[1:])
    epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
    weight = constants[conv.input[1]]
    bias = constants[conv.input[2]] if len(conv.input) > 2 else np.zeros(len(weight))
    factor = scale / np.sqrt(var + epsilon)
    wide = weight.astype(np.float64) * factor.reshape(-1, *[1] * (weight.ndim - 1))
    stem = conv.input[1].removesuffix("weight")
    names = [b.unused(f"{stem}weight.folded"), b.unused(f"{stem}bias.folded")]
    constants[names[0]] = wide.astype(weight.dtype)
    constants[names[1]] = ((bias - mean) * factor + shift).astype(weight.dtype)
    conv.input[:] = [conv.input[0], *names]
    conv.output[:] = [norm.output[0]]
