"""AlexNet, in the form of its second paper."""

from __future__ import annotations

from typing import Any

from ... import flatten, nn
from ...core.tensor import Tensor
from .registry import register_model, weights_of_module

__all__ = ["AlexNet", "alexnet"]

CONVOLUTIONS = ((3, 64, 11, 4, 2, True), (64, 192, 5, 1, 2, True), (192, 384, 3, 1, 1, False),
                (384, 256, 3, 1, 1, False), (256, 256, 3, 1, 1, True))  # fmt: skip
"""Channels in and out, side of the kernel, stride, padding, and whether pooling follows."""
SIDE = 6  # of the maps that the classifier sees
HIDDEN = 4096


class AlexNet(nn.Module):
    """(N, 3, H, W) -> (N, num_classes), H and W at least 63. Source: arXiv:1404.5997."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, out, kernel, stride, padding, pools in CONVOLUTIONS:
            layers += [nn.Conv2d(channels, out, kernel, stride, padding), nn.ReLU(inplace=True)]
            if pools:
                layers.append(nn.MaxPool2d(kernel_size=3, stride=2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((SIDE, SIDE))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(CONVOLUTIONS[-1][1] * SIDE**2, HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(HIDDEN, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        return self.classifier(flatten(self.avgpool(self.features(x)), 1))


@register_model
def alexnet(**options: Any) -> AlexNet:
    """AlexNet. Source: arXiv:1404.5997."""
    return AlexNet(**options)


__getattr__ = weights_of_module(__name__)
