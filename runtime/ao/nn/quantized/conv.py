"""Convolutions of quantized tensors."""

from __future__ import annotations

from typing import Any

from ....core import dtypes
from ....core.creation import tensor, zeros
from ....core.tensor import Tensor
from ....nn.modules import conv
from ....ops.int8 import int8_convolution
from ....ops.padding import pad
from ....ops.quantized import codes_of, quantize_per_tensor
from ..weights import WeightedLayer, quantized_weight
from .linear import (
    output_parameters,
    requantized,
    require_quantized,
    save_output_parameters,
)

__all__ = ["Conv1d", "Conv2d", "Conv3d"]

GEOMETRY = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
    "padding_mode",
)  # fmt: skip


class _ConvNd(WeightedLayer):
    """The convolution of quantized images: quint8 (N, C, ...) -> quint8 (N, O, ...) with the
    layer's `scale` and `zero_point`. Weights qint8, symmetric; sums of products in 32 bits.

    Arguments as of the layer of `nn`; made by `convert` of a calibrated one, or by `from_float`.
    """

    plain: Any
    relu = False
    scale: float
    zero_point: int
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]
    groups: int
    padding_mode: str

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__()
        self._take_geometry(self.plain(*args, device="meta", **options))
        self.scale, self.zero_point = 1.0, 0

    def _take_geometry(self, mod: Any) -> None:
        for name in GEOMETRY:
            setattr(self, name, getattr(mod, name))
        self._around = mod._around()
        start = quantize_per_tensor(zeros(tuple(mod.weight.shape)), 1.0, 0, dtypes.qint8)
        self.set_weight_bias(start, None if mod.bias is None else zeros(mod.out_channels))

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, ...) -> (N, out_channels, ...)."""
        require_quantized(self, input)
        padding = self.padding
        if self.padding_mode != "zeros" or isinstance(padding, str):
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            input, padding = pad(input, self._around, mode), (0,) * len(self.stride)
        weight, array = self._weight, input._array
        weight.announce()
        out = int8_convolution(
            codes_of(input).detach(), weight.codes, weight.scale_with(array.scale), self._bias,
            stride=self.stride, padding=padding, dilation=self.dilation, groups=self.groups,
            zero_point=array.zero_point, relu=self.relu, out_scale=self.scale,
            out_zero_point=self.zero_point,
        )  # fmt: skip
        return requantized(out, input, self.scale, self.zero_point)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The quantized layer of a calibrated convolution, or of one trained by `prepare_qat`."""
        plain = mod[0] if hasattr(mod, "__getitem__") else mod
        made = cls.__new__(cls)
        WeightedLayer.__init__(made)
        made._take_geometry(plain)
        observer = getattr(plain, "weight_fake_quant", None) or mod.qconfig.weight()
        weight = quantized_weight(plain.weight, observer)
        made.set_weight_bias(weight, plain.bias)
        made.scale, made.zero_point = output_parameters(mod)
        made.training = mod.training
        return made

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "weight"], destination[prefix + "bias"] = self.weight(), self._bias
        save_output_parameters(self, destination, prefix)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: Any,
        unexpected: Any, errors: Any,
    ) -> None:  # fmt: skip
        names = ("weight", "bias", "scale", "zero_point")
        absent = [prefix + name for name in names if prefix + name not in state_dict]
        missing += absent
        unexpected += [
            k for k in state_dict if k.startswith(prefix) and k[len(prefix) :] not in names
        ]
        if not absent:
            weight, bias, scale, zero_point = (state_dict[prefix + name] for name in names)
            self.set_weight_bias(weight, bias)
            self.scale, self.zero_point = float(scale), int(zero_point)

    def extra_repr(self) -> str:
        """Channels, kernel, what differs from the defaults, scale and zero point."""
        words = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}",
            f"stride={self.stride}, scale={self.scale}, zero_point={self.zero_point}",
        ]
        if self.padding not in (0, (0,) * len(self.stride)):
            words.append(f"padding={self.padding}")
        if set(self.dilation) != {1}:
            words.append(f"dilation={self.dilation}")
        if self.groups != 1:
            words.append(f"groups={self.groups}")
        if self._bias is None:
            words.append("bias=False")
        if self.padding_mode != "zeros":
            words.append(f"padding_mode={self.padding_mode}")
        return ", ".join(words)

    def _get_name(self) -> str:
        return f"Quantized{type(self).__name__}"


class Conv1d(_ConvNd):
    """Over one spatial dimension."""

    plain = conv.Conv1d


class Conv2d(_ConvNd):
    """Over two spatial dimensions."""

    plain = conv.Conv2d


class Conv3d(_ConvNd):
    """Over three spatial dimensions."""

    plain = conv.Conv3d
