"""DenseNet: every layer reads what all before it in its block have made."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from ... import cat, flatten, nn
from ...core.tensor import Tensor
from ...nn.functional import adaptive_avg_pool2d, dropout, relu
from ...utils.checkpoint import checkpoint
from .registry import register_model, weights_of_module

__all__ = ["DenseNet", "densenet121", "densenet161", "densenet169", "densenet201"]


class _DenseLayer(nn.Module):
    """`growth_rate` channels more, by a 1x1 and a 3x3 convolution behind norm and activation."""

    def __init__(
        self, channels: int, growth_rate: int, bn_size: int, drop_rate: float, recomputes: bool
    ) -> None:
        super().__init__()
        width = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, growth_rate, 3, padding=1, bias=False)
        self.drop_rate, self.memory_efficient = float(drop_rate), recomputes

    def _narrow(self, *features: Tensor) -> Tensor:
        return self.conv1(self.relu1(self.norm1(cat(features, 1))))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Maps (N, channels_k, H, W) -> (N, growth_rate, H, W)."""
        if self.memory_efficient and any(x.requires_grad for x in features):
            narrow = checkpoint(self._narrow, *features, use_reentrant=False)
        else:
            narrow = self._narrow(*features)
        new = self.conv2(self.relu2(self.norm2(narrow)))
        return dropout(new, self.drop_rate, self.training) if self.drop_rate else new


class _DenseBlock(nn.ModuleDict):
    """Layers in turn; all maps behind each other in the end."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + layers growth_rate, H, W)."""
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return cat(features, 1)


def _transition(channels: int, out: int) -> nn.Sequential:
    layers: list[tuple[str, nn.Module]] = [
        ("norm", nn.BatchNorm2d(channels)),
        ("relu", nn.ReLU(inplace=True)),
        ("conv", nn.Conv2d(channels, out, 1, bias=False)),
        ("pool", nn.AvgPool2d(kernel_size=2, stride=2)),
    ]
    return nn.Sequential(OrderedDict(layers))


class DenseNet(nn.Module):
    """(N, 3, H, W) -> (N, num_classes), H and W at least 29.

    `growth_rate` channels a layer, `block_config` layers a block, each narrowed to `bn_size` times
    the growth rate first; `memory_efficient` computes joins again in the backward pass. Source:
    arXiv:1608.06993, table 1.
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: tuple[int, ...] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0,
        num_classes: int = 1000,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        channels = num_init_features
        self.features = nn.Sequential(OrderedDict([
            ("conv0", nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)),
            ("norm0", nn.BatchNorm2d(channels)),
            ("relu0", nn.ReLU(inplace=True)),
            ("pool0", nn.MaxPool2d(kernel_size=3, stride=2, padding=1)),
        ]))  # fmt: skip
        for number, depth in enumerate(block_config, 1):
            block = _DenseBlock()
            for k in range(1, depth + 1):
                block[f"denselayer{k}"] = _DenseLayer(
                    channels, growth_rate, bn_size, drop_rate, memory_efficient
                )
                channels += growth_rate
            self.features.add_module(f"denseblock{number}", block)
            if number < len(block_config):
                half = channels // 2
                self.features.add_module(f"transition{number}", _transition(channels, half))
                channels = half
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        x = relu(self.features(x), inplace=True)
        return self.classifier(flatten(adaptive_avg_pool2d(x, (1, 1)), 1))


@register_model
def densenet121(**options: Any) -> DenseNet:
    """DenseNet-121. Source: arXiv:1608.06993."""
    return DenseNet(32, (6, 12, 24, 16), 64, **options)


@register_model
def densenet161(**options: Any) -> DenseNet:
    """DenseNet-161, 48 channels a layer. Source: arXiv:1608.06993."""
    return DenseNet(48, (6, 12, 36, 24), 96, **options)


@register_model
def densenet169(**options: Any) -> DenseNet:
    """DenseNet-169. Source: arXiv:1608.06993."""
    return DenseNet(32, (6, 12, 32, 32), 64, **options)


@register_model
def densenet201(**options: Any) -> DenseNet:
    """DenseNet-201. Source: arXiv:1608.06993."""
    return DenseNet(32, (6, 12, 48, 32), 64, **options)


__getattr__ = weights_of_module(__name__)
