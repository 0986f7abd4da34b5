"""Fused layers for training with fake quantization.

A layer followed by a normalization rounds the weight that evaluation will use, w * gamma /
running deviation, and takes that factor back before the normalization of the batch.
Source: arXiv:1806.08342, section 3.2.2.
"""

from __future__ import annotations

from typing import Any

from ....core.creation import ones_like
from ....core.tensor import Tensor
from ....nn import modules as nn
from ....nn.utils.fusion import fuse_conv_bn_weights
from ....ops.activations import relu
from ....ops.elementary import rsqrt
from ....ops.linalg import linear
from ....ops.searching import where
from .. import qat
from . import fused

__all__ = [
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
    "freeze_bn_stats",
    "update_bn_stats",
]


class _WithReLU:
    """A layer of `qat` and ReLU; made of the fused pair."""

    to_fused: Any

    def forward(self, input: Tensor) -> Tensor:
        """The layer's result, or 0 where it is below."""
        own: Any = super()
        return relu(own.forward(input))

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The layer that trains like the pair `mod`."""
        made: Any = cls.__new__(cls)
        made = qat.take(made, mod[0], getattr(mod, "qconfig", None))
        made.training = mod.training
        return made


class LinearReLU(_WithReLU, qat.Linear):
    """A linear map with a rounded weight, and ReLU."""

    to_fused = fused.LinearReLU


class ConvReLU1d(_WithReLU, qat.Conv1d):
    """A convolution with a rounded weight, and ReLU."""

    to_fused = fused.ConvReLU1d


class ConvReLU2d(_WithReLU, qat.Conv2d):
    """A convolution with a rounded weight, and ReLU."""

    to_fused = fused.ConvReLU2d


class ConvReLU3d(_WithReLU, qat.Conv3d):
    """A convolution with a rounded weight, and ReLU."""

    to_fused = fused.ConvReLU3d


class _WithBn:
    """A layer, its normalization `bn`, and ReLU if `has_relu`."""

    has_relu = False
    freeze_bn = False
    to_fused: Any

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The layer that trains like the fused layers `mod`."""
        made: Any = cls.__new__(cls)
        made = qat.take(made, mod[0], getattr(mod, "qconfig", None))
        made.bn = mod[1]
        made.training = mod.training
        return made

    def _product(self, input: Tensor, weight: Tensor) -> Tensor:
        own: Any = self
        return own._conv_forward(input, weight, None)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in, ...) -> (N, out, ...)."""
        own: Any = self
        bn = own.bn
        factor = rsqrt(bn.running_var + bn.eps)
        factor = factor if bn.weight is None else bn.weight * factor
        factor = where(factor == 0, ones_like(factor), factor)  # as residual blocks may begin
        along = [-1] + [1] * (own.weight.ndim - 1)
        weight = own.weight_fake_quant(own.weight * factor.reshape(along))
        channels = [1, *along[:-1]]
        out = own._product(input, weight) / factor.reshape(channels)
        out = bn(out if own.bias is None else out + own.bias.reshape(channels))
        return relu(out) if self.has_relu else out

    def train(self, mode: bool = True) -> Any:
        """Training or evaluation; a normalization whose statistics are frozen keeps them."""
        own: Any = super()
        made = own.train(mode)
        made.bn.training = mode and not self.freeze_bn
        return made

    def freeze_bn_stats(self) -> Any:
        """Normalize by the running statistics from now on, which stay, whatever `train` says."""
        own: Any = self
        own.freeze_bn, own.bn.training = True, False
        return self

    def update_bn_stats(self) -> Any:
        """Normalize by the batch again."""
        own: Any = self
        own.freeze_bn, own.bn.training = False, own.training
        return self

    def folded(self) -> Any:
        """The layer of evaluation: of a weight and a bias with the normalization in them."""
        own: Any = self
        bn = own.bn
        made = own.to_float()
        made._modules.pop("bn")
        made._parameters = dict(own._parameters)
        made.weight, made.bias = fuse_conv_bn_weights(
            own.weight, own.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
        )
        for name in ("weight_fake_quant", "activation_post_process"):
            if name in own._modules:
                made.add_module(name, own._modules[name])
        return made


class ConvBn1d(_WithBn, qat.Conv1d):
    """A convolution with a rounded weight and its normalization."""

    to_fused = fused.ConvBn1d


class ConvBn2d(_WithBn, qat.Conv2d):
    """A convolution with a rounded weight and its normalization."""

    to_fused = fused.ConvBn2d


class ConvBn3d(_WithBn, qat.Conv3d):
    """A convolution with a rounded weight and its normalization."""

    to_fused = fused.ConvBn3d


class LinearBn1d(_WithBn, qat.Linear):
    """A linear map with a rounded weight and its normalization."""

    to_fused = fused.LinearBn1d

    def _product(self, input: Tensor, weight: Tensor) -> Tensor:
        return linear(input, weight)


class ConvBnReLU1d(ConvBn1d):
    """A convolution with a rounded weight, its normalization and ReLU."""

    has_relu = True
    to_fused = fused.ConvBnReLU1d


class ConvBnReLU2d(ConvBn2d):
    """A convolution with a rounded weight, its normalization and ReLU."""

    has_relu = True
    to_fused = fused.ConvBnReLU2d


class ConvBnReLU3d(ConvBn3d):
    """A convolution with a rounded weight, its normalization and ReLU."""

    has_relu = True
    to_fused = fused.ConvBnReLU3d


def freeze_bn_stats(mod: nn.Module) -> None:
    """`model.apply(freeze_bn_stats)`: normalizations keep their statistics, as for the last epochs
    of training."""
    if isinstance(mod, _WithBn):
        mod.freeze_bn_stats()


def update_bn_stats(mod: nn.Module) -> None:
    """`model.apply(update_bn_stats)`: normalizations take those of each batch again."""
    if isinstance(mod, _WithBn):
        mod.update_bn_stats()
