"""Residual networks: ResNet, ResNeXt and Wide ResNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import flatten, nn
from ...core.tensor import Tensor
from .initialization import he_normal
from .registry import register_model, weights_of_module

__all__ = [
    "ResNet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
]

Norm = Callable[[int], nn.Module]
WIDTHS = (64, 128, 256, 512)
"""The channels of the four stages, before a block expands them."""


def conv3x3(channels: int, out: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> Any:
    """A 3x3 convolution that keeps the size of images at stride 1."""
    return nn.Conv2d(
        channels, out, 3, stride, padding=dilation, dilation=dilation, groups=groups, bias=False
    )


def conv1x1(channels: int, out: int, stride: int = 1) -> Any:
    """A 1x1 convolution."""
    return nn.Conv2d(channels, out, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """relu(x + two 3x3 convolutions of x). Source: arXiv:1512.03385, figure 5."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if groups != 1 or base_width != 64 or dilation != 1:
            raise ValueError(
                "BasicBlock: expected one group, width 64 and no dilation. Got "
                f"groups={groups}, base_width={base_width}, dilation={dilation}."
            )
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, inplanes, H, W) -> (N, planes, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    """relu(x + 1x1, 3x3 and 1x1 convolutions of x); the 3x3 one has the stride.

    Source: arXiv:1512.03385, figure 5; the place of the stride is that of ResNet "v1.5".
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        width = planes * base_width // 64 * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, inplanes, H, W) -> (N, 4 planes, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """(N, 3, H, W) -> (N, num_classes): a stem, four stages of blocks, the mean over places and a
    linear layer.

    `layers`: how many blocks each stage has. `replace_stride_with_dilation`: for the last three
    stages whether they keep the size of the maps and widen the kernels instead. Source:
    arXiv:1512.03385, table 1; arXiv:1611.05431 for `groups`, arXiv:1605.07146 for wider blocks.
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        dilates = replace_stride_with_dilation or (False, False, False)
        if len(dilates) != 3:
            raise ValueError(
                "ResNet: expected replace_stride_with_dilation for the last three stages. Got "
                f"{dilates}."
            )
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.inplanes, self.dilation = 64, 1
        self.groups, self.base_width = groups, width_per_group
        self.conv1 = nn.Conv2d(3, self.inplanes, 7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(self.inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        strides = (1, 2, 2, 2)
        for k, stage in enumerate(zip(WIDTHS, layers, strides, (False, *dilates), strict=True)):
            self.add_module(f"layer{k + 1}", self._stage(block, *stage))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(WIDTHS[-1] * block.expansion, num_classes)
        he_normal(self)
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, BasicBlock | Bottleneck):
                    last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                    nn.init.zeros_(last.weight)

    def _stage(self, block: Any, planes: int, blocks: int, stride: int, dilates: bool) -> Any:
        """The blocks of a stage, of which the first changes size and channels."""
        before, out = self.dilation, planes * block.expansion
        if dilates:
            self.dilation, stride = self.dilation * stride, 1
        downsample = None
        if stride != 1 or self.inplanes != out:
            downsample = nn.Sequential(conv1x1(self.inplanes, out, stride), self._norm_layer(out))
        how = (self.groups, self.base_width)
        made = [block(self.inplanes, planes, stride, downsample, *how, before, self._norm_layer)]
        self.inplanes = out
        for _ in range(1, blocks):
            made.append(block(out, planes, 1, None, *how, self.dilation, self._norm_layer))
        return nn.Sequential(*made)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(flatten(self.avgpool(x), 1))


@register_model
def resnet18(**options: Any) -> ResNet:
    """ResNet-18. Source: arXiv:1512.03385."""
    return ResNet(BasicBlock, (2, 2, 2, 2), **options)


@register_model
def resnet34(**options: Any) -> ResNet:
    """ResNet-34. Source: arXiv:1512.03385."""
    return ResNet(BasicBlock, (3, 4, 6, 3), **options)


@register_model
def resnet50(**options: Any) -> ResNet:
    """ResNet-50. Source: arXiv:1512.03385."""
    return ResNet(Bottleneck, (3, 4, 6, 3), **options)


@register_model
def resnet101(**options: Any) -> ResNet:
    """ResNet-101. Source: arXiv:1512.03385."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **options)


@register_model
def resnet152(**options: Any) -> ResNet:
    """ResNet-152. Source: arXiv:1512.03385."""
    return ResNet(Bottleneck, (3, 8, 36, 3), **options)


@register_model
def resnext50_32x4d(**options: Any) -> ResNet:
    """ResNeXt-50, 32 groups 4 wide. Source: arXiv:1611.05431."""
    return ResNet(Bottleneck, (3, 4, 6, 3), **{"groups": 32, "width_per_group": 4, **options})


@register_model
def resnext101_32x8d(**options: Any) -> ResNet:
    """ResNeXt-101, 32 groups 8 wide. Source: arXiv:1611.05431."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **{"groups": 32, "width_per_group": 8, **options})


@register_model
def resnext101_64x4d(**options: Any) -> ResNet:
    """ResNeXt-101, 64 groups 4 wide. Source: arXiv:1611.05431."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **{"groups": 64, "width_per_group": 4, **options})


@register_model
def wide_resnet50_2(**options: Any) -> ResNet:
    """ResNet-50 with 3x3 convolutions twice as wide. Source: arXiv:1605.07146."""
    return ResNet(Bottleneck, (3, 4, 6, 3), **{"width_per_group": 128, **options})


@register_model
def wide_resnet101_2(**options: Any) -> ResNet:
    """ResNet-101 with 3x3 convolutions twice as wide. Source: arXiv:1605.07146."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **{"width_per_group": 128, **options})


__getattr__ = weights_of_module(__name__)
