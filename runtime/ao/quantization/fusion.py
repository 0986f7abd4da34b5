"""Joining layers with the normalization and the ReLU that follow them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ...nn import modules as nn
from ...nn.modules.linear import Identity
from ...nn.modules.module import Module
from ...nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from ..nn import intrinsic

__all__ = ["fuse_modules", "fuse_modules_qat"]

Layers = tuple[Any, ...]


def _kind(name: str, *layers: Module) -> Any:
    rank = type(layers[0]).__name__[-2]
    return getattr(intrinsic, f"{name}{rank}d")


def _conv_bn(layers: Layers, training: bool) -> Module:
    if training:
        return _kind("ConvBn", *layers)(*layers)
    return fuse_conv_bn_eval(*layers)


def _conv_bn_relu(layers: Layers, training: bool) -> Module:
    if training:
        return _kind("ConvBnReLU", *layers)(*layers)
    return _kind("ConvReLU", *layers)(fuse_conv_bn_eval(*layers[:2]), layers[2])


def _conv_relu(layers: Layers, training: bool) -> Module:
    return _kind("ConvReLU", *layers)(*layers)


def _transposed_bn(layers: Layers, training: bool) -> Module:
    if training:
        raise NotImplementedError(
            "fuse_modules_qat: expected a convolution that is not transposed, as these do not "
            "train with rounded weights. Fuse it after training, with fuse_modules."
        )
    return fuse_conv_bn_eval(*layers, transpose=True)


def _linear_bn(layers: Layers, training: bool) -> Module:
    return intrinsic.LinearBn1d(*layers) if training else fuse_linear_bn_eval(*layers)


def _linear_relu(layers: Layers, training: bool) -> Module:
    return intrinsic.LinearReLU(*layers)


def _bn_relu(layers: Layers, training: bool) -> Module:
    return _kind("BNReLU", *layers)(*layers)


CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
RULES = (
    ((CONVOLUTIONS, NORMALIZATIONS, nn.ReLU), _conv_bn_relu),
    ((CONVOLUTIONS, NORMALIZATIONS), _conv_bn),
    ((CONVOLUTIONS, nn.ReLU), _conv_relu),
    ((TRANSPOSED, NORMALIZATIONS), _transposed_bn),
    ((nn.Linear, nn.BatchNorm1d), _linear_bn),
    ((nn.Linear, nn.ReLU), _linear_relu),
    (((nn.BatchNorm2d, nn.BatchNorm3d), nn.ReLU), _bn_relu),
)
"""Classes of layers in a row, and what joins them."""


def _join_of(layers: Sequence[Any]) -> Any:
    """What joins layers of these classes; None where nothing does."""
    for kinds, join in RULES:
        if len(kinds) == len(layers) and all(
            isinstance(layer, kind) for layer, kind in zip(layers, kinds, strict=True)
        ):
            return join
    return None


def is_joinable(layers: Sequence[Any]) -> bool:
    """Whether `joined` takes layers of these classes."""
    return _join_of(layers) is not None


def joined(layers: Layers, training: bool) -> Module:
    """The layers as one. Raises: AssertionError for another mode, NotImplementedError for others
    than `RULES` name."""
    modes = {layer.training for layer in layers}
    if modes != {training}:
        wanted = "train() and fuse_modules_qat" if training else "eval()"
        raise AssertionError(
            f"fuse_modules: expected layers in {'training' if training else 'evaluation'}. Call "
            f"{wanted} before{'' if training else ', or fuse_modules_qat for training'}."
        )
    join = _join_of(layers)
    if join is not None:
        return join(layers, training)
    found = ", ".join(type(layer).__name__ for layer in layers)
    raise NotImplementedError(
        "fuse_modules: expected a convolution with BatchNorm, ReLU or both, a Linear with "
        f"BatchNorm1d or ReLU, or BatchNorm and ReLU, in that order. Got {found}."
    )


def _fuse(model: Module, names: list[str], training: bool) -> None:
    layers = [model.get_submodule(name) for name in names]
    hooks = layers[0]._forward_pre_hooks
    fused: Any = joined(tuple(layers), training)
    fused.training = training
    for hook in hooks.values():
        fused.register_forward_pre_hook(hook)
    for hook in layers[-1]._forward_hooks.values():
        fused.register_forward_hook(hook)
    if hasattr(layers[0], "qconfig"):
        fused.qconfig = layers[0].qconfig
    for name, layer in zip(names, [fused, *(Identity() for _ in names[1:])], strict=True):
        parent, _, last = name.rpartition(".")
        layer.training = training
        model.get_submodule(parent)._modules[last] = layer


def _fused(model: Any, modules_to_fuse: Any, inplace: bool, training: bool) -> Any:
    model = model if inplace else copy.deepcopy(model)
    groups = modules_to_fuse
    if groups and isinstance(groups[0], str):
        groups = [groups]
    for names in groups:
        _fuse(model, list(names), training)
    return model


def fuse_modules(
    model: Any,
    modules_to_fuse: Any,
    inplace: bool = False,
    fuser_func: Any = None,
    fuse_custom_config_dict: Any = None,
) -> Any:
    """The model with the layers named in each list joined: the first becomes the fused one, the
    others `nn.Identity`. Normalizations are folded into the weights, so the model is in evaluation.

    Raises: NotImplementedError for layers that are not to be joined, AssertionError for a model in
    training (use `fuse_modules_qat`), AttributeError for names that are not there.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()
        >>> torch.ao.quantization.fuse_modules(net, ["0", "1"])
        Sequential(
          (0): LinearReLU(
            (0): Linear(in_features=2, out_features=2, bias=True)
            (1): ReLU()
          )
          (1): Identity()
        )
    """
    return _fused(model, modules_to_fuse, inplace, False)


def fuse_modules_qat(
    model: Any,
    modules_to_fuse: Any,
    inplace: bool = False,
    fuser_func: Any = None,
    fuse_custom_config_dict: Any = None,
) -> Any:
    """The same for a model in training: normalizations stay, to be trained on."""
    return _fused(model, modules_to_fuse, inplace, True)
