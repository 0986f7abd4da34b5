"""MobileNetV3: inverted residuals with squeeze and excitation, found by search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from ... import flatten, nn
from ...core.tensor import Tensor
from ..ops.blocks import Conv2dNormActivation, SqueezeExcitation
from .initialization import divisible, he_normal
from .registry import register_model, weights_of_module

__all__ = ["MobileNetV3", "mobilenet_v3_large", "mobilenet_v3_small"]


class Row(NamedTuple):
    """A row of tables 1 and 2 of arXiv:1905.02244: side of the kernel, expanded and resulting
    channels, squeeze and excitation or not, hard swish or ReLU, and the stride."""

    kernel: int
    expanded: int
    out: int
    squeezes: bool
    swish: bool
    stride: int


LARGE = (
    Row(3, 16, 16, False, False, 1), Row(3, 64, 24, False, False, 2),
    Row(3, 72, 24, False, False, 1), Row(5, 72, 40, True, False, 2),
    Row(5, 120, 40, True, False, 1), Row(5, 120, 40, True, False, 1),
    Row(3, 240, 80, False, True, 2), Row(3, 200, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1), Row(3, 184, 80, False, True, 1),
    Row(3, 480, 112, True, True, 1), Row(3, 672, 112, True, True, 1),
    Row(5, 672, 160, True, True, 2), Row(5, 960, 160, True, True, 1),
    Row(5, 960, 160, True, True, 1),
)  # fmt: skip
SMALL = (
    Row(3, 16, 16, True, False, 2), Row(3, 72, 24, False, False, 2),
    Row(3, 88, 24, False, False, 1), Row(5, 96, 40, True, True, 2), Row(5, 240, 40, True, True, 1),
    Row(5, 240, 40, True, True, 1), Row(5, 120, 48, True, True, 1), Row(5, 144, 48, True, True, 1),
    Row(5, 288, 96, True, True, 2), Row(5, 576, 96, True, True, 1), Row(5, 576, 96, True, True, 1),
)  # fmt: skip
FIRST, LAST_EXPANSION, SQUEEZED_TO = 16, 6, 4
TAIL = 3
"""The last rows, whose stride `dilated` turns into dilation and whose channels `reduced_tail`
halves."""


class InvertedResidual(nn.Module):
    """A row: channels expanded, filtered one by one, weighted and projected; plus the input where
    shapes are the same. Source: arXiv:1905.02244, figure 4."""

    def __init__(
        self, channels: int, row: Row, dilation: int, norm_layer: Callable[..., nn.Module]
    ) -> None:
        super().__init__()
        activation = nn.Hardswish if row.swish else nn.ReLU
        how: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": activation}
        width, layers = row.expanded, []
        if width != channels:
            layers.append(Conv2dNormActivation(channels, width, 1, **how))
        stride = 1 if dilation > 1 else row.stride
        layers.append(
            Conv2dNormActivation(
                width, width, row.kernel, stride, dilation=dilation, groups=width, **how
            )
        )
        if row.squeezes:
            squeezed = divisible(width // SQUEEZED_TO)
            layers.append(SqueezeExcitation(width, squeezed, scale_activation=nn.Hardsigmoid))
        how["activation_layer"] = None
        layers.append(Conv2dNormActivation(width, row.out, 1, **how))
        self.block = nn.Sequential(*layers)
        self.use_res_connect = row.stride == 1 and channels == row.out
        self.out_channels, self.begins_stage = row.out, row.stride > 1

    def forward(self, input: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, out, H / stride, W / stride)."""
        result = self.block(input)
        if self.use_res_connect:
            result += input
        return result


class MobileNetV3(nn.Module):
    """(N, 3, H, W) -> (N, num_classes): the rows of `setting`, and `last_channel` hidden units.
    Source: arXiv:1905.02244."""

    def __init__(
        self,
        setting: Sequence[Row],
        last_channel: int,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        reduced_tail: bool = False,
        dilated: bool = False,
        norm_layer: Callable[..., nn.Module] | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        how: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": nn.Hardswish}
        halved = 2 if reduced_tail else 1
        channels = divisible(FIRST * width_mult)
        layers: list[nn.Module] = [Conv2dNormActivation(3, channels, stride=2, **how)]
        for k, row in enumerate(setting):
            late = len(setting) - k <= TAIL
            narrows = (halved if late else 1, halved if late and k > len(setting) - TAIL else 1)
            row = row._replace(
                out=divisible(row.out // narrows[0] * width_mult),
                expanded=divisible(row.expanded // narrows[1] * width_mult),
            )
            layers.append(InvertedResidual(channels, row, 2 if dilated and late else 1, norm_layer))
            channels = row.out
        layers.append(Conv2dNormActivation(channels, LAST_EXPANSION * channels, 1, **how))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        hidden = divisible(last_channel // halved * width_mult)
        self.classifier = nn.Sequential(
            nn.Linear(LAST_EXPANSION * channels, hidden),
            nn.Hardswish(inplace=True),
            nn.Dropout(dropout, inplace=True),
            nn.Linear(hidden, num_classes),
        )
        he_normal(self, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        return self.classifier(flatten(self.avgpool(self.features(x)), 1))


@register_model
def mobilenet_v3_large(**options: Any) -> MobileNetV3:
    """MobileNetV3, large. Source: arXiv:1905.02244, table 1."""
    return MobileNetV3(LARGE, 1280, **options)


@register_model
def mobilenet_v3_small(**options: Any) -> MobileNetV3:
    """MobileNetV3, small. Source: arXiv:1905.02244, table 2."""
    return MobileNetV3(SMALL, 1024, **options)


__getattr__ = weights_of_module(__name__)
