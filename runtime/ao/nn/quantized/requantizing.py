"""Layers without integer arithmetic of their own: they compute in float32 and quantize the result
with the scale that calibration found for it.
"""

from __future__ import annotations

from typing import Any

from ....core.creation import tensor
from ....core.tensor import Tensor
from ....nn import modules as nn
from ....nn.modules.module import Module
from ....ops.quantized import quantize_per_tensor
from .linear import output_parameters, require_quantized

__all__ = [
    "ELU",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "Hardswish",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LeakyReLU",
    "PReLU",
    "Sigmoid",
    "Softmax",
]


class _Requantizing(Module):
    """Made by `from_float` of the calibrated layer, which it holds as `float_module`, and whose
    calibration `convert` takes away."""

    plain: type[Module]

    def __init__(self, float_module: Module, scale: float = 1.0, zero_point: int = 0) -> None:
        super().__init__()
        self.float_module = float_module
        self.register_buffer("scale", tensor(scale))
        self.register_buffer("zero_point", tensor(zero_point))

    def forward(self, input: Tensor) -> Tensor:
        """A quantized tensor -> one with the layer's scale."""
        require_quantized(self, input)
        out: Any = self.float_module(input.dequantize())
        own: Any = self
        return quantize_per_tensor(out.detach(), own.scale, own.zero_point, input.dtype)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The quantized layer of a calibrated one."""
        scale, zero_point = output_parameters(mod)
        made = cls(mod, scale, zero_point)
        made.training = mod.training
        return made

    def _get_name(self) -> str:
        return f"Quantized{type(self).__name__}"


class BatchNorm2d(_Requantizing):
    """`nn.BatchNorm2d` of quantized tensors."""

    plain = nn.BatchNorm2d


class BatchNorm3d(_Requantizing):
    """`nn.BatchNorm3d` of quantized tensors."""

    plain = nn.BatchNorm3d


class ELU(_Requantizing):
    """`nn.ELU` of quantized tensors."""

    plain = nn.ELU


class GroupNorm(_Requantizing):
    """`nn.GroupNorm` of quantized tensors."""

    plain = nn.GroupNorm


class Hardswish(_Requantizing):
    """`nn.Hardswish` of quantized tensors."""

    plain = nn.Hardswish


class InstanceNorm1d(_Requantizing):
    """`nn.InstanceNorm1d` of quantized tensors."""

    plain = nn.InstanceNorm1d


class InstanceNorm2d(_Requantizing):
    """`nn.InstanceNorm2d` of quantized tensors."""

    plain = nn.InstanceNorm2d


class InstanceNorm3d(_Requantizing):
    """`nn.InstanceNorm3d` of quantized tensors."""

    plain = nn.InstanceNorm3d


class LayerNorm(_Requantizing):
    """`nn.LayerNorm` of quantized tensors."""

    plain = nn.LayerNorm


class LeakyReLU(_Requantizing):
    """`nn.LeakyReLU` of quantized tensors."""

    plain = nn.LeakyReLU


class PReLU(_Requantizing):
    """`nn.PReLU` of quantized tensors."""

    plain = nn.PReLU


class Sigmoid(_Requantizing):
    """`nn.Sigmoid` of quantized tensors."""

    plain = nn.Sigmoid


class Softmax(_Requantizing):
    """`nn.Softmax` of quantized tensors."""

    plain = nn.Softmax


MADE: dict[type[Module], Any] = {kind.plain: kind for kind in _Requantizing.__subclasses__()}
"""The quantized layer of each."""
