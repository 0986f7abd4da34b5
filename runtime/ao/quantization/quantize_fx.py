"""Quantization of models as they are, by tracing: `prepare_fx`, run inputs, `convert_fx`.

No stubs, no lists of layers to join, no `FloatFunctional`: layers, sums and joins are found in a
graph. Parts that Python decides on by values stay out by `PrepareCustomConfig`.
"""

from __future__ import annotations

import copy
from typing import Any

from ...core.tensor import Tensor
from ...fx import GraphModule
from ...nn.modules.module import Module
from .conversion import swap_all, trained
from .fx.calibrating import insert_calibration
from .fx.custom_config import ConvertCustomConfig, FuseCustomConfig, PrepareCustomConfig
from .fx.fusion import fuse_graph
from .fx.kinds import Kind, is_calibration, kind_of
from .fx.lowering import lowered
from .fx.tracing import keep_attributes, note_settings, note_values, traced
from .mappings import TRAINED
from .qconfig_mapping import QConfigMapping

__all__ = ["convert_fx", "fuse_fx", "prepare_fx", "prepare_qat_fx"]


def fuse_fx(
    model: Module,
    fuse_custom_config: FuseCustomConfig | None = None,
    backend_config: Any = None,
) -> GraphModule:
    """The model as a graph, with normalizations folded into the convolutions and linear layers
    before them, and these joined with their ReLU.

    Raises: AssertionError for a model in training, TraceError for one that cannot be traced.
    """
    _require_mode("fuse_fx", model, False)
    made = traced(copy.deepcopy(model), _prepared_config("fuse_fx", fuse_custom_config))
    fuse_graph(made)
    return made


def prepare_fx(
    model: Module,
    qconfig_mapping: QConfigMapping | dict[str, Any],
    example_inputs: Any,
    prepare_custom_config: PrepareCustomConfig | None = None,
    _equalization_config: Any = None,
    backend_config: Any = None,
) -> GraphModule:
    """The model as a graph with calibration modules where values will be quantized. Then run
    representative inputs, and `convert_fx`. `model` itself stays as it is.

    `example_inputs` are arguments of one call, a tuple, by which it is seen what gives numbers.
    Raises: AssertionError for a model in training, TraceError for one that cannot be traced.

    Example:
        >>> from flambeau.ao.quantization import get_default_qconfig_mapping
        >>> from flambeau.ao.quantization.quantize_fx import convert_fx, prepare_fx
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
        >>> x = torch.randn(1, 1, 8, 8)
        >>> prepared = prepare_fx(net, get_default_qconfig_mapping("x86"), (x,))
        >>> _ = prepared(x)
        >>> converted = convert_fx(prepared)
    """
    _require_mode("prepare_fx", model, False)
    return _prepared("prepare_fx", model, qconfig_mapping, example_inputs, prepare_custom_config)


def prepare_qat_fx(
    model: Module,
    qconfig_mapping: QConfigMapping | dict[str, Any],
    example_inputs: Any,
    prepare_custom_config: PrepareCustomConfig | None = None,
    backend_config: Any = None,
) -> GraphModule:
    """The same for training: with layers that round their weights, and modules that round results.
    Then train, call `eval()`, and `convert_fx`.

    Raises: AssertionError for a model in evaluation, TraceError for one that cannot be traced.
    """
    name = "prepare_qat_fx"
    _require_mode(name, model, True)
    return _prepared(name, model, qconfig_mapping, example_inputs, prepare_custom_config)


def _prepared(
    name: str, model: Module, settings: Any, example_inputs: Any, custom_config: Any
) -> GraphModule:
    mapping = QConfigMapping.from_dict(settings) if isinstance(settings, dict) else settings
    if not isinstance(mapping, QConfigMapping):
        raise TypeError(
            f"{name}: expected a QConfigMapping. Got {type(mapping).__name__}. Use "
            "get_default_qconfig_mapping('x86'), or QConfigMapping().set_global(qconfig)."
        )
    made = traced(copy.deepcopy(model), _prepared_config(name, custom_config))
    note_settings(made, mapping)
    one = isinstance(example_inputs, Tensor)
    note_values(made, (example_inputs,) if one else tuple(example_inputs))
    fuse_graph(made)
    for node in made.graph.nodes:
        if node.op == "call_module" and kind_of(made, node) in (Kind.LAYER, Kind.WEIGHTS):
            made.get_submodule(str(node.target)).qconfig = node.meta["qconfig"]
    if made.training:
        swap_all(made, lambda module: trained(module, TRAINED))
    insert_calibration(made)
    return made


def convert_fx(
    graph_module: GraphModule,
    convert_custom_config: ConvertCustomConfig | None = None,
    _remove_qconfig: bool = True,
    qconfig_mapping: Any = None,
    backend_config: Any = None,
) -> GraphModule:
    """The quantized model of a prepared and calibrated one, which stays as it is.

    Its state has PyTorch's names, so that state dicts of either load into the other's models.
    Raises: TypeError for what `prepare_fx` has not made.
    """
    is_graph = isinstance(graph_module, GraphModule)
    if not is_graph or not any(
        is_calibration(graph_module, n) or n.meta.get("qconfig") for n in graph_module.graph.nodes
    ):
        raise TypeError(
            "convert_fx: expected a model from prepare_fx or prepare_qat_fx, with something to be "
            f"quantized. Got {type(graph_module).__name__}. Prepare it with "
            "get_default_qconfig_mapping('x86')."
        )
    made = lowered(copy.deepcopy(graph_module))
    if convert_custom_config is not None:
        keep_attributes(graph_module, made, convert_custom_config.preserved_attributes)
    return made


def _require_mode(name: str, model: Module, training: bool) -> None:
    if model.training != training:
        wanted, call = ("training", "train") if training else ("evaluation", "eval")
        other = "prepare_fx" if training else "prepare_qat_fx"
        raise AssertionError(
            f"{name}: expected a model in {wanted}. Call {call}() before, or {other} instead."
        )


def _prepared_config(name: str, given: Any) -> PrepareCustomConfig:
    """What users said, as settings for tracing."""
    made = PrepareCustomConfig()
    if isinstance(given, PrepareCustomConfig):
        return given
    if isinstance(given, FuseCustomConfig):
        return made.set_preserved_attributes(given.preserved_attributes)
    if given is not None:
        raise TypeError(
            f"{name}: expected a PrepareCustomConfig. Got {type(given).__name__}. See "
            "torch.ao.quantization.fx.custom_config."
        )
    return made
