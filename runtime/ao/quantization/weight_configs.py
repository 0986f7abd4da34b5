"""`quantize_`: weights of 8 or 4 bits in one line, without calibration; its names are torchao's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...backends.cpu.onednn import packed
from ...core.tensor import Tensor
from ...nn import modules as nn
from ...nn.modules.module import Module
from ...ops.grouped import CHUNK, grouped_linear, nearest_codes
from ...ops.int8 import int8_linear, int8_weight_linear, quantize_rows

__all__ = [
    "Int4WeightOnlyConfig",
    "Int8DynamicActivationInt8WeightConfig",
    "Int8WeightOnlyConfig",
    "quantize_",
]


class _WeightOnlyLinear(Module):
    """A linear map whose weight is kept as codes, buffers; `bias` as it was."""

    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_parameter("bias", linear.bias)  # type: ignore[arg-type]
        self.training = linear.training

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Int8Linear(_WeightOnlyLinear):
    """A linear map whose weight is kept as codes: buffers `weight` int8 (out, in) and `scale`
    float32 (out,), of the largest magnitude of each row; `bias` as it was.

    float (..., in_features) -> (..., out_features); the gradient goes to the input and the bias.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        codes, scale = quantize_rows(linear.weight.detach())
        self.register_buffer("weight", codes)
        self.register_buffer("scale", scale)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return int8_weight_linear(input, self.weight, self.scale, self.bias)


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


class Int4Linear(_WeightOnlyLinear):
    """A linear map whose weight is kept as codes of 4 bits: buffers `weight` uint8 (out, in / 2),
    two codes a byte, and `scale` and `least` float32 (out, in / 32), of the range of each group of
    columns (see `ops.grouped`); `bias` as it was.

    float (..., in_features) -> (..., out_features); the gradient goes to the input and the bias.
    """

    weight: Tensor
    scale: Tensor
    least: Tensor

    def __init__(self, linear: nn.Linear, group_size: int) -> None:
        super().__init__(linear)
        self.group_size = group_size
        found = nearest_codes(linear.weight, 4, group_size).values()
        for name, value in zip(("weight", "scale", "least"), found, strict=True):
            self.register_buffer(name, value)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        scale, least = self.scale.float(), self.least.float()
        bias = None if self.bias is None else self.bias.float()
        out = grouped_linear(input.float(), self.weight, scale, least, bias)
        return out if out.dtype is input.dtype else out.to(input.dtype)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{super().extra_repr()}, group_size={self.group_size}"


class _WeightConfig:
    """What `quantize_` makes of a linear layer."""

    def make(self, linear: nn.Linear) -> Module:
        """The layer with codes for a weight."""
        raise NotImplementedError

    def require_fit(self, name: str, linear: nn.Linear) -> None:
        """Raises: ValueError for a layer that cannot be quantized."""


@dataclass(frozen=True)
class Int8WeightOnlyConfig(_WeightConfig):
    """Weights of 8 bits, widened where they are used: a quarter of the memory, and of the time
    where reading weights takes most of it, as with one row at a time."""

    def make(self, linear: nn.Linear) -> Module:
        """An `Int8Linear`."""
        return Int8Linear(linear)


@dataclass(frozen=True)
class Int8DynamicActivationInt8WeightConfig(_WeightConfig):
    """Weights of 8 bits times inputs that are quantized row by row: integer products."""

    def make(self, linear: nn.Linear) -> Module:
        """An `Int8DynamicLinear`."""
        return Int8DynamicLinear(linear)


@dataclass(frozen=True)
class Int4WeightOnlyConfig(_WeightConfig):
    """Weights of 4 bits, with a scale and a smallest value for each `group_size` columns: a seventh
    of the memory. One row takes half the time it takes with 8 bits; more than 8 at once are
    multiplied by the widened weight, in the time of floats and of widening.

    Raises: ValueError for a group that is no multiple of 32 columns.
    """

    group_size: int = 128

    def __post_init__(self) -> None:
        if self.group_size < CHUNK or self.group_size % CHUNK:
            raise ValueError(
                f"Int4WeightOnlyConfig: expected a multiple of {CHUNK} as group_size, such as 128. "
                f"Got {self.group_size}."
            )

    def make(self, linear: nn.Linear) -> Module:
        """An `Int4Linear`."""
        return Int4Linear(linear, self.group_size)

    def require_fit(self, name: str, linear: nn.Linear) -> None:
        """Raises: ValueError for inputs that are no multiple of the groups."""
        if linear.in_features % self.group_size:
            raise ValueError(
                f"quantize_: expected layers whose inputs are a multiple of group_size "
                f"{self.group_size}. Got {name!r} with {linear.in_features}. Choose a smaller "
                "group, or leave the layer out by filter_fn=lambda module, name: ..."
            )


def quantize_(
    model: Module,
    config: Any,
    filter_fn: Callable[[Module, str], bool] | None = None,
    device: Any = None,
) -> None:
    """Replace the linear layers of `model`, in place, by those of `config`: all `nn.Linear`, or
    those for which `filter_fn(module, name)` holds.

    Raises: TypeError for another config, ValueError for a model that is itself one layer, or holds
    one that the config cannot quantize: then no layer is replaced.

    Example:
        >>> from flambeau.ao.quantization import Int8WeightOnlyConfig, quantize_
        >>> net = nn.Sequential(nn.Linear(4, 2))
        >>> quantize_(net, Int8WeightOnlyConfig())
        >>> net[0].weight.dtype
        torch.int8
    """
    config = config() if isinstance(config, type) else config
    if not isinstance(config, _WeightConfig):
        raise TypeError(
            "quantize_: expected Int8WeightOnlyConfig(), Int4WeightOnlyConfig() or "
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
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.weight.is_floating_point()
        if chosen(module, name)
    ]
    for name, linear in found:
        config.require_fit(name, linear)
    for name, linear in found:
        parent, _, last = name.rpartition(".")
        model.get_submodule(parent)._modules[last] = config.make(linear)
