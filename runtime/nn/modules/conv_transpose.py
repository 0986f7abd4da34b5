"""Transposed convolutions."""

from __future__ import annotations

from typing import Any

from ...core.creation import empty
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops.convolution import per_dimension
from ...ops.transposed import conv_transpose1d, conv_transpose2d, conv_transpose3d
from ..parameter import Parameter
from .conv import _ConvNd, _LazyConv
from .module import Module

__all__ = [
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
]


class _ConvTransposeNd(_ConvNd):
    """What transposed convolutions of every rank share."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        Module.__init__(self)
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
        self.padding = per_dimension(name, "padding", padding, self.rank, 0)
        self.output_padding = per_dimension(name, "output_padding", output_padding, self.rank, 0)
        self.padding_mode = padding_mode
        place = {"device": device, "dtype": dtype}
        self.weight = Parameter(empty(self._weight_sizes(), **place))
        self.register_parameter("bias", Parameter(empty(out_channels, **place)) if bias else None)
        self.reset_parameters()

    def _weight_sizes(self) -> tuple[int, ...]:
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """(N, in_channels, ...) -> (N, out_channels, ...), with sizes `output_size` if given."""
        weight, bias = self._weight_and_bias()
        extra = self._output_padding(input, output_size)
        return type(self).operation(
            input, weight, bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip

    def _output_padding(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """What is to be added to reach `output_size`. Raises: ShapeError if it is out of reach."""
        if output_size is None:
            return self.output_padding
        wanted = tuple(output_size)[-self.rank :]
        assert not isinstance(self.padding, str)
        least = []
        for i, n in enumerate(input.shape[-self.rank :]):
            reach = self.dilation[i] * (self.kernel_size[i] - 1) + 1
            least.append((n - 1) * self.stride[i] - 2 * self.padding[i] + reach)
        most = [n + s - 1 for n, s in zip(least, self.stride, strict=True)]
        if len(wanted) != self.rank or any(
            not a <= n <= b for a, n, b in zip(least, wanted, most, strict=True)
        ):
            raise ShapeError(
                f"{type(self).__name__}: expected output_size from {least} to {most} for input "
                f"{tuple(input.shape)}. Got {wanted}."
            )
        return tuple(n - a for n, a in zip(wanted, least, strict=True))

    def _more_repr(self) -> list[str]:
        changed = self.output_padding != (0,) * self.rank
        return [f"output_padding={self.output_padding}"] if changed else []


class ConvTranspose1d(_ConvTransposeNd):
    """The transpose of `Conv1d`: (N, C, L) -> (N, O, L'). See `ConvTranspose2d`."""

    rank, operation = 1, staticmethod(conv_transpose1d)


class ConvTranspose2d(_ConvTransposeNd):
    """The transpose of `Conv2d`: (N, C, H, W) -> (N, O, H', W').

    weight is (C, O / groups, *kernel_size); it and bias (O,) start as those of `Conv2d`.
    `output_padding` is added at one side, where several output sizes have the same input's.
    """

    rank, operation = 2, staticmethod(conv_transpose2d)


class ConvTranspose3d(_ConvTransposeNd):
    """The transpose of `Conv3d`: (N, C, D, H, W) -> (N, O, D', H', W'). See `ConvTranspose2d`."""

    rank, operation = 3, staticmethod(conv_transpose3d)


class _LazyConvTransposeNd(_LazyConv, _ConvTransposeNd):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation,
            padding_mode, device, dtype,
        )  # fmt: skip
        self._forget_parameters(out_channels, bias, device, dtype)


class LazyConvTranspose1d(_LazyConvTransposeNd, ConvTranspose1d):
    """A `ConvTranspose1d` that takes in_channels from its first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTransposeNd, ConvTranspose2d):
    """A `ConvTranspose2d` that takes in_channels from its first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTransposeNd, ConvTranspose3d):
    """A `ConvTranspose3d` that takes in_channels from its first input."""

    cls_to_become = ConvTranspose3d
