"""Pooling to given sizes, at random steps, by a norm; and the inverse of max pooling."""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from ...ops import irregular_pooling as functions
from ...ops import pooling
from ...ops.convolution import per_dimension
from .module import Module

__all__ = [
    "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "FractionalMaxPool2d",
    "FractionalMaxPool3d", "LPPool1d", "LPPool2d", "LPPool3d", "MaxUnpool1d", "MaxUnpool2d",
    "MaxUnpool3d",
]  # fmt: skip


class _AdaptiveMaxPoolNd(Module):
    operation: Any

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Tensor) -> Any:
        """(N, C, ...) -> (N, C, *output_size), with the places of the elements if asked for."""
        return type(self).operation(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """The largest elements of `output_size` windows that cover (N, C, L)."""

    operation = staticmethod(functions.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """The same of (N, C, H, W); a size of None is the input's."""

    operation = staticmethod(functions.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """The same of (N, C, D, H, W)."""

    operation = staticmethod(functions.adaptive_max_pool3d)


class _FractionalMaxPool(Module):
    rank: int
    operation: Any

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"{name}: expected either output_size or output_ratio.")
        self.kernel_size = per_dimension(name, "kernel_size", kernel_size, self.rank, 1)
        self.return_indices = return_indices
        self.output_size = output_size
        single = isinstance(output_ratio, float | int)
        self.output_ratio = (output_ratio,) * self.rank if single else output_ratio
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Tensor) -> Any:
        """(N, C, ...) -> (N, C, ...'), with the places of the elements if asked for."""
        return type(self).operation(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
            self._random_samples,
        )  # fmt: skip


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest elements of windows at pseudo-random steps. Source: arXiv:1412.6071."""

    rank, operation = 2, staticmethod(functions.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """The same of (N, C, D, H, W)."""

    rank, operation = 3, staticmethod(functions.fractional_max_pool3d)


class _MaxUnpoolNd(Module):
    rank: int
    operation: Any

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = per_dimension(name, "kernel_size", kernel_size, self.rank, 1)
        steps = kernel_size if stride is None else stride
        self.stride = per_dimension(name, "stride", steps, self.rank, 1)
        self.padding = per_dimension(name, "padding", padding, self.rank, 0)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """Zeros with the elements of input at `indices`, which the pooling returned."""
        return type(self).operation(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        """The windows."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """The inverse of `MaxPool1d`."""

    rank, operation = 1, staticmethod(functions.max_unpool1d)


class MaxUnpool2d(_MaxUnpoolNd):
    """The inverse of `MaxPool2d`."""

    rank, operation = 2, staticmethod(functions.max_unpool2d)


class MaxUnpool3d(_MaxUnpoolNd):
    """The inverse of `MaxPool3d`."""

    rank, operation = 3, staticmethod(functions.max_unpool3d)


class _LPPoolNd(Module):
    operation: Any

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> (N, C, ...')."""
        return type(self).operation(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )

    def extra_repr(self) -> str:
        """The norm and the windows."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """sum(input**p)**(1/p) over each window of (N, C, L)."""

    operation = staticmethod(pooling.lp_pool1d)


class LPPool2d(_LPPoolNd):
    """The same of (N, C, H, W)."""

    operation = staticmethod(pooling.lp_pool2d)


class LPPool3d(_LPPoolNd):
    """The same of (N, C, D, H, W)."""

    operation = staticmethod(pooling.lp_pool3d)
