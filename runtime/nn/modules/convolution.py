"""Convolutions over one, two and three spatial dimensions."""

from __future__ import annotations

import math
from typing import Any

from ...core.creation import empty
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops.convolution import conv1d, conv2d, conv3d, per_dimension
from .. import init
from ..parameter import Parameter
from .module import Module

__all__ = ["Conv1d", "Conv2d", "Conv3d"]


class _Conv(Module):
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
        if padding_mode != "zeros":
            raise ValueError(f"{name}: expected padding_mode 'zeros'. Got {padding_mode!r}.")
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
        sizes = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(sizes, **place))
        self.register_parameter("bias", Parameter(empty(out_channels, **place)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        init.fan_in_bias_(self.bias, self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, ...) -> (N, out_channels, ...); N may be left out."""
        own = self._parameters
        return type(self).operation(
            input, own["weight"], own["bias"], self.stride, self.padding, self.dilation, self.groups
        )

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
        if self.groups != 1:
            words.append(f"groups={self.groups}")
        if self.bias is None:
            words.append("bias=False")
        return ", ".join(words)


class Conv1d(_Conv):
    """Cross-correlation along one dimension: (N, C, L) -> (N, O, L'). See `Conv2d`."""

    rank, operation = 1, staticmethod(conv1d)


class Conv2d(_Conv):
    """Cross-correlation of images with learnt filters: (N, C, H, W) -> (N, O, H', W').

    weight (O, C / groups, *kernel_size) and bias (O,) start uniform in +-1 / sqrt(fan_in) with
    fan_in = C / groups * the kernel's elements. See `F.conv2d` for sizes.
    """

    rank, operation = 2, staticmethod(conv2d)


class Conv3d(_Conv):
    """Cross-correlation of volumes: (N, C, D, H, W) -> (N, O, D', H', W'). See `Conv2d`."""

    rank, operation = 3, staticmethod(conv3d)
