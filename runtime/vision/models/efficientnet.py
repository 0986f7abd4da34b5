"""EfficientNet: depth, width and resolution scaled together; and its second version."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from ... import flatten, nn
from ...core.tensor import Tensor
from ..ops.blocks import Conv2dNormActivation, SqueezeExcitation
from ..ops.dropping import StochasticDepth
from .initialization import divisible
from .registry import register_model, weights_of_module

__all__ = [
    "EfficientNet",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
]

Norm = Callable[..., nn.Module]


class Stage(NamedTuple):
    """Expansion, side of the kernel, stride of the first block, channels, blocks, and whether they
    are fused: a full convolution instead of one by channels behind a 1x1 one."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    depth: int
    fused: bool = False


B0 = (
    Stage(1, 3, 1, 16, 1), Stage(6, 3, 2, 24, 2), Stage(6, 5, 2, 40, 2), Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3), Stage(6, 5, 2, 192, 4), Stage(6, 3, 1, 320, 1),
)  # fmt: skip
"""Source: arXiv:1905.11946, table 1."""
V2_S = (
    Stage(1, 3, 1, 24, 2, True), Stage(4, 3, 2, 48, 4, True), Stage(4, 3, 2, 64, 4, True),
    Stage(4, 3, 2, 128, 6), Stage(6, 3, 1, 160, 9), Stage(6, 3, 2, 256, 15),
)  # fmt: skip
"""Source: arXiv:2104.00298, table 4."""
V2_M = (
    Stage(1, 3, 1, 24, 3, True), Stage(4, 3, 2, 48, 5, True), Stage(4, 3, 2, 80, 5, True),
    Stage(4, 3, 2, 160, 7), Stage(6, 3, 1, 176, 14), Stage(6, 3, 2, 304, 18),
    Stage(6, 3, 1, 512, 5),
)  # fmt: skip
V2_L = (
    Stage(1, 3, 1, 32, 4, True), Stage(4, 3, 2, 64, 7, True), Stage(4, 3, 2, 96, 7, True),
    Stage(4, 3, 2, 192, 10), Stage(6, 3, 1, 224, 19), Stage(6, 3, 2, 384, 25),
    Stage(6, 3, 1, 640, 7),
)  # fmt: skip
SQUEEZED_TO = 4  # the share of a block's input channels that squeeze and excitation has


