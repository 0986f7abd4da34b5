"""MobileNetV2: inverted residuals with linear bottlenecks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import flatten, nn
from ...core.tensor import Tensor
from ...nn.functional import adaptive_avg_pool2d
from ..ops.blocks import Conv2dNormActivation
from .initialization import divisible, he_normal
from .registry import register_model, weights_of_module

__all__ = ["MobileNetV2", "mobilenet_v2"]

SETTING = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
           (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
"""Expansion, channels, blocks and stride of each stage. Source: arXiv:1801.04381, table 2."""
FIRST, LAST = 32, 1280


class InvertedResidual(nn.Module):
    """Channels expanded, filtered one by one, and projected back without an activation; plus the
    input where shapes are the same. Source: arXiv:1801.04381, table 1."""

    def __init__(
        self,
        inp: int,
        oup: int,
        stride: int,
        expand_ratio: float,
        norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"InvertedResidual: expected stride 1 or 2. Got {stride}.")
        how: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": nn.ReLU6}
        width = round(inp * expand_ratio)
        layers = [] if expand_ratio == 1 else [Conv2dNormActivation(inp, width, 1, **how)]
        self.conv = nn.Sequential(
            *layers,
            Conv2dNormActivation(width, width, stride=stride, groups=width, **how),
            nn.Conv2d(width, oup, 1, bias=False),
            norm_layer(oup),
        )
        self.use_res_connect = stride == 1 and inp == oup
        self.stride, self.out_channels = stride, oup

    def forward(self, x: Tensor) -> Tensor:
        """(N, inp, H, W) -> (N, oup, H / stride, W / stride)."""
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """(N, 3, H, W) -> (N, num_classes); all channels times `width_mult`, in multiples of
    `round_nearest`. Source: arXiv:1801.04381."""

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] = SETTING,
        round_nearest: int = 8,
        block: Callable[..., nn.Module] = InvertedResidual,
        norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        how: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": nn.ReLU6}
        channels = divisible(FIRST * width_mult, round_nearest)
        self.last_channel = divisible(LAST * max(1.0, width_mult), round_nearest)
        layers: list[nn.Module] = [Conv2dNormActivation(3, channels, stride=2, **how)]
        for expansion, width, depth, stride in inverted_residual_setting:
            out = divisible(width * width_mult, round_nearest)
            for k in range(depth):
                step = stride if k == 0 else 1
                layers.append(block(channels, out, step, expansion, norm_layer=norm_layer))
                channels = out
        layers.append(Conv2dNormActivation(channels, self.last_channel, 1, **how))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.last_channel, num_classes)
        )
        he_normal(self, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        return self.classifier(flatten(adaptive_avg_pool2d(self.features(x), (1, 1)), 1))


@register_model
def mobilenet_v2(**options: Any) -> MobileNetV2:
    """MobileNetV2. Source: arXiv:1801.04381."""
    return MobileNetV2(**options)


__getattr__ = weights_of_module(__name__)
