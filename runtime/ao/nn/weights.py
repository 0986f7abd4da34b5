"""The weights of quantized layers: as quantized tensors for users and files, and as the plain codes
and scales that the operations of `ops.int8` take.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends.cpu.onednn import packed
from ...core import dtypes
from ...core.creation import full, tensor
from ...core.tensor import Tensor
from ...errors import DTypeError
from ...nn.modules.module import Module
from ...ops.int8 import int8_linear, quantize_codes
from ...ops.quantized import (
    codes_of,
    dynamic_parameters,
    is_quantized,
    quantize_per_channel,
    quantize_per_tensor,
)


class Weight:
    """A weight of qint8 with its codes, int8, and the scale of each output, float32 (O,).

    Raises: RuntimeError for another dtype, or codes other than 0 that stand for 0.
    """

    def __init__(self, quantized: Tensor) -> None:
        if not is_quantized(quantized) or quantized.dtype is not dtypes.qint8:
            raise DTypeError(
                f"Expected a weight quantized to qint8. Got {quantized.dtype}. Set "
                "QConfig(weight=default_weight_observer), or dtype=torch.qint8."
            )
        array = quantized._array
        if np.any(np.asarray(array.zero_point) != 0) or array.axis not in (None, 0):
            raise DTypeError(
                "Expected a weight whose code 0 stands for 0, with one scale or one per output. "
                f"Got {array.scheme} with zero points {array.zero_point}, axis {array.axis}. Use a "
                "symmetric scheme, such as torch.per_channel_symmetric."
            )
        self.quantized = quantized
        self.codes = codes_of(quantized).detach()
        outputs = len(array.codes)
        if array.axis is None:
            scale = full((outputs,), array.scale, dtype=dtypes.float32)
        else:
            scale = quantized.q_per_channel_scales().float()
        self.scale = scale.to(quantized.device)
        self._products: tuple[float, Tensor] = 1.0, self.scale

    def announce(self) -> None:
        """Let the copies of the codes that oneDNN wants be kept."""
        packed.announce(self.codes._array, self.codes._writes)

    def scale_with(self, input_scale: float) -> Tensor:
        """The scale of sums of products with codes of scale `input_scale`."""
        if self._products[0] != input_scale:
            self._products = input_scale, self.scale * input_scale
        return self._products[1]

    def to(self, place: Any) -> Weight:
        """The weight on another device."""
        return self if self.codes.device == place else Weight(self.quantized.to(place))

    def __deepcopy__(self, memo: Any) -> Weight:
        return Weight(self.quantized.clone())

    def __reduce__(self) -> tuple[Any, ...]:
        return Weight, (self.quantized,)


class WeightedLayer(Module):
    """A layer with a `Weight` and a bias, which are no parameters: nothing trains them.

    `weight()` and `bias()` give them; moving the layer moves them.
    """

    _weight: Weight
    _bias: Tensor | None

    def set_weight_bias(self, w: Tensor, b: Tensor | None) -> None:
        """Take the weight w, a quantized tensor, and the bias b (float32, or None)."""
        self._weight = Weight(w)
        self._bias = None if b is None else b.detach().float()

    def weight(self) -> Tensor:
        """The weight, a quantized tensor."""
        return self._weight.quantized

    def bias(self) -> Tensor | None:
        """The bias, float32."""
        return self._bias

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        place = fn(tensor(0.0)).device
        if place.type != "meta":
            self._weight = self._weight.to(place)
            self._bias = None if self._bias is None else self._bias.to(place)
        return self


def quantized_weight(weight: Tensor, observer: Any) -> Tensor:
    """`weight` quantized by what a calibration module finds in it."""
    numbers = weight.detach().float()
    observer(numbers)
    scale, zero_point = observer.calculate_qparams()
    axis = getattr(observer, "ch_axis", -1)
    if axis == -1:
        step, zero = float(scale), int(zero_point)
        return quantize_per_tensor(numbers, step, zero, observer.dtype)
    return quantize_per_channel(numbers, scale, zero_point, axis, observer.dtype)


def dynamic_linear(
    input: Tensor, weight: Weight, bias: Tensor | None, relu: bool = False
) -> Tensor:
    """input @ weight.T + bias in float32: (..., k) -> (..., m). The input is quantized on the way,
    to codes of 7 bits that cover its range, as PyTorch does."""
    weight.announce()
    numbers = input.detach().float()
    scale, zero_point = dynamic_parameters(numbers, 0, 127)
    codes = quantize_codes(numbers, scale=scale, zero_point=zero_point, dtype=dtypes.uint8)
    scales = weight.scale_with(scale)
    return int8_linear(codes, weight.codes, scales, bias, zero_point=zero_point, relu=relu)
