"""Convolutions over one, two and three spatial dimensions."""

from __future__ import annotations

import math
from typing import Any

from ...core.creation import empty
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops.convolution import conv1d, conv2d, conv3d, per_dimension
from ...ops.padding import pad
from .. import init
from ..parameter import Parameter, UninitializedParameter
from .lazy import LazyModuleMixin
from .module import Module

__all__ = ["Conv1d", "Conv2d", "Conv3d", "LazyConv1d", "LazyConv2d", "LazyConv3d"]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What convolutions of every rank share."""

    rank: int
    operation: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: expected groups that divide both numbers of channels. Got in_channels "
                f"{in_channels}, out_channels {out_channels}, groups {groups}."
            )
        if padding_mode not in PADDING_MODES:
            raise ValueError(
                f"{name}: expected padding_mode to be one of {', '.join(PADDING_MODES)}. Got "
                f"{padding_mode!r}."
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_dimension(name, "kernel_size", kernel_size, self.rank, 1)
        self.stride = per_dimension(name, "stride", stride, self.rank, 1)
        self.dilation = per_dimension(name, "dilation", dilation, self.rank, 1)
        self.padding = (
            padding
            if isinstance(padding, str)
            else per_dimension(name, "padding", padding, self.rank, 0)
        )
        if self.padding == "same" and max(self.stride) > 1:
            raise ShapeError(f"{name}: padding 'same' needs stride 1. Got stride {self.stride}.")
        self.padding_mode = padding_mode
        place = {"device": device, "dtype": dtype}
        self.weight = Parameter(empty(self._weight_sizes(), **place))
        self.register_parameter("bias", Parameter(empty(out_channels, **place)) if bias else None)
        self.reset_parameters()

    def _weight_sizes(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        init.fan_in_bias_(self.bias, self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, ...) -> (N, out_channels, ...); N may be left out."""
        return self._conv_forward(input, *self._weight_and_bias())

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`forward` with another weight and bias: public code that subclasses layers calls it."""
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = pad(input, self._around(), self.padding_mode), 0
        return type(self).operation(
            input, weight, bias, self.stride, padding, self.dilation, self.groups
        )

    def _around(self) -> list[int]:
        """How many elements stand before and after each dimension, the last first."""
        pairs: list[int] = []
        for d in reversed(range(self.rank)):
            if self.padding == "same":
                total = self.dilation[d] * (self.kernel_size[d] - 1)
                pairs += [total // 2, total - total // 2]
            elif not isinstance(self.padding, str):
                pairs += [self.padding[d]] * 2
            else:
                pairs += [0, 0]
        return pairs

    def extra_repr(self) -> str:
        """Channels, kernel, and what differs from the defaults."""
        words = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}, stride={self.stride}",
        ]
        if self.padding != (0,) * self.rank:
            words.append(f"padding={self.padding}")
        if self.dilation != (1,) * self.rank:
            words.append(f"dilation={self.dilation}")
        words += self._more_repr()
        if self.groups != 1:
            words.append(f"groups={self.groups}")
        if self.bias is None:
            words.append("bias=False")
        if self.padding_mode != "zeros":
            words.append(f"padding_mode={self.padding_mode}")
        return ", ".join(words)

    def _more_repr(self) -> list[str]:
        return []


class Conv1d(_ConvNd):
    """Cross-correlation along one dimension: (N, C, L) -> (N, O, L'). See `Conv2d`."""

    rank, operation = 1, staticmethod(conv1d)


class Conv2d(_ConvNd):
    """Cross-correlation of images with learnt filters: (N, C, H, W) -> (N, O, H', W').

    weight (O, C / groups, *kernel_size) and bias (O,) start uniform in +-1 / sqrt(fan_in) with
    fan_in = C / groups * the kernel's elements. See `F.conv2d` for sizes.
    """

    rank, operation = 2, staticmethod(conv2d)


class Conv3d(_ConvNd):
    """Cross-correlation of volumes: (N, C, D, H, W) -> (N, O, D', H', W'). See `Conv2d`."""

    rank, operation = 3, staticmethod(conv3d)


# -- with in_channels of the first input -----------------------------------------------------------


class _LazyConv(LazyModuleMixin):
    """What lazy convolutions of every rank share, transposed ones too: parameters of no shape in
    the place of those that the class beside it has made for no channels."""

    weight: Any
    bias: Any

    def _forget_parameters(self, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        self.out_channels = out_channels
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw the parameters anew, if they have shapes."""
        module: Any = self
        if not self.has_uninitialized_params() and module.in_channels != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Take memory for an input (N, in_channels, ...), N or not, and draw the parameters.

        Raises: RuntimeError for another number of dimensions, ValueError if groups do not divide
        the channels.
        """
        module: Any = self
        if not self.has_uninitialized_params():
            return
        module.in_channels = self._channels_of(input)
        if module.in_channels % module.groups:
            raise ValueError(
                f"{type(self).__name__}: expected groups that divide the channels. Got groups "
                f"{module.groups}, and input {tuple(input.shape)}."
            )
        self.weight.materialize(module._weight_sizes())
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()

    def _channels_of(self, input: Tensor) -> int:
        rank: int = self.rank  # type: ignore[attr-defined]
        if input.ndim not in (rank + 1, rank + 2):
            raise ShapeError(
                f"{type(self).__name__}: expected input with {rank + 1} or {rank + 2} dimensions. "
                f"Got shape {tuple(input.shape)}."
            )
        return input.shape[-rank - 1]


class _LazyConvNd(_LazyConv, _ConvNd):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype
        )
        self._forget_parameters(out_channels, bias, device, dtype)


class LazyConv1d(_LazyConvNd, Conv1d):
    """A `Conv1d` that takes in_channels from its first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvNd, Conv2d):
    """A `Conv2d` that takes in_channels from its first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvNd, Conv3d):
    """A `Conv3d` that takes in_channels from its first input."""

    cls_to_become = Conv3d
