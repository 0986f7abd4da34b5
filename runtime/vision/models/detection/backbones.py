"""Classifiers as the first part of a detector: their maps, by a feature pyramid."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .... import nn
from ....core.tensor import Tensor
from ...ops.blocks import FrozenBatchNorm2d
from ...ops.feature_pyramid_network import (
    ExtraFPNBlock,
    FeaturePyramidNetwork,
    LastLevelMaxPool,
)
from ..feature_extraction import IntermediateLayerGetter
from ..registry import backbone_of

__all__ = ["BackboneWithFPN", "mobilenet_backbone", "resnet_fpn_backbone"]

Norm = Callable[..., nn.Module]
OUT = 256
RESNET_STAGES = ("layer4", "layer3", "layer2", "layer1", "conv1")


class BackboneWithFPN(nn.Module):
    """Images -> maps of `out_channels` each, by name: those of `return_layers` through a pyramid,
    and what `extra_blocks` adds."""

    def __init__(
        self,
        backbone: nn.Module,
        return_layers: Mapping[str, str],
        in_channels_list: Sequence[int],
        out_channels: int,
        extra_blocks: ExtraFPNBlock | None = None,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        self.body = IntermediateLayerGetter(backbone, return_layers)
        self.fpn = FeaturePyramidNetwork(
            in_channels_list, out_channels, extra_blocks or LastLevelMaxPool(), norm_layer
        )
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) -> maps by name, from fine to coarse."""
        return self.fpn(self.body(x))


def trainable_layers(trained: bool, given: int | None, most: int, usual: int = 3) -> int:
    """How many stages, from the last on, may learn: all of a backbone that has learned nothing."""
    if not trained:
        if given is not None and given != most:
            warnings.warn(
                f"trainable_backbone_layers={given} holds back stages of a backbone with weights "
                "alone: this one has none, and all of it will learn.",
                stacklevel=3,
            )
        return most
    count = usual if given is None else given
    if not 0 <= count <= most:
        raise ValueError(f"trainable_backbone_layers: expected 0 to {most}. Got {given}.")
    return count


def with_pyramid(
    backbone: Any,
    trainable: int,
    returned_layers: Sequence[int] = (1, 2, 3, 4),
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: Norm | None = None,
) -> BackboneWithFPN:
    """A ResNet of which the last `trainable` of five stages learn, with a pyramid over the stages
    `returned_layers`."""
    if not 0 <= trainable <= 5 or not all(1 <= k <= 4 for k in returned_layers):
        raise ValueError(
            "resnet_fpn_backbone: expected 0 to 5 trainable layers and returned layers of 1 to 4. "
            f"Got {trainable} and {list(returned_layers)}."
        )
    learns = (*RESNET_STAGES[:trainable], *(("bn1",) if trainable == 5 else ()))
    for name, parameter in backbone.named_parameters():
        if not name.startswith(learns or ("-",)):
            parameter.requires_grad_(False)
    names = {f"layer{k}": str(v) for v, k in enumerate(returned_layers)}
    channels = [backbone.inplanes // 8 * 2 ** (k - 1) for k in returned_layers]
    return BackboneWithFPN(backbone, names, channels, OUT, extra_blocks, norm_layer)


def resnet_fpn_backbone(
    *,
    backbone_name: str,
    weights: Any = None,
    norm_layer: Norm = FrozenBatchNorm2d,
    trainable_layers: int = 3,
    returned_layers: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
) -> BackboneWithFPN:
    """The ResNet of that name with a pyramid; of its five stages the last `trainable_layers`
    learn."""
    net = backbone_of(backbone_name, weights, norm_layer=norm_layer)
    return with_pyramid(net, trainable_layers, returned_layers or (1, 2, 3, 4), extra_blocks)


def stages_of(layers: Any) -> list[int]:
    """The places of the layers of a MobileNet that begin its stages, and of the last one."""
    begins = [k for k, layer in enumerate(layers) if getattr(layer, "begins_stage", False)]
    return [0, *begins, len(layers) - 1]


def mobilenet_with_pyramid(backbone: Any, trainable: int, fpn: bool = True) -> Any:
    """The layers of a MobileNet of which the last `trainable` stages learn, with a pyramid over the
    last two, or a 1x1 convolution behind them."""
    layers = backbone.features
    stages = stages_of(layers)
    if not 0 <= trainable <= len(stages):
        raise ValueError(
            f"mobilenet_backbone: expected 0 to {len(stages)} trainable layers. Got {trainable}."
        )
    first = stages[len(stages) - trainable] if trainable else len(layers)
    for layer in layers[:first]:
        layer.requires_grad_(False)
    if not fpn:
        out = nn.Sequential(layers, nn.Conv2d(layers[-1].out_channels, OUT, 1))
        out.out_channels = OUT
        return out
    names = {str(place): str(k) for k, place in enumerate(stages[-2:])}
    channels = [layers[place].out_channels for place in stages[-2:]]
    return BackboneWithFPN(layers, names, channels, OUT)


def mobilenet_backbone(
    *,
    backbone_name: str,
    fpn: bool,
    weights: Any = None,
    norm_layer: Norm = FrozenBatchNorm2d,
    trainable_layers: int = 2,
) -> Any:
    """The MobileNet of that name, see `mobilenet_with_pyramid`."""
    net = backbone_of(backbone_name, weights, norm_layer=norm_layer)
    return mobilenet_with_pyramid(net, trainable_layers, fpn)
