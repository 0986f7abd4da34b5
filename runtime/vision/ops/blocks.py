"""Blocks that models are made of: convolution with norm and activation, squeeze and excitation,
perceptrons, frozen batch norm."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from ... import nn, ones, permute, zeros
from ...core.tensor import Tensor

__all__ = [
    "MLP",
    "Conv2dNormActivation",
    "Conv3dNormActivation",
    "FrozenBatchNorm2d",
    "Permute",
    "SqueezeExcitation",
]

Layer = Callable[..., nn.Module]


def _same_padding(kernel_size: Any, dilation: Any) -> Any:
    """What keeps the size of images at stride 1, for odd kernels."""
    if isinstance(kernel_size, int) and isinstance(dilation, int):
        return (kernel_size - 1) // 2 * dilation
    rank = len(kernel_size if isinstance(kernel_size, Sequence) else dilation)
    sizes, steps = ([x] * rank if isinstance(x, int) else x for x in (kernel_size, dilation))
    return tuple((k - 1) // 2 * d for k, d in zip(sizes, steps, strict=True))


class _ConvNormActivation(nn.Sequential):
    convolution: Layer

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any = 3,
        stride: Any = 1,
        padding: Any = None,
        groups: int = 1,
        norm_layer: Layer | None = nn.BatchNorm2d,
        activation_layer: Layer | None = nn.ReLU,
        dilation: Any = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
    ) -> None:
        layers = [
            type(self).convolution(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                _same_padding(kernel_size, dilation) if padding is None else padding,
                dilation=dilation,
                groups=groups,
                bias=norm_layer is None if bias is None else bias,
            )
        ]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer(**({} if inplace is None else {"inplace": inplace})))
        super().__init__(*layers)
        self.out_channels = out_channels


class Conv2dNormActivation(_ConvNormActivation):
    """A convolution, a norm and an activation in turn; without a norm the convolution has a bias,
    without `padding` images keep their size at stride 1. `inplace` None leaves it to the layer."""

    convolution = nn.Conv2d


class Conv3dNormActivation(_ConvNormActivation):
    """The same for videos (N, C, D, H, W); pass `norm_layer=nn.BatchNorm3d`, the default."""

    convolution = nn.Conv3d

    def __init__(self, *args: Any, norm_layer: Layer | None = nn.BatchNorm3d, **options: Any):
        super().__init__(*args, norm_layer=norm_layer, **options)


class SqueezeExcitation(nn.Module):
    """x times a weight for each channel, made of the means of all of them:
    x * scale(fc2(activation(fc1(mean(x))))). Source: arXiv:1709.01507, equation 3."""

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Layer = nn.ReLU,
        scale_activation: Layer = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        squeezed = self.activation(self.fc1(self.avgpool(input)))
        return self.scale_activation(self.fc2(squeezed)) * input


class MLP(nn.Sequential):
    """A perceptron: linear layers of widths `hidden_channels`, with norm, activation and dropout
    between them and a dropout at the end."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Sequence[int],
        norm_layer: Layer | None = None,
        activation_layer: Layer = nn.ReLU,
        inplace: bool | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        options = {} if inplace is None else {"inplace": inplace}
        layers: list[nn.Module] = []
        widths = [in_channels, *hidden_channels]
        for number, (before, after) in enumerate(pairwise(widths), 1):
            layers.append(nn.Linear(before, after, bias=bias))
            if number < len(hidden_channels):
                if norm_layer is not None:
                    layers.append(norm_layer(after))
                layers.append(activation_layer(**options))
            layers.append(nn.Dropout(dropout, **options))
        super().__init__(*layers)


class Permute(nn.Module):
    """Dimensions in the order `dims`."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        """The permuted view."""
        return permute(x, self.dims)


def rename_older(state_dict: dict[str, Any], prefix: str, pattern: str, name: str) -> None:
    """Give the tensors below `prefix` whose names fit `pattern` the names that they have today: in
    files from before convolutions had norms beside them."""
    for key in [k for k in state_dict if k.startswith(prefix)]:
        found = re.fullmatch(pattern, key[len(prefix) :])
        if found:
            state_dict[prefix + found.expand(name)] = state_dict.pop(key)


class FrozenBatchNorm2d(nn.Module):
    """Batch norm whose statistics and weights are buffers, which nothing trains."""

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", ones(num_features))
        self.register_buffer("bias", zeros(num_features))
        self.register_buffer("running_mean", zeros(num_features))
        self.register_buffer("running_var", ones(num_features))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """A trained batch norm also counted its batches."""
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        bias = self.bias - self.running_mean * scale
        return x * scale.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)

    def extra_repr(self) -> str:
        """The channels and eps."""
        return f"{self.weight.shape[0]}, eps={self.eps}"
