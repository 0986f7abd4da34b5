"""DeepLabV3: maps read at several scales at once by convolutions with holes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .... import cat, nn
from ....core.tensor import Tensor
from ....nn.functional import interpolate
from ..feature_extraction import IntermediateLayerGetter
from ..registry import backbone_of, register_model, weights_of_module
from .fcn import FCNHead, SegmentationModel, dilated_resnet

__all__ = [
    "DeepLabV3", "deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "deeplabv3_resnet101",
]  # fmt: skip

WIDTH = 256
RATES = (12, 24, 36)
"""Steps between the pixels that a convolution reads. Source: arXiv:1706.05587, section 4.1, for
maps at an eighth of the image."""


class DeepLabV3(SegmentationModel):
    """See `SegmentationModel`. Source: arXiv:1706.05587."""


def _layers(channels: int, out: int, side: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation if side > 1 else 0
    conv = nn.Conv2d(channels, out, side, padding=padding, dilation=dilation, bias=False)
    return [conv, nn.BatchNorm2d(out), nn.ReLU()]


class ASPPPooling(nn.Sequential):
    """The mean of the maps through a 1x1 convolution, at every place."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *_layers(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        mean = super().forward(x)
        return interpolate(mean, size=x.shape[-2:], mode="bilinear", align_corners=False)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 convolution, 3x3 ones with holes, and the mean, joined.
    Source: arXiv:1706.05587, section 3.3."""

    def __init__(
        self, in_channels: int, atrous_rates: Sequence[int], out_channels: int = WIDTH
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList([
            nn.Sequential(*_layers(in_channels, out_channels, 1)),
            *(nn.Sequential(*_layers(in_channels, out_channels, 3, r)) for r in atrous_rates),
            ASPPPooling(in_channels, out_channels),
        ])  # fmt: skip
        joined = len(self.convs) * out_channels
        self.project = nn.Sequential(*_layers(joined, out_channels, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        return self.project(cat([conv(x) for conv in self.convs], 1))


class DeepLabHead(nn.Sequential):
    """ASPP, a 3x3 convolution, and the classes of each place."""

    def __init__(
        self, in_channels: int, num_classes: int, atrous_rates: Sequence[int] = RATES
    ) -> None:
        super().__init__(
            ASPP(in_channels, atrous_rates),
            *_layers(WIDTH, WIDTH, 3),
            nn.Conv2d(WIDTH, num_classes, 1),
        )


def _deeplab(name: str, num_classes: int, aux_loss: bool | None, weights: Any) -> DeepLabV3:
    backbone = dilated_resnet(name, weights, aux_loss)
    aux = FCNHead(1024, num_classes) if aux_loss else None
    return DeepLabV3(backbone, DeepLabHead(2048, num_classes), aux)


@register_model
def deeplabv3_resnet50(
    num_classes: int = 21, aux_loss: bool | None = None, weights_backbone: Any = "IMAGENET1K_V1"
) -> DeepLabV3:
    """DeepLabV3 over ResNet-50. Source: arXiv:1706.05587."""
    return _deeplab("resnet50", num_classes, aux_loss, weights_backbone)


@register_model
def deeplabv3_resnet101(
    num_classes: int = 21, aux_loss: bool | None = None, weights_backbone: Any = "IMAGENET1K_V1"
) -> DeepLabV3:
    """DeepLabV3 over ResNet-101. Source: arXiv:1706.05587."""
    return _deeplab("resnet101", num_classes, aux_loss, weights_backbone)


@register_model
def deeplabv3_mobilenet_v3_large(
    num_classes: int = 21, aux_loss: bool | None = None, weights_backbone: Any = "IMAGENET1K_V1"
) -> DeepLabV3:
    """DeepLabV3 over MobileNetV3, large. Source: arXiv:1905.02244, section 6.4."""
    layers, fine, coarse = dilated_mobilenet(weights_backbone)
    names = {coarse: "out", **({fine: "aux"} if aux_loss else {})}
    aux = FCNHead(layers[int(fine)].out_channels, num_classes) if aux_loss else None
    head = DeepLabHead(layers[int(coarse)].out_channels, num_classes)
    return DeepLabV3(IntermediateLayerGetter(layers, names), head, aux)


def dilated_mobilenet(weights: Any) -> tuple[Any, str, str]:
    """The layers of a MobileNetV3 whose maps end at a sixteenth of the image, and the names of
    those that make maps at an eighth, and the last ones."""
    layers: Any = backbone_of("mobilenet_v3_large", weights, dilated=True).features
    begins = [k for k, layer in enumerate(layers) if getattr(layer, "begins_stage", False)]
    return layers, str(begins[-3]), str(len(layers) - 1)


__getattr__ = weights_of_module(__name__)
