"""Linear maps of quantized tensors, and of numbers that are quantized as they come."""

from __future__ import annotations

from typing import Any

from ....core import dtypes
from ....core.creation import tensor, zeros
from ....core.tensor import Tensor
from ....errors import DTypeError
from ....nn.modules.module import Module
from ....ops.int8 import int8_linear
from ....ops.quantized import codes_of, is_quantized, quantize_per_tensor, wrap_quantized
from ..weights import WeightedLayer, dynamic_linear, quantized_weight

__all__ = ["Linear"]


def require_quantized(layer: Module, input: Any) -> None:
    """Raises: RuntimeError unless the layer's input is a quantized tensor of quint8 or qint8."""
    if not is_quantized(input) or input._array.axis is not None or input.itemsize != 1:
        found = getattr(input, "dtype", type(input).__name__)
        raise DTypeError(
            f"{type(layer).__name__}: expected a tensor quantized per tensor to quint8. Got "
            f"{found}. Put a QuantStub before the layer and run prepare() and convert() again, or "
            "quantize the input with torch.quantize_per_tensor."
        )


class PackedParameters:
    """Weight and bias of a linear layer as PyTorch's state dicts hold them: below the name
    `_packed_params`, a dtype and a pair."""

    VERSION = 3

    @staticmethod
    def save(layer: WeightedLayer, destination: Any, prefix: str) -> None:
        """Add them to a state dict."""
        below = f"{prefix}_packed_params."
        destination[below + "dtype"] = layer.weight().dtype
        destination[below + "_packed_params"] = (layer.weight(), layer.bias())
        if hasattr(destination, "_metadata"):
            destination._metadata[below[:-1]] = {"version": PackedParameters.VERSION}

    @staticmethod
    def load(layer: WeightedLayer, state_dict: Any, prefix: str, missing: list[str]) -> None:
        """Take them from a state dict."""
        below = f"{prefix}_packed_params."
        found = state_dict.get(below + "_packed_params")
        if found is None:
            missing.append(below + "_packed_params")
            return
        layer.set_weight_bias(*found)


class _Linear(WeightedLayer):
    """What static and dynamic maps share."""

    _version = PackedParameters.VERSION
    relu = False
    scale: float
    zero_point: int

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias_: bool = True,
        dtype: dtypes.dtype = dtypes.qint8,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.scale, self.zero_point = 1.0, 0
        start = zeros(out_features, in_features)
        self.set_weight_bias(
            quantize_per_tensor(start, 1.0, 0, dtype), zeros(out_features) if bias_ else None
        )

    @classmethod
    def _like(cls, mod: Any, weight: Tensor) -> Any:
        made = cls(mod.in_features, mod.out_features)
        made.set_weight_bias(weight, mod.bias)
        made.training = mod.training
        return made

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        save_output_parameters(self, destination, prefix)
        PackedParameters.save(self, destination, prefix)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: Any,
        unexpected: Any, errors: Any,
    ) -> None:  # fmt: skip
        load_output_parameters(self, state_dict, prefix, missing)
        PackedParameters.load(self, state_dict, prefix, missing)
        used = {f"{prefix}_packed_params.{n}" for n in ("dtype", "_packed_params")}
        used |= {prefix + "scale", prefix + "zero_point"}
        unexpected += [k for k in state_dict if k.startswith(prefix) and k not in used]


class Linear(_Linear):
    """The linear map of quantized tensors: quint8 (..., in_features) -> quint8 (..., out_features)
    with the layer's `scale` and `zero_point`. Weights qint8 (out, in), symmetric; sums of products
    in 32 bits.

    Made by `convert` of a calibrated `nn.Linear`, or by `from_float`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        require_quantized(self, x)
        weight, array = self._weight, x._array
        weight.announce()
        out = int8_linear(
            codes_of(x).detach(), weight.codes, weight.scale_with(array.scale), self._bias,
            zero_point=array.zero_point, relu=self.relu, out_scale=self.scale,
            out_zero_point=self.zero_point,
        )  # fmt: skip
        return requantized(out, x, self.scale, self.zero_point)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The quantized layer of a calibrated `nn.Linear`, or of one trained by `prepare_qat`."""
        linear = mod[0] if hasattr(mod, "__getitem__") else mod
        observer = getattr(linear, "weight_fake_quant", None) or mod.qconfig.weight()
        weight = quantized_weight(linear.weight, observer)
        made = cls._like(linear, weight)
        made.scale, made.zero_point = output_parameters(mod)
        return made

    def extra_repr(self) -> str:
        """Sizes, scale, scheme."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"scale={self.scale}, zero_point={self.zero_point}, qscheme={self.weight().qscheme()}"
        )

    def _get_name(self) -> str:
        return "QuantizedLinear"


def requantized(codes: Tensor, like: Tensor, scale: float, zero_point: int) -> Tensor:
    """The quantized tensor of `codes`, in the dtype of `like`."""
    array = type(like._array)(codes._array, like.dtype, scale, zero_point)
    return wrap_quantized(array, codes)


def output_parameters(mod: Any) -> tuple[float, int]:
    """The scale and the zero point that calibration found for the outputs of a layer.

    Raises: RuntimeError for a layer that was not prepared.
    """
    observer = getattr(mod, "activation_post_process", None)
    if observer is None:
        raise RuntimeError(
            f"convert: expected a {type(mod).__name__} with calibration. Got one without. Set its "
            "qconfig, then run prepare() and some inputs through the model."
        )
    scale, zero_point = observer.calculate_qparams()
    return float(scale), int(zero_point)


def save_output_parameters(mod: Any, destination: Any, prefix: str) -> None:
    """Write the scale and the zero point of a layer's outputs into a state dict."""
    destination[prefix + "scale"] = tensor(mod.scale)
    destination[prefix + "zero_point"] = tensor(mod.zero_point)


def load_output_parameters(mod: Any, state_dict: Any, prefix: str, missing: Any) -> None:
    """Read them; those that are not there are `missing`."""
    for name, kind in (("scale", float), ("zero_point", int)):
        if prefix + name in state_dict:
            setattr(mod, name, kind(state_dict[prefix + name]))
        else:
            missing.append(prefix + name)


class DynamicLinear(_Linear):
    """The linear map of numbers by weights of 8 bits: float32 (..., in) -> float32 (..., out).
    Each input is quantized to 7 bits by its own range; made by `quantize_dynamic`."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return dynamic_linear(x, self._weight, self._bias, self.relu)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The dynamic layer of an `nn.Linear`; its qconfig's weight setting, if there is one."""
        linear = mod[0] if hasattr(mod, "__getitem__") else mod
        return cls._like(linear, quantized_weight(linear.weight, weight_observer(mod)))

    def extra_repr(self) -> str:
        """Sizes and scheme."""
        weight = self.weight()
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"dtype={weight.dtype}, qscheme={weight.qscheme()}"
        )

    def _get_name(self) -> str:
        return "DynamicQuantizedLinear"


def weight_observer(mod: Any) -> Any:
    """The calibration module for the weights of a layer; symmetric per tensor unless it says."""
    qconfig = getattr(mod, "qconfig", None)
    if qconfig is not None and qconfig.weight is not None:
        return qconfig.weight()
    from ...quantization.observer import default_weight_observer

    return default_weight_observer()
