"""`quantize_`: weights of 8 bits in one line, without calibration; its names are torchao's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...backends.cpu.onednn import packed
from ...core.tensor import Tensor
from ...nn import modules as nn
from ...nn.modules.module import Module
from ...ops.int8 import int8_linear, int8_weight_linear, quantize_rows

__all__ = [
    "Int8DynamicActivationInt8WeightConfig",
    "Int8WeightOnlyConfig",
    "quantize_",
]


class Int8Linear(Module):
    """A linear map whose weight is kept as codes: buffers `weight` int8 (out, in) and `scale`
    float32 (out,), of the largest magnitude of each row; `bias` as it was.

    float (..., in_features) -> (..., out_features); the gradient goes to the input and the bias.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        codes, scale = quantize_rows(linear.weight.detach())
        self.register_buffer("weight", codes)
        self.register_buffer("scale", scale)
        self.register_parameter("bias", linear.bias)  # type: ignore[arg-type]
        self.training = linear.training

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return int8_weight_linear(input, self.weight, self.scale, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Int8DynamicLinear(Int8Linear):
    """The same with inputs that are quantized to 8 bits too, row by row, so that the products are
    those of integers. There is no gradient."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        codes, rows = quantize_rows(input.detach())
        packed.announce(self.weight._array, self.weight._writes)
        bias = None if self.bias is None else self.bias.detach().float()
        out = int8_linear(codes, self.weight, self.scale, bias, rows)
        return out if out.dtype is input.dtype else out.to(input.dtype)


@dataclass(frozen=True)
class Int8WeightOnlyConfig:
    """Weights of 8 bits, widened where they are used: a quarter of the memory, and of the time
    where reading weights takes most of it, as with one row at a time."""

    layer = Int8Linear


@dataclass(frozen=True)
class Int8DynamicActivationInt8WeightConfig:
    """Weights of 8 bits times inputs that are quantized row by row: integer products."""

    layer = Int8DynamicLinear


def quantize_(
    model: Module,
    config: Any,
    filter_fn: Callable[[Module, str], bool] | None = None,
    device: Any = None,
) -> None:
    """Replace the linear layers of `model`, in place, by those of `config`: all `nn.Linear`, or
    those for which `filter_fn(module, name)` holds.

    Raises: TypeError for another config, ValueError for a model that is itself one layer.

    Example:
        >>> from flambeau.ao.quantization import Int8WeightOnlyConfig, quantize_
        >>> net = nn.Sequential(nn.Linear(4, 2))
        >>> quantize_(net, Int8WeightOnlyConfig())
        >>> net[0].weight.dtype
        torch.int8
    """
    kind = getattr(config, "layer", None)
    if not isinstance(kind, type) or not issubclass(kind, Int8Linear):
        raise TypeError(
            "quantize_: expected Int8WeightOnlyConfig() or "
            f"Int8DynamicActivationInt8WeightConfig(). Got {type(config).__name__}."
        )
    if isinstance(model, nn.Linear):
        raise ValueError(
            "quantize_: expected a model that holds linear layers. Got a single one, which cannot "
            "be replaced in place. Wrap it: nn.Sequential(layer)."
        )
    if device is not None:
        model.to(device)
    chosen = filter_fn or (lambda module, name: True)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and module.weight.is_floating_point():
            parent, _, last = name.rpartition(".")
            if chosen(module, name):
                model.get_submodule(parent)._modules[last] = kind(module)
