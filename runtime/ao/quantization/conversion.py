"""From a model of numbers to a quantized one, layer by layer: `prepare`, `convert`,
`prepare_qat`, `quantize_dynamic`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ...core import dtypes
from ...nn import modules as nn
from ...nn.modules.module import Module
from ..nn.intrinsic import qat as fused_qat
from ..nn.quantized import FloatFunctional
from .calibration import ObserverBase
from .fake_quantize import FakeQuantizeBase
from .mappings import DYNAMIC, STATIC, TRAINED
from .qconfig import (
    QConfig,
    default_dynamic_qconfig,
    float_qparams_weight_only_qconfig,
)
from .stubs import DeQuantStub, QuantWrapper

__all__ = [
    "add_quant_dequant",
    "convert",
    "prepare",
    "prepare_qat",
    "propagate_qconfig_",
    "quantize",
    "quantize_dynamic",
    "quantize_qat",
    "swap_module",
]

CALIBRATION = "activation_post_process"


def propagate_qconfig_(
    module: Module, qconfig_dict: Any = None, prepare_custom_config_dict: Any = None
) -> None:
    """Give each module below the settings that `qconfig_dict` has for its name or class, or those
    of its own, or else those of the module around it."""
    _propagate(module, qconfig_dict or {}, None, "")


def _propagate(module: Any, given: dict[Any, Any], inherited: Any, name: str) -> None:
    own = getattr(module, "qconfig", inherited)
    own = given.get(name, given.get(type(module), own))
    module.qconfig = own
    for child_name, child in module.named_children():
        if not isinstance(child, ObserverBase | FakeQuantizeBase):
            _propagate(child, given, own, f"{name}.{child_name}" if name else child_name)


def _is_watched(module: Any, classes: Any) -> bool:
    kind = type(module)
    return getattr(module, "qconfig", None) is not None and kind in classes


def _add_calibration(module: Any, classes: Any) -> None:
    """A calibration module after each layer that will be quantized."""
    for child in module.children():
        if isinstance(child, DeQuantStub):
            continue
        if isinstance(child, FloatFunctional):
            if getattr(child, "qconfig", None) is not None:
                child.activation_post_process = child.qconfig.activation()
        elif _is_watched(child, classes):
            watch(child)
        else:
            _add_calibration(child, classes)
    if not list(module.children()) and _is_watched(module, classes):
        watch(module)


def watch(module: Any) -> None:
    """Let a calibration module see the results of `module` from now on."""
    if CALIBRATION in module._modules:
        return
    found = module.qconfig.activation()
    first = next(iter(module.parameters()), None)
    module.add_module(CALIBRATION, found if first is None else found.to(first.device))
    module.register_forward_hook(_seen)


def _seen(module: Any, args: Any, output: Any) -> Any:
    return module.activation_post_process(output)


def _require_settings(name: str, model: Module) -> None:
    if not any(getattr(m, "qconfig", None) is not None for m in model.modules()):
        raise RuntimeError(
            f"{name}: expected a model with settings. Got none. Set model.qconfig = "
            "torch.ao.quantization.get_default_qconfig('x86') before."
        )


def prepare(
    model: Any,
    inplace: bool = False,
    allow_list: Any = None,
    observer_non_leaf_module_list: Any = None,
    prepare_custom_config_dict: Any = None,
) -> Any:
    """The model with a calibration module after each layer that has settings (`qconfig`, its own or
    of a module around it) and will be quantized. Then run representative inputs, and `convert`.

    Raises: RuntimeError for a model without settings.
    """
    _require_settings("prepare", model)
    model = model if inplace else copy.deepcopy(model)
    propagate_qconfig_(model)
    _add_calibration(model, allow_list or STATIC)
    return model


def prepare_qat(model: Any, mapping: Any = None, inplace: bool = False) -> Any:
    """The model with layers that round their weights and results as codes will, for training.
    Then train, call `eval()`, and `convert`.

    Raises: RuntimeError for a model without settings, AssertionError for one in evaluation.
    """
    if not model.training:
        raise AssertionError("prepare_qat: expected a model in training. Call train() before.")
    _require_settings("prepare_qat", model)
    model = model if inplace else copy.deepcopy(model)
    propagate_qconfig_(model)
    mapping = TRAINED if mapping is None else mapping
    swap_all(model, lambda module: trained(module, mapping))
    _add_calibration(model, {*STATIC, *mapping.values()})
    return model


def trained(module: Any, mapping: Any) -> Any:
    """The layer that trains like `module`; None where it has no settings or no counterpart."""
    kind = mapping.get(type(module))
    if kind is None or getattr(module, "qconfig", None) is None:
        return None
    return kind.from_float(module)


def convert(
    module: Any,
    mapping: Any = None,
    inplace: bool = False,
    remove_qconfig: bool = True,
    is_reference: bool = False,
    convert_custom_config_dict: Any = None,
    use_precomputed_fake_quant: bool = False,
) -> Any:
    """The quantized model of a prepared and calibrated one. `mapping`: other classes for layers.

    Raises: RuntimeError for a layer with settings but no calibration.
    """
    module = module if inplace else copy.deepcopy(module)
    mapping = STATIC if mapping is None else mapping
    found = swap_module(module, mapping, {})
    if found is not module:
        return found
    swap_all(module, lambda layer: swap_module(layer, mapping, {}))
    for layer in module.modules():
        _unwatch(layer)
        if remove_qconfig:
            layer.__dict__.pop("qconfig", None)
    return module


def _unwatch(layer: Any) -> None:
    """Take the calibration module from a layer that stays as it is."""
    hooks = layer._forward_hooks
    for key in [k for k, hook in hooks.items() if hook is _seen]:
        del hooks[key]
        del layer._modules[CALIBRATION]


def swap_module(
    mod: Any, mapping: Any, custom_module_class_mapping: Any = None,
    use_precomputed_fake_quant: bool = False,
) -> Any:  # fmt: skip
    """The quantized layer for `mod`, or `mod` itself where it has no settings or no counterpart."""
    kind = mapping.get(type(mod))
    if kind is None or getattr(mod, "qconfig", None) is None:
        return mod
    if isinstance(mod, fused_qat._WithBn):
        mod = _with_settings(mod.folded(), mod)
    hooks = [hook for hook in mod._forward_hooks.values() if hook is not _seen]
    made = kind.from_float(mod)
    for hook in mod._forward_pre_hooks.values():
        made.register_forward_pre_hook(hook)
    for hook in hooks:
        made.register_forward_hook(hook)
    return made


def _with_settings(made: Any, mod: Any) -> Any:
    made.qconfig = mod.qconfig
    return made


def swap_all(model: Module, swapped: Callable[[Any], Any]) -> None:
    """Replace each layer below by what `swapped` gives, where that is another one."""
    for name, child in list(model.named_children()):
        found = swapped(child)
        if found is None or found is child:
            swap_all(child, swapped)
        else:
            model._modules[name] = found


def quantize_dynamic(
    model: Any,
    qconfig_spec: Any = None,
    dtype: dtypes.dtype = dtypes.qint8,
    mapping: Any = None,
    inplace: bool = False,
) -> Any:
    """The model with weights of 8 bits in its linear and recurrent layers, whose inputs are
    quantized as they come: no calibration needed.

    `qconfig_spec`: a class or name of layers, a set of them, or a dict from them to settings; linear
    and recurrent layers unless given. dtype quint8 is for embeddings.
    Raises: ValueError for another dtype.

    Example:
        >>> torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)), {nn.Linear})
        Sequential(
          (0): DynamicQuantizedLinear(in_features=3, out_features=2, dtype=torch.qint8, qscheme=torch.per_tensor_affine)
        )
    """  # noqa: E501
    usual = {
        dtypes.qint8: default_dynamic_qconfig, dtypes.quint8: float_qparams_weight_only_qconfig
    }  # fmt: skip
    if dtype not in usual:
        raise ValueError(
            f"quantize_dynamic: expected dtype torch.qint8, or torch.quint8 for embeddings. Got "
            f"{dtype}. For halves use model.half()."
        )
    if qconfig_spec is None:
        tables = (nn.Embedding, nn.EmbeddingBag)
        chosen = [k for k in DYNAMIC if (k in tables) == (dtype is dtypes.quint8)]
        qconfig_spec = dict.fromkeys(chosen, usual[dtype])
    elif isinstance(qconfig_spec, type | str):
        qconfig_spec = {qconfig_spec: usual[dtype]}
    elif not isinstance(qconfig_spec, dict):
        qconfig_spec = dict.fromkeys(qconfig_spec, usual[dtype])
    model = model if inplace else copy.deepcopy(model)
    model.eval()
    propagate_qconfig_(model, qconfig_spec)
    return convert(model, DYNAMIC if mapping is None else mapping, inplace=True)


def quantize(
    model: Any, run_fn: Any, run_args: Any, mapping: Any = None, inplace: bool = False
) -> Any:
    """`prepare`, `run_fn(model, *run_args)` for calibration, `convert`."""
    model = model if inplace else copy.deepcopy(model)
    model.eval()
    prepare(model, inplace=True)
    run_fn(model, *run_args)
    return convert(model, mapping, inplace=True)


def quantize_qat(model: Any, run_fn: Any, run_args: Any, inplace: bool = False) -> Any:
    """`prepare_qat`, `run_fn(model, *run_args)` for training, `convert`."""
    model = model if inplace else copy.deepcopy(model)
    model.train()
    prepare_qat(model, inplace=True)
    run_fn(model, *run_args)
    model.eval()
    return convert(model, inplace=True)


def add_quant_dequant(module: Any) -> Any:
    """The model with each layer that has settings of its own in a `QuantWrapper`."""
    if not list(module.children()) and isinstance(getattr(module, "qconfig", None), QConfig):
        return QuantWrapper(module)
    for name, child in module.named_children():
        module._modules[name] = add_quant_dequant(child)
    return module
