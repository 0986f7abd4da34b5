"""ShuffleNetV2: half of the channels pass each block untouched, and halves are mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import cat, nn
from ...core.tensor import Tensor
from ...nn.functional import channel_shuffle
from .registry import register_model, weights_of_module

__all__ = [
    "ShuffleNetV2",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
]

DEPTHS = (4, 8, 4)
"""Blocks of stages 2 to 4. Source: arXiv:1807.11164, table 5."""


def _pointwise(channels: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
    ]


class InvertedResidual(nn.Module):
    """Two branches whose channels are shuffled: at stride 1 one half as it is, at stride 2 both
    filtered. Source: arXiv:1807.11164, figure 3 (c) and (d)."""

    def __init__(self, inp: int, oup: int, stride: int) -> None:
        super().__init__()
        half = oup // 2
        if stride == 1 and inp != 2 * half:
            raise ValueError(
                f"InvertedResidual: expected as many channels in as out at stride 1. Got {inp} and "
                f"{oup}."
            )
        self.stride = stride
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = nn.Sequential(*_depthwise(inp, stride), *_pointwise(inp, half))
        self.branch2 = nn.Sequential(
            *_pointwise(inp if stride > 1 else half, half),
            *_depthwise(half, stride),
            *_pointwise(half, half),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inp, H, W) -> (N, oup, H / stride, W / stride)."""
        left, right = x.chunk(2, 1) if self.stride == 1 else (x, x)
        return channel_shuffle(cat((self.branch1(left), self.branch2(right)), 1), 2)


class ShuffleNetV2(nn.Module):
    """(N, 3, H, W) -> (N, num_classes): `stages_out_channels` of the stem, three stages and the
    last convolution. Source: arXiv:1807.11164."""

    def __init__(
        self,
        stages_repeats: Sequence[int],
        stages_out_channels: Sequence[int],
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        first, *widths, last = stages_out_channels
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
        )
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        channels = first
        for number, (depth, width) in enumerate(zip(stages_repeats, widths, strict=True), 2):
            blocks = [InvertedResidual(channels, width, 2)]
            blocks += [InvertedResidual(width, width, 1) for _ in range(depth - 1)]
            self.add_module(f"stage{number}", nn.Sequential(*blocks))
            channels = width
        self.conv5 = nn.Sequential(*_pointwise(channels, last))
        self.fc = nn.Linear(last, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.stage4(self.stage3(self.stage2(x))))
        return self.fc(x.mean((2, 3)))


@register_model
def shufflenet_v2_x0_5(**options: Any) -> ShuffleNetV2:
    """ShuffleNetV2, half as wide. Source: arXiv:1807.11164."""
    return ShuffleNetV2(DEPTHS, (24, 48, 96, 192, 1024), **options)


@register_model
def shufflenet_v2_x1_0(**options: Any) -> ShuffleNetV2:
    """ShuffleNetV2. Source: arXiv:1807.11164."""
    return ShuffleNetV2(DEPTHS, (24, 116, 232, 464, 1024), **options)


@register_model
def shufflenet_v2_x1_5(**options: Any) -> ShuffleNetV2:
    """ShuffleNetV2, 1.5 times as wide. Source: arXiv:1807.11164."""
    return ShuffleNetV2(DEPTHS, (24, 176, 352, 704, 1024), **options)


@register_model
def shufflenet_v2_x2_0(**options: Any) -> ShuffleNetV2:
    """ShuffleNetV2, twice as wide. Source: arXiv:1807.11164."""
    return ShuffleNetV2(DEPTHS, (24, 244, 488, 976, 2048), **options)


__getattr__ = weights_of_module(__name__)
