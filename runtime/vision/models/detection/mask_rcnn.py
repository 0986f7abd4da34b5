"""Mask R-CNN: Faster R-CNN that also finds the pixels of each object."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from .... import nn
from ...ops.blocks import Conv2dNormActivation, rename_older
from ...ops.regions import MultiScaleRoIAlign
from ..registry import register_model, weights_of_module
from .faster_rcnn import CLASSES, FasterRCNN, resnet_pyramid, second_parts

__all__ = ["MaskRCNN", "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"]

WIDTH = 256


class MaskRCNN(FasterRCNN):
    """See `FasterRCNN`, whose options it takes; `mask_roi_pool`, `mask_head` and `mask_predictor`
    make the masks of each class. Source: arXiv:1703.06870."""

    def __init__(
        self,
        backbone: Any,
        num_classes: int | None = None,
        *args: Any,
        mask_roi_pool: nn.Module | None = None,
        mask_head: nn.Module | None = None,
        mask_predictor: nn.Module | None = None,
        **options: Any,
    ) -> None:
        if (num_classes is None) == (mask_predictor is None):
            raise ValueError("MaskRCNN: expected either num_classes or mask_predictor.")
        pool = mask_roi_pool or MultiScaleRoIAlign(["0", "1", "2", "3"], 14, 2)
        head = mask_head or MaskRCNNHeads(backbone.out_channels, (WIDTH,) * 4, 1)
        predictor = mask_predictor or MaskRCNNPredictor(WIDTH, WIDTH, num_classes or 0)
        super().__init__(backbone, num_classes, *args, **options)
        self.roi_heads.mask_roi_pool, self.roi_heads.mask_head = pool, head
        self.roi_heads.mask_predictor = predictor


def _he(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class MaskRCNNHeads(nn.Sequential):
    """Pooled maps (K, C, S, S) -> (K, layers[-1], S, S), by 3x3 convolutions."""

    def __init__(
        self,
        in_channels: int,
        layers: Sequence[int],
        dilation: int,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        widths = [in_channels, *layers]
        super().__init__(*[
            Conv2dNormActivation(a, b, 3, 1, dilation, dilation=dilation, norm_layer=norm_layer)
            for a, b in zip(widths, layers, strict=False)
        ])  # fmt: skip
        _he(self)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for k in range(len(self)):
            older = rf"mask_fcn{k + 1}\.(weight|bias)"
            rename_older(state_dict, prefix, older, rf"{k}.0.\1")
        super()._load_from_state_dict(state_dict, prefix, *rest)


class MaskRCNNPredictor(nn.Sequential):
    """(K, in_channels, S, S) -> logits (K, num_classes, 2 S, 2 S)."""

    def __init__(self, in_channels: int, dim_reduced: int, num_classes: int) -> None:
        super().__init__(OrderedDict([
            ("conv5_mask", nn.ConvTranspose2d(in_channels, dim_reduced, 2, 2, 0)),
            ("relu", nn.ReLU(inplace=True)),
            ("mask_fcn_logits", nn.Conv2d(dim_reduced, num_classes, 1, 1, 0)),
        ]))  # fmt: skip
        for name, parameter in self.named_parameters():
            if "weight" in name:
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")


@register_model
def maskrcnn_resnet50_fpn(
    num_classes: int = CLASSES,
    weights_backbone: Any = "IMAGENET1K_V1",
    trainable_backbone_layers: int | None = None,
    trained: bool = False,
    **options: Any,
) -> MaskRCNN:
    """Mask R-CNN over ResNet-50. Source: arXiv:1703.06870."""
    net = resnet_pyramid(weights_backbone, trained, trainable_backbone_layers)
    return MaskRCNN(net, num_classes, **options)


@register_model
def maskrcnn_resnet50_fpn_v2(
    num_classes: int = CLASSES,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    trained: bool = False,
    **options: Any,
) -> MaskRCNN:
    """The same with deeper heads, and norms in all of them. Source: arXiv:2111.11429."""
    how = {"norm": nn.BatchNorm2d, "norm_layer": nn.BatchNorm2d}
    net = resnet_pyramid(weights_backbone, trained, trainable_backbone_layers, **how)
    heads = second_parts()
    heads["mask_head"] = MaskRCNNHeads(net.out_channels, [WIDTH] * 4, 1, nn.BatchNorm2d)
    return MaskRCNN(net, num_classes, **{**heads, **options})


__getattr__ = weights_of_module(__name__)