def _filters(channels: int, stage: Stage, stride: int, norm_layer: Norm) -> list[nn.Module]:
    """The layers of a block."""
    how: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": nn.SiLU}
    plain = {**how, "activation_layer": None}
    width = divisible(channels * stage.expansion)
    if stage.fused:
        if width == channels:
            return [Conv2dNormActivation(channels, stage.channels, stage.kernel, stride, **how)]
        return [
            Conv2dNormActivation(channels, width, stage.kernel, stride, **how),
            Conv2dNormActivation(width, stage.channels, 1, **plain),
        ]
    expanding = [] if width == channels else [Conv2dNormActivation(channels, width, 1, **how)]
    squeezed = max(1, channels // SQUEEZED_TO)
    return [
        *expanding,
        Conv2dNormActivation(width, width, stage.kernel, stride, groups=width, **how),
        SqueezeExcitation(width, squeezed, activation=partial(nn.SiLU, inplace=True)),
        Conv2dNormActivation(width, stage.channels, 1, **plain),
    ]


class MBConv(nn.Module):
    """An inverted residual with squeeze and excitation, or fused; as a residual it is sometimes
    left out in training. Source: arXiv:1905.11946; arXiv:2104.00298, figure 2."""

    def __init__(
        self, channels: int, stage: Stage, stride: int, drop: float, norm_layer: Norm
    ) -> None:
        super().__init__()
        self.use_res_connect = stride == 1 and channels == stage.channels
        self.block = nn.Sequential(*_filters(channels, stage, stride, norm_layer))
        self.stochastic_depth = StochasticDepth(drop, "row")
        self.out_channels = stage.channels

    def forward(self, input: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, out_channels, H / stride, W / stride)."""
        result = self.block(input)
        if self.use_res_connect:
            result = self.stochastic_depth(result)
            result += input
        return result


class EfficientNet(nn.Module):
    """(N, 3, H, W) -> (N, num_classes): a stem as wide as `first_channel`, `stages` of blocks, a
    1x1 convolution to `last_channel` (four times the last stage's), a linear layer."""

    def __init__(
        self,
        stages: Sequence[Stage],
        first_channel: int,
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Norm | None = None,
        last_channel: int | None = None,
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        how: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": nn.SiLU}
        channels = first_channel
        layers: list[nn.Module] = [Conv2dNormActivation(3, channels, stride=2, **how)]
        count, done = sum(stage.depth for stage in stages), 0
        for stage in stages:
            blocks = []
            for k in range(stage.depth):
                drop = stochastic_depth_prob * done / count
                stride = stage.stride if k == 0 else 1
                blocks.append(MBConv(channels, stage, stride, drop, norm_layer))
                channels, done = stage.channels, done + 1
            layers.append(nn.Sequential(*blocks))
        last = last_channel or 4 * channels
        layers.append(Conv2dNormActivation(channels, last, 1, **how))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout, inplace=True), nn.Linear(last, num_classes)
        )
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                reach = 1 / math.sqrt(module.out_features)
                nn.init.uniform_(module.weight, -reach, reach)
            else:
                continue
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        return self.classifier(flatten(self.avgpool(self.features(x)), 1))


def _scaled(width: float, depth: float, dropout: float, options: dict[str, Any]) -> EfficientNet:
    """B0 with its channels times `width` and its blocks times `depth`."""
    stages = [
        stage._replace(
            channels=divisible(stage.channels * width), depth=math.ceil(stage.depth * depth)
        )
        for stage in B0
    ]
    return EfficientNet(stages, divisible(32 * width), **{"dropout": dropout, **options})


def _second(stages: Sequence[Stage], dropout: float, options: dict[str, Any]) -> EfficientNet:
    norm = partial(nn.BatchNorm2d, eps=1e-3)
    given = {"dropout": dropout, "norm_layer": norm, "last_channel": 1280, **options}
    return EfficientNet(stages, stages[0].channels, **given)


def _slow_norm(options: dict[str, Any]) -> dict[str, Any]:
    """The largest of the first version average their statistics over more batches."""
    return {"norm_layer": partial(nn.BatchNorm2d, eps=0.001, momentum=0.01), **options}


@register_model
def efficientnet_b0(**options: Any) -> EfficientNet:
    """EfficientNet B0. Source: arXiv:1905.11946."""
    return _scaled(1.0, 1.0, 0.2, options)


@register_model
def efficientnet_b1(**options: Any) -> EfficientNet:
    """EfficientNet B1. Source: arXiv:1905.11946."""
    return _scaled(1.0, 1.1, 0.2, options)


@register_model
def efficientnet_b2(**options: Any) -> EfficientNet:
    """EfficientNet B2. Source: arXiv:1905.11946."""
    return _scaled(1.1, 1.2, 0.3, options)


@register_model
def efficientnet_b3(**options: Any) -> EfficientNet:
    """EfficientNet B3. Source: arXiv:1905.11946."""
    return _scaled(1.2, 1.4, 0.3, options)


@register_model
def efficientnet_b4(**options: Any) -> EfficientNet:
    """EfficientNet B4. Source: arXiv:1905.11946."""
    return _scaled(1.4, 1.8, 0.4, options)


@register_model
def efficientnet_b5(**options: Any) -> EfficientNet:
    """EfficientNet B5. Source: arXiv:1905.11946."""
    return _scaled(1.6, 2.2, 0.4, _slow_norm(options))


@register_model
def efficientnet_b6(**options: Any) -> EfficientNet:
    """EfficientNet B6. Source: arXiv:1905.11946."""
    return _scaled(1.8, 2.6, 0.5, _slow_norm(options))


@register_model
def efficientnet_b7(**options: Any) -> EfficientNet:
    """EfficientNet B7. Source: arXiv:1905.11946."""
    return _scaled(2.0, 3.1, 0.5, _slow_norm(options))


@register_model
def efficientnet_v2_s(**options: Any) -> EfficientNet:
    """EfficientNetV2, small. Source: arXiv:2104.00298."""
    return _second(V2_S, 0.2, options)


@register_model
def efficientnet_v2_m(**options: Any) -> EfficientNet:
    """EfficientNetV2, medium. Source: arXiv:2104.00298."""
    return _second(V2_M, 0.3, options)


@register_model
def efficientnet_v2_l(**options: Any) -> EfficientNet:
    """EfficientNetV2, large. Source: arXiv:2104.00298."""
    return _second(V2_L, 0.4, options)


__getattr__ = weights_of_module(__name__)
