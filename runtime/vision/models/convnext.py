"""ConvNeXt: convolutional networks in the manner of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ... import nn, ones
from ...core.tensor import Tensor
from ...nn.functional import layer_norm
from ..ops.blocks import Conv2dNormActivation, Permute
from ..ops.dropping import StochasticDepth
from .registry import register_model, weights_of_module

__all__ = ["ConvNeXt", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny"]

EPS = 1e-6
EXPANSION = 4


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of each place."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        x = x.permute(0, 2, 3, 1)
        x = layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """x + scale * (a 7x7 filter of each channel, then a perceptron of each place). Source:
    arXiv:2201.03545, figure 4."""

    def __init__(self, dim: int, layer_scale: float, stochastic_depth_prob: float) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            Permute([0, 2, 3, 1]),
            nn.LayerNorm(dim, eps=EPS),
            nn.Linear(dim, EXPANSION * dim),
            nn.GELU(),
            nn.Linear(EXPANSION * dim, dim),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(ones(dim, 1, 1) * layer_scale)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input: Tensor) -> Tensor:
        """(N, dim, H, W) -> (N, dim, H, W)."""
        result = self.stochastic_depth(self.layer_scale * self.block(input))
        result += input
        return result


class ConvNeXt(nn.Module):
    """(N, 3, H, W) -> (N, num_classes): stages of `depths` blocks that are `widths` channels wide,
    halved in size between them. Source: arXiv:2201.03545, table 9."""

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        norm = partial(LayerNorm2d, eps=EPS)
        layers: list[nn.Module] = [
            Conv2dNormActivation(
                3, widths[0], 4, 4, padding=0, norm_layer=norm, activation_layer=None, bias=True
            )
        ]
        last, done = sum(depths) - 1, 0
        for k, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            if k:
                halves = nn.Conv2d(widths[k - 1], width, 2, stride=2)
                layers.append(nn.Sequential(norm(widths[k - 1]), halves))
            drops = [stochastic_depth_prob * (done + j) / last for j in range(depth)]
            layers.append(nn.Sequential(*[CNBlock(width, layer_scale, drop) for drop in drops]))
            done += depth
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            norm(widths[-1]), nn.Flatten(1), nn.Linear(widths[-1], num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)))


def _convnext(widths: Sequence[int], third: int, drop: float, options: dict[str, Any]) -> ConvNeXt:
    return ConvNeXt(widths, (3, 3, third, 3), **{"stochastic_depth_prob": drop, **options})


@register_model
def convnext_tiny(**options: Any) -> ConvNeXt:
    """ConvNeXt-T. Source: arXiv:2201.03545."""
    return _convnext((96, 192, 384, 768), 9, 0.1, options)


@register_model
def convnext_small(**options: Any) -> ConvNeXt:
    """ConvNeXt-S. Source: arXiv:2201.03545."""
    return _convnext((96, 192, 384, 768), 27, 0.4, options)


@register_model
def convnext_base(**options: Any) -> ConvNeXt:
    """ConvNeXt-B. Source: arXiv:2201.03545."""
    return _convnext((128, 256, 512, 1024), 27, 0.5, options)


@register_model
def convnext_large(**options: Any) -> ConvNeXt:
    """ConvNeXt-L. Source: arXiv:2201.03545."""
    return _convnext((192, 384, 768, 1536), 27, 0.5, options)


__getattr__ = weights_of_module(__name__)
