"""Pooling layers: the largest element or the mean of each window."""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from ...ops import pooling
from ...ops.convolution import per_dimension
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
]


class _MaxPoolNd(Module):
    operation: Any

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        """(N, C, ...) -> (N, C, ...'), with the places of the elements if asked for."""
        return type(self).operation(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        """The windows."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """The largest element of each window: (N, C, L) -> (N, C, L'). `stride` is `kernel_size` unless
    given."""

    operation = staticmethod(pooling.max_pool1d)


class MaxPool2d(_MaxPoolNd):
    """The largest element of each window: (N, C, H, W) -> (N, C, H', W'). `stride` is `kernel_size`
    unless given."""

    operation = staticmethod(pooling.max_pool2d)


class MaxPool3d(_MaxPoolNd):
    """The largest element of each window: (N, C, D, H, W) -> (N, C, D', H', W'). `stride` is
    `kernel_size` unless given."""

    operation = staticmethod(pooling.max_pool3d)


class _AvgPoolNd(Module):
    """What averages over windows of every rank share."""

    operation: Any
    kernel_size: Any
    stride: Any
    padding: Any
    ceil_mode: bool
    count_include_pad: bool

    def _windows(self) -> list[Any]:
        return [
            self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        ]  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> (N, C, ...')."""
        return type(self).operation(input, *self._windows())

    def extra_repr(self) -> str:
        """The windows."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """The mean of each window: (N, C, L) -> (N, C, L'). `stride` is `kernel_size` unless given."""

    operation = staticmethod(pooling.avg_pool1d)

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        stride = kernel_size if stride is None else stride
        self.kernel_size = per_dimension("AvgPool1d", "kernel_size", kernel_size, 1, 1)
        self.stride = per_dimension("AvgPool1d", "stride", stride, 1, 1)
        self.padding = per_dimension("AvgPool1d", "padding", padding, 1, 0)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad


class _AvgPoolWithDivisor(_AvgPoolNd):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def _windows(self) -> list[Any]:
        return [*super()._windows(), self.divisor_override]


class AvgPool2d(_AvgPoolWithDivisor):
    """The mean of each window: (N, C, H, W) -> (N, C, H', W'). `stride` is `kernel_size` unless
    given; `divisor_override` divides the sum instead of the count."""

    operation = staticmethod(pooling.avg_pool2d)


class AvgPool3d(_AvgPoolWithDivisor):
    """The mean of each window: (N, C, D, H, W) -> (N, C, D', H', W'). See `AvgPool2d`."""

    operation = staticmethod(pooling.avg_pool3d)


class _AdaptiveAvgPoolNd(Module):
    operation: Any

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> (N, C, *output_size)."""
        return type(self).operation(input, self.output_size)

    def extra_repr(self) -> str:
        """The sizes of the result."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """Means of as many windows as `output_size` says: (N, C, L) -> (N, C, output_size)."""

    operation = staticmethod(pooling.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """Means of as many windows as `output_size` says: (N, C, H, W) -> (N, C, *output_size)."""

    operation = staticmethod(pooling.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """Means of as many windows as `output_size` says: (N, C, D, H, W) -> (N, C, *output_size)."""

    operation = staticmethod(pooling.adaptive_avg_pool3d)
