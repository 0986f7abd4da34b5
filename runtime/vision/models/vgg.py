"""VGG: 3x3 convolutions alone, with and without batch norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import flatten, nn
from ...core.tensor import Tensor
from .initialization import he_normal
from .registry import register_model, weights_of_module

__all__ = [
    "VGG",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the five stages, each of which ends by pooling."""
DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each stage, by the number of layers. Source: arXiv:1409.1556, table 1."""
SIDE = 7  # of the maps that the classifier sees
HIDDEN = 4096


def make_layers(cfg: Sequence[int | str], batch_norm: bool = False) -> nn.Sequential:
    """Convolutions of the widths in `cfg`, halving height and width at each "M"."""
    layers: list[nn.Module] = []
    channels = 3
    for width in cfg:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers.append(nn.Conv2d(channels, width, 3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(width))
        layers.append(nn.ReLU(inplace=True))
        channels = width
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """(N, 3, H, W) -> (N, num_classes), H and W at least 32. Source: arXiv:1409.1556."""

    def __init__(
        self,
        features: nn.Module,
        num_classes: int = 1000,
        init_weights: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((SIDE, SIDE))
        self.classifier = nn.Sequential(
            nn.Linear(WIDTHS[-1] * SIDE**2, HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, num_classes),
        )
        if init_weights:
            he_normal(self, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        return self.classifier(flatten(self.avgpool(self.features(x)), 1))


def _vgg(layers: int, batch_norm: bool, options: dict[str, Any]) -> VGG:
    cfg: list[int | str] = []
    for width, depth in zip(WIDTHS, DEPTHS[layers], strict=True):
        cfg += [*[width] * depth, "M"]
    return VGG(make_layers(cfg, batch_norm), **options)


@register_model
def vgg11(**options: Any) -> VGG:
    """VGG-11. Source: arXiv:1409.1556, table 1, A."""
    return _vgg(11, False, options)


@register_model
def vgg11_bn(**options: Any) -> VGG:
    """VGG-11 with batch norm."""
    return _vgg(11, True, options)


@register_model
def vgg13(**options: Any) -> VGG:
    """VGG-13. Source: arXiv:1409.1556, table 1, B."""
    return _vgg(13, False, options)


@register_model
def vgg13_bn(**options: Any) -> VGG:
    """VGG-13 with batch norm."""
    return _vgg(13, True, options)


@register_model
def vgg16(**options: Any) -> VGG:
    """VGG-16. Source: arXiv:1409.1556, table 1, D."""
    return _vgg(16, False, options)


@register_model
def vgg16_bn(**options: Any) -> VGG:
    """VGG-16 with batch norm."""
    return _vgg(16, True, options)


@register_model
def vgg19(**options: Any) -> VGG:
    """VGG-19. Source: arXiv:1409.1556, table 1, E."""
    return _vgg(19, False, options)


@register_model
def vgg19_bn(**options: Any) -> VGG:
    """VGG-19 with batch norm."""
    return _vgg(19, True, options)


__getattr__ = weights_of_module(__name__)
