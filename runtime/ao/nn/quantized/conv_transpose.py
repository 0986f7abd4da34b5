"""Transposed convolutions of quantized tensors."""

from __future__ import annotations

from typing import Any

from ....core.tensor import Tensor
from ....nn.modules import conv_transpose
from ....ops.quantized import quantize_per_tensor
from .conv import _ConvNd
from .linear import require_quantized

__all__ = ["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


class _ConvTransposeNd(_ConvNd):
    """The transposed convolution of quantized images, by weights of 8 bits: computed in float32,
    and quantized with the layer's `scale` and `zero_point`."""

    output_padding: tuple[int, ...]

    def _take_geometry(self, mod: Any) -> None:
        self.output_padding = mod.output_padding
        super()._take_geometry(mod)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, ...) -> (N, out_channels, ...)."""
        require_quantized(self, input)
        weight = self.weight().dequantize()
        out = self.plain.operation(
            input.dequantize(), weight, self._bias, self.stride, self.padding, self.output_padding,
            self.groups, self.dilation,
        )  # fmt: skip
        return quantize_per_tensor(out, self.scale, self.zero_point, input.dtype)

    def extra_repr(self) -> str:
        """As of the convolution, and what is added at one side."""
        more = any(self.output_padding)
        return super().extra_repr() + f", output_padding={self.output_padding}" * more


class ConvTranspose1d(_ConvTransposeNd):
    """Over one spatial dimension."""

    plain = conv_transpose.ConvTranspose1d


class ConvTranspose2d(_ConvTransposeNd):
    """Over two spatial dimensions."""

    plain = conv_transpose.ConvTranspose2d


class ConvTranspose3d(_ConvTransposeNd):
    """Over three spatial dimensions."""

    plain = conv_transpose.ConvTranspose3d
