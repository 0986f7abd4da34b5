"""Layers joined with what follows them, as `fuse_modules` makes them: one result to quantize."""

from __future__ import annotations

from ....nn import modules as nn
from ....nn.modules.container import Sequential
from ....nn.modules.module import Module

__all__ = [
    "BNReLU2d",
    "BNReLU3d",
    "ConvBn1d",
    "ConvBn2d",
    "ConvBn3d",
    "ConvBnReLU1d",
    "ConvBnReLU2d",
    "ConvBnReLU3d",
    "ConvReLU1d",
    "ConvReLU2d",
    "ConvReLU3d",
    "LinearBn1d",
    "LinearReLU",
]


class _FusedModule(Sequential):
    """Layers in a row that count as one; `kinds` are their classes, in order.

    Raises: TypeError for others.
    """

    kinds: tuple[type[Module], ...]

    def __init__(self, *modules: Module) -> None:
        fits = len(modules) == len(self.kinds) and all(
            isinstance(m, kind) for m, kind in zip(modules, self.kinds, strict=True)
        )
        if not fits:
            wanted = ", ".join(kind.__name__ for kind in self.kinds)
            found = ", ".join(type(m).__name__ for m in modules)
            raise TypeError(f"{type(self).__name__}: expected {wanted}. Got {found or 'nothing'}.")
        super().__init__(*modules)


class ConvReLU1d(_FusedModule):
    """A convolution and ReLU."""

    kinds = (nn.Conv1d, nn.ReLU)


class ConvReLU2d(_FusedModule):
    """A convolution and ReLU."""

    kinds = (nn.Conv2d, nn.ReLU)


class ConvReLU3d(_FusedModule):
    """A convolution and ReLU."""

    kinds = (nn.Conv3d, nn.ReLU)


class LinearReLU(_FusedModule):
    """A linear map and ReLU."""

    kinds = (nn.Linear, nn.ReLU)


class ConvBn1d(_FusedModule):
    """A convolution and its normalization, for training."""

    kinds = (nn.Conv1d, nn.BatchNorm1d)


class ConvBn2d(_FusedModule):
    """A convolution and its normalization, for training."""

    kinds = (nn.Conv2d, nn.BatchNorm2d)


class ConvBn3d(_FusedModule):
    """A convolution and its normalization, for training."""

    kinds = (nn.Conv3d, nn.BatchNorm3d)


class LinearBn1d(_FusedModule):
    """A linear map and its normalization, for training."""

    kinds = (nn.Linear, nn.BatchNorm1d)


class ConvBnReLU1d(_FusedModule):
    """A convolution, its normalization and ReLU, for training."""

    kinds = (nn.Conv1d, nn.BatchNorm1d, nn.ReLU)


class ConvBnReLU2d(_FusedModule):
    """A convolution, its normalization and ReLU, for training."""

    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU)


class ConvBnReLU3d(_FusedModule):
    """A convolution, its normalization and ReLU, for training."""

    kinds = (nn.Conv3d, nn.BatchNorm3d, nn.ReLU)


class BNReLU2d(_FusedModule):
    """A normalization and ReLU."""

    kinds = (nn.BatchNorm2d, nn.ReLU)


class BNReLU3d(_FusedModule):
    """A normalization and ReLU."""

    kinds = (nn.BatchNorm3d, nn.ReLU)
