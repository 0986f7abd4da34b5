"""Fused layers of quantized tensors: what is below 0 becomes 0 before the result is quantized."""

from __future__ import annotations

from ..quantized import conv, linear, requantizing

__all__ = ["BNReLU2d", "BNReLU3d", "ConvReLU1d", "ConvReLU2d", "ConvReLU3d", "LinearReLU"]


class BNReLU2d(requantizing.BatchNorm2d):
    """A normalization of images and ReLU."""

    relu = True


class BNReLU3d(requantizing.BatchNorm3d):
    """A normalization of volumes and ReLU."""

    relu = True


class ConvReLU1d(conv.Conv1d):
    """A convolution over one dimension and ReLU."""

    relu = True


class ConvReLU2d(conv.Conv2d):
    """A convolution over two dimensions and ReLU."""

    relu = True


class ConvReLU3d(conv.Conv3d):
    """A convolution over three dimensions and ReLU."""

    relu = True


class LinearReLU(linear.Linear):
    """A linear map and ReLU."""

    relu = True

    def _get_name(self) -> str:
        return "QuantizedLinearReLU"


class DynamicLinearReLU(linear.DynamicLinear):
    """A linear map of numbers by weights of 8 bits, and ReLU."""

    relu = True

    def _get_name(self) -> str:
        return "DynamicQuantizedLinearReLU"
