"""Layers without integer arithmetic of their own: they compute in float32 and quantize the result
with the scale that calibration found for it.
"""

from __future__ import annotations

from typing import Any

from ....core.creation import tensor
from ....core.tensor import Tensor
from ....nn import modules as nn
from ....nn.modules.module import Module
from ....ops.activations import relu
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


INTERNALS = {*vars(Module()), "_hooks"}
"""What every module keeps of itself, such as hooks: none of it comes from a layer of numbers."""


class Requantizing(Module):
    """Made by `from_float` of a calibrated layer: with its arguments, parameters and buffers, and
    its `scale` and `zero_point`. The class of the layer itself stands behind this one."""

    relu = False
    scale: Tensor
    zero_point: Tensor

    def __init__(self, *args: Any, scale: float = 1.0, zero_point: int = 0, **options: Any) -> None:
        super().__init__(*args, **options)
        self._take_scale(scale, zero_point)

    def _take_scale(self, scale: float, zero_point: int) -> None:
        self.register_buffer("scale", tensor(scale))
        self.register_buffer("zero_point", tensor(zero_point))

    def forward(self, input: Tensor) -> Tensor:
        """A quantized tensor -> one with the layer's scale."""
        require_quantized(self, input)
        layer: Any = super()
        out = layer.forward(input.dequantize()).detach()
        if self.relu:
            out = relu(out)
        made: Tensor = quantize_per_tensor(out, self.scale, self.zero_point, input.dtype)
        return made

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The quantized layer of a calibrated one, or of one joined with a ReLU."""
        scale, zero_point = output_parameters(mod)
        layer = mod[0] if hasattr(mod, "__getitem__") else mod
        made = cls.__new__(cls)
        Module.__init__(made)
        made.__dict__.update({k: v for k, v in vars(layer).items() if k not in INTERNALS})
        made._parameters, made._buffers = dict(layer._parameters), dict(layer._buffers)
        made._take_scale(scale, zero_point)
        made.training = mod.training
        made.__dict__.pop("qconfig", None)
        return made

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name in ("scale", "zero_point"):  # PyTorch has some of them with one dimension
            if prefix + name in state_dict:
                state_dict[prefix + name] = state_dict[prefix + name].reshape(())
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _get_name(self) -> str:
        return f"Quantized{type(self).__name__}"


class BatchNorm2d(Requantizing, nn.BatchNorm2d):
    """`nn.BatchNorm2d` of quantized tensors."""


class BatchNorm3d(Requantizing, nn.BatchNorm3d):
    """`nn.BatchNorm3d` of quantized tensors."""


class ELU(Requantizing, nn.ELU):
    """`nn.ELU` of quantized tensors."""


class GroupNorm(Requantizing, nn.GroupNorm):
    """`nn.GroupNorm` of quantized tensors."""


class Hardswish(Requantizing, nn.Hardswish):
    """`nn.Hardswish` of quantized tensors."""


class InstanceNorm1d(Requantizing, nn.InstanceNorm1d):
    """`nn.InstanceNorm1d` of quantized tensors."""


class InstanceNorm2d(Requantizing, nn.InstanceNorm2d):
    """`nn.InstanceNorm2d` of quantized tensors."""


class InstanceNorm3d(Requantizing, nn.InstanceNorm3d):
    """`nn.InstanceNorm3d` of quantized tensors."""


class LayerNorm(Requantizing, nn.LayerNorm):
    """`nn.LayerNorm` of quantized tensors."""


class LeakyReLU(Requantizing, nn.LeakyReLU):
    """`nn.LeakyReLU` of quantized tensors."""


class PReLU(Requantizing, nn.PReLU):
    """`nn.PReLU` of quantized tensors."""


class Sigmoid(Requantizing, nn.Sigmoid):
    """`nn.Sigmoid` of quantized tensors."""


class Softmax(Requantizing, nn.Softmax):
    """`nn.Softmax` of quantized tensors."""


MADE: dict[type[Module], Any] = {made.__bases__[1]: made for made in Requantizing.__subclasses__()}
"""The quantized layer of each."""
