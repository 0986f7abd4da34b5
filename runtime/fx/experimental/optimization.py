"""Graphs made faster for inference."""

from __future__ import annotations

import copy
from typing import Any

from ... import nn
from ...nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from ..graph_module import GraphModule
from ..tracer import symbolic_trace

__all__ = ["fuse", "remove_dropout"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


def fuse(model: nn.Module, inplace: bool = False, no_trace: bool = False) -> GraphModule:
    """The model, in `eval()`, with batch norms folded into the convolutions and linear layers
    before them. `no_trace` says that it is a GraphModule already.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
        >>> from flambeau.fx.experimental.optimization import fuse
        >>> [type(m).__name__ for m in fuse(net).children()]
        ['Conv2d']
    """
    given = model if inplace else copy.deepcopy(model)
    traced: Any = given if no_trace else symbolic_trace(given)
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        source = node.args[0] if isinstance(norm, NORMS) else None
        if norm is None or getattr(source, "op", "") != "call_module" or len(source.users) > 1:
            continue
        layer = modules[str(source.target)]
        calls = traced.graph.find_nodes(op="call_module", target=source.target)
        if not isinstance(layer, (*CONVOLUTIONS, nn.Linear)) or len(calls) > 1:
            continue
        if norm.training or norm.running_mean is None:
            continue
        fold = fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval
        fused: Any = fold(layer, norm)
        modules[str(source.target)] = fused
        traced.add_submodule(str(source.target), fused)
        node.replace_all_uses_with(source)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def remove_dropout(model: nn.Module) -> GraphModule:
    """The model with its dropout layers taken out."""
    traced = symbolic_trace(model)
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        is_module = node.op == "call_module"
        if is_module and isinstance(modules[str(node.target)], DROPOUTS):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced
