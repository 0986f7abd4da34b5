"""LR-ASPP: a light head over maps of two sizes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from .... import nn
from ....core.tensor import Tensor
from ....nn.functional import interpolate
from ..feature_extraction import IntermediateLayerGetter
from ..registry import register_model, weights_of_module
from .deeplabv3 import dilated_mobilenet

__all__ = ["LRASPP", "lraspp_mobilenet_v3_large"]


class LRASPPHead(nn.Module):
    """Classes by fine maps plus classes by coarse ones, which the mean of these weighs."""

    def __init__(
        self, low_channels: int, high_channels: int, num_classes: int, inter_channels: int
    ) -> None:
        super().__init__()
        self.cbr = nn.Sequential(
            nn.Conv2d(high_channels, inter_channels, 1, bias=False),
            nn.BatchNorm2d(inter_channels),
            nn.ReLU(inplace=True),
        )
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(high_channels, inter_channels, 1, bias=False),
            nn.Sigmoid(),
        )
        self.low_classifier = nn.Conv2d(low_channels, num_classes, 1)
        self.high_classifier = nn.Conv2d(inter_channels, num_classes, 1)

    def forward(self, input: dict[str, Tensor]) -> Tensor:
        """Maps `low` (fine) and `high` (coarse) -> (N, num_classes, H, W) of the fine ones."""
        low, high = input["low"], input["high"]
        x = self.cbr(high) * self.scale(high)
        x = interpolate(x, size=low.shape[-2:], mode="bilinear", align_corners=False)
        return self.low_classifier(low) + self.high_classifier(x)


class LRASPP(nn.Module):
    """(N, 3, H, W) -> {"out": (N, num_classes, H, W)}; the backbone gives maps `low` and `high`.
    Source: arXiv:1905.02244, figure 10."""

    def __init__(
        self,
        backbone: nn.Module,
        low_channels: int,
        high_channels: int,
        num_classes: int,
        inter_channels: int = 128,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = LRASPPHead(low_channels, high_channels, num_classes, inter_channels)

    def forward(self, input: Tensor) -> dict[str, Tensor]:
        """Logits by the name out."""
        logits = self.classifier(self.backbone(input))
        size = input.shape[-2:]
        return OrderedDict(out=interpolate(logits, size=size, mode="bilinear", align_corners=False))


@register_model
def lraspp_mobilenet_v3_large(
    num_classes: int = 21, weights_backbone: Any = "IMAGENET1K_V1", **options: Any
) -> LRASPP:
    """LR-ASPP over MobileNetV3, large. Source: arXiv:1905.02244."""
    layers, fine, coarse = dilated_mobilenet(weights_backbone)
    channels = [layers[int(name)].out_channels for name in (fine, coarse)]
    backbone = IntermediateLayerGetter(layers, {fine: "low", coarse: "high"})
    return LRASPP(backbone, *channels, num_classes, **options)


__getattr__ = weights_of_module(__name__)
