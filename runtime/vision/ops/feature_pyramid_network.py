"""Feature pyramids: coarse maps passed down to finer ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from ... import nn
from ...core.tensor import Tensor
from ...nn.functional import interpolate, max_pool2d
from .blocks import Conv2dNormActivation, rename_older

__all__ = ["ExtraFPNBlock", "FeaturePyramidNetwork", "LastLevelMaxPool", "LastLevelP6P7"]


class ExtraFPNBlock(nn.Module):
    """What makes more levels of the results of a pyramid: `forward(results, inputs, names)` gives
    results and names."""

    def forward(
        self, results: list[Tensor], x: list[Tensor], names: list[str]
    ) -> tuple[list[Tensor], list[str]]:
        """To be written by a subclass."""
        raise NotImplementedError(f"{type(self).__name__} has no forward.")


class LastLevelMaxPool(ExtraFPNBlock):
    """One level more, every second place of the coarsest one."""

    def forward(
        self, results: list[Tensor], x: list[Tensor], names: list[str]
    ) -> tuple[list[Tensor], list[str]]:
        """With the level `pool` behind the others."""
        pooled = max_pool2d(results[-1], kernel_size=1, stride=2, padding=0)
        return [*results, pooled], [*names, "pool"]


class LastLevelP6P7(ExtraFPNBlock):
    """Two levels more by convolutions of stride 2. Source: arXiv:1708.02002, section 4."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)
        for module in (self.p6, self.p7):
            nn.init.kaiming_uniform_(module.weight, a=1)
            nn.init.constant_(module.bias, 0)
        self.use_P5 = in_channels == out_channels

    def forward(
        self, results: list[Tensor], x: list[Tensor], names: list[str]
    ) -> tuple[list[Tensor], list[str]]:
        """With the levels `p6` and `p7` behind the others."""
        p6 = self.p6(results[-1] if self.use_P5 else x[-1])
        return [*results, p6, self.p7(p6.relu())], [*names, "p6", "p7"]


class FeaturePyramidNetwork(nn.Module):
    """A dict of maps from fine to coarse -> a dict of maps of `out_channels` each.

    Each map gets a 1x1 convolution, the coarser result enlarged to its size is added, and a 3x3
    convolution makes the result. Source: arXiv:1612.03144, section 3.
    """

    def __init__(
        self,
        in_channels_list: Sequence[int],
        out_channels: int,
        extra_blocks: ExtraFPNBlock | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if 0 in in_channels_list:
            raise ValueError("FeaturePyramidNetwork: expected positive numbers of channels. Got 0.")
        options: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": None}
        self.inner_blocks, self.layer_blocks = nn.ModuleList(), nn.ModuleList()
        for channels in in_channels_list:
            self.inner_blocks.append(
                Conv2dNormActivation(channels, out_channels, 1, padding=0, **options)
            )
            self.layer_blocks.append(Conv2dNormActivation(out_channels, out_channels, 3, **options))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.constant_(module.bias, 0)
        self.extra_blocks = extra_blocks

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        older = r"((?:inner|layer)_blocks\.\d+)\.(weight|bias)"
        rename_older(state_dict, prefix, older, r"\1.0.\2")
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """The results under the names of the inputs, from fine to coarse."""
        names, maps = list(x), list(x.values())
        inner = self.inner_blocks[-1](maps[-1])
        results = [self.layer_blocks[-1](inner)]
        for level in reversed(range(len(maps) - 1)):
            lateral = self.inner_blocks[level](maps[level])
            inner = lateral + interpolate(inner, size=lateral.shape[-2:], mode="nearest")
            results.insert(0, self.layer_blocks[level](inner))
        if self.extra_blocks is not None:
            results, names = self.extra_blocks(results, maps, names)
        return OrderedDict(zip(names, results, strict=True))
