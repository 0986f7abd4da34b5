"""SqueezeNet: few channels between wide ones."""

from __future__ import annotations

from typing import Any

from ... import cat, flatten, nn
from ...core.tensor import Tensor
from .registry import register_model, weights_of_module

__all__ = ["SqueezeNet", "squeezenet1_0", "squeezenet1_1"]

STEMS = {"1_0": (96, 7), "1_1": (64, 3)}
"""Channels and side of the first convolution."""
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
"""Squeezed channels, and each of the two expanded ones. Source: arXiv:1602.07360, table 1."""
POOLED = {"1_0": (0, 3, 7), "1_1": (0, 2, 4)}
"""Before which fires maps are halved."""


class Fire(nn.Module):
    """A 1x1 convolution to few channels, and a 1x1 and a 3x3 one side by side."""

    def __init__(self, inplanes: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inplanes, squeezed, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inplanes, H, W) -> (N, 2 expanded, H, W)."""
        x = self.squeeze_activation(self.squeeze(x))
        near = self.expand1x1_activation(self.expand1x1(x))
        return cat((near, self.expand3x3_activation(self.expand3x3(x))), 1)


class SqueezeNet(nn.Module):
    """(N, 3, H, W) -> (N, num_classes). Source: arXiv:1602.07360; version 1.1 pools earlier."""

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        if version not in STEMS:
            raise ValueError(f"SqueezeNet: expected version 1_0 or 1_1. Got {version!r}.")
        channels, side = STEMS[version]
        layers: list[nn.Module] = [nn.Conv2d(3, channels, side, stride=2), nn.ReLU(inplace=True)]
        for k, (squeezed, expanded) in enumerate(FIRES):
            if k in POOLED[version]:
                layers.append(nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True))
            layers.append(Fire(channels, squeezed, expanded))
            channels = 2 * expanded
        self.num_classes = num_classes
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(channels, num_classes, 1)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), last, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if module is last:
                    nn.init.normal_(module.weight, 0.0, 0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        return flatten(self.classifier(self.features(x)), 1)


@register_model
def squeezenet1_0(**options: Any) -> SqueezeNet:
    """SqueezeNet 1.0. Source: arXiv:1602.07360."""
    return SqueezeNet("1_0", **options)


@register_model
def squeezenet1_1(**options: Any) -> SqueezeNet:
    """SqueezeNet 1.1, as exact with less than half the work."""
    return SqueezeNet("1_1", **options)


__getattr__ = weights_of_module(__name__)
