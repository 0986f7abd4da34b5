"""Fully convolutional networks: a classifier of every place of the maps, enlarged to the image."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from .... import nn
from ....core.tensor import Tensor
from ....nn.functional import interpolate
from ..feature_extraction import IntermediateLayerGetter
from ..registry import backbone_of, register_model, weights_of_module

__all__ = ["FCN", "fcn_resnet50", "fcn_resnet101"]


class SegmentationModel(nn.Module):
    """(N, 3, H, W) -> {"out": (N, num_classes, H, W)}: the maps `out` of the backbone's dict
    through the classifier, enlarged; and `aux`, through one of its own, if there is one."""

    def __init__(
        self, backbone: nn.Module, classifier: nn.Module, aux_classifier: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.backbone, self.classifier = backbone, classifier
        self.aux_classifier = aux_classifier

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits by the names out and aux."""
        size = x.shape[-2:]
        maps = self.backbone(x)
        results = OrderedDict(out=self.classifier(maps["out"]))
        if self.aux_classifier is not None:
            results["aux"] = self.aux_classifier(maps["aux"])
        for name, logits in results.items():
            results[name] = interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return results


class FCN(SegmentationModel):
    """See `SegmentationModel`. Source: arXiv:1411.4038."""


class FCNHead(nn.Sequential):
    """A 3x3 convolution to a quarter of the channels, and the classes of each place."""

    def __init__(self, in_channels: int, channels: int) -> None:
        hidden = in_channels // 4
        super().__init__(
            nn.Conv2d(in_channels, hidden, 3, padding=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(hidden, channels, 1),
        )


def dilated_resnet(name: str, weights: Any, aux_loss: bool | None) -> IntermediateLayerGetter:
    """A ResNet whose maps end at an eighth of the image: `out`, and `aux` of the stage before."""
    net = backbone_of(name, weights, replace_stride_with_dilation=[False, True, True])
    return IntermediateLayerGetter(
        net, {"layer4": "out", **({"layer3": "aux"} if aux_loss else {})}
    )


def _fcn(name: str, num_classes: int, aux_loss: bool | None, weights_backbone: Any) -> FCN:
    backbone = dilated_resnet(name, weights_backbone, aux_loss)
    aux = FCNHead(1024, num_classes) if aux_loss else None
    return FCN(backbone, FCNHead(2048, num_classes), aux)


@register_model
def fcn_resnet50(
    num_classes: int = 21, aux_loss: bool | None = None, weights_backbone: Any = "IMAGENET1K_V1"
) -> FCN:
    """FCN over ResNet-50. Source: arXiv:1411.4038."""
    return _fcn("resnet50", num_classes, aux_loss, weights_backbone)


@register_model
def fcn_resnet101(
    num_classes: int = 21, aux_loss: bool | None = None, weights_backbone: Any = "IMAGENET1K_V1"
) -> FCN:
    """FCN over ResNet-101. Source: arXiv:1411.4038."""
    return _fcn("resnet101", num_classes, aux_loss, weights_backbone)


__getattr__ = weights_of_module(__name__)
