"""Fake quantization as modules: in training they round values to those that codes stand for, by a
scale that calibration inside of them finds.
"""

from __future__ import annotations

from typing import Any

from ...core import dtypes
from ...core.creation import ones, tensor, zeros
from ...core.quantized_arrays import per_channel_symmetric, per_tensor_symmetric
from ...core.tensor import Tensor
from ...nn.modules.module import Module
from ...ops.fake_quantize import (
    fake_quantize_per_channel_affine,
    fake_quantize_per_tensor_affine,
)
from .calibration import (
    PER_CHANNEL,
    RANGES,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    ObserverBase,
)
from .observer import (
    default_fixed_qparams_range_0to1_observer,
    default_fixed_qparams_range_neg1to1_observer,
)

__all__ = [
    "FakeQuantize",
    "FakeQuantizeBase",
    "FusedMovingAvgObsFakeQuantize",
    "default_dynamic_fake_quant",
    "default_fake_quant",
    "default_fixed_qparams_range_0to1_fake_quant",
    "default_fixed_qparams_range_neg1to1_fake_quant",
    "default_fused_act_fake_quant",
    "default_fused_per_channel_wt_fake_quant",
    "default_fused_wt_fake_quant",
    "default_per_channel_weight_fake_quant",
    "default_weight_fake_quant",
    "disable_fake_quant",
    "disable_observer",
    "enable_fake_quant",
    "enable_observer",
]


class FakeQuantizeBase(Module):
    """Two switches: whether values are rounded, and whether they count for the scale."""

    fake_quant_enabled: Any
    observer_enabled: Any

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fake_quant_enabled", tensor([1], dtype=dtypes.uint8))
        self.register_buffer("observer_enabled", tensor([1], dtype=dtypes.uint8))

    with_args = classmethod(ObserverBase.with_args.__func__)  # type: ignore[attr-defined]

    def enable_fake_quant(self, enabled: bool = True) -> None:
        """Round values from now on, or not."""
        self.fake_quant_enabled[0] = int(enabled)

    def disable_fake_quant(self) -> None:
        """Let values pass as they are."""
        self.enable_fake_quant(False)

    def enable_observer(self, enabled: bool = True) -> None:
        """Let values count for the scale, or not."""
        self.observer_enabled[0] = int(enabled)

    def disable_observer(self) -> None:
        """Keep the scale."""
        self.enable_observer(False)


class FakeQuantize(FakeQuantizeBase):
    """x rounded to the values of codes, see `torch.fake_quantize_per_tensor_affine`, by the scale
    that `observer`, a calibration module's class, finds in what passes.

    Other keywords are the observer's. Raises: ValueError for limits that its dtype does not hold.
    """

    scale: Any
    zero_point: Any

    def __init__(
        self,
        observer: Any = MovingAverageMinMaxObserver,
        quant_min: int | None = None,
        quant_max: int | None = None,
        is_dynamic: bool = False,
        **observer_kwargs: Any,
    ) -> None:
        super().__init__()
        if quant_min is not None and quant_max is not None:
            dtype = observer_kwargs.get("dtype", dtypes.quint8)
            low, high = RANGES[dtype]
            if not low <= quant_min <= quant_max <= high:
                raise ValueError(
                    f"FakeQuantize: expected limits among {low} to {high}, the codes of {dtype}. "
                    f"Got {quant_min} and {quant_max}."
                )
            observer_kwargs.update(quant_min=quant_min, quant_max=quant_max)
        made = observer(is_dynamic=is_dynamic, **observer_kwargs)
        self.activation_post_process: Any = made
        self.quant_min, self.quant_max = made.quant_min, made.quant_max
        self.dtype, self.qscheme, self.is_dynamic = made.dtype, made.qscheme, is_dynamic
        self.ch_axis = getattr(made, "ch_axis", -1)
        self.is_per_channel = made.qscheme in PER_CHANNEL
        zero_type = dtypes.float32 if "float" in made.qscheme.name else dtypes.int32
        self.register_buffer("scale", ones(1))
        self.register_buffer("zero_point", zeros(1, dtype=zero_type))

    def calculate_qparams(self, **options: Any) -> Any:
        """The scale and the zero point of what was seen."""
        return self.activation_post_process.calculate_qparams()

    def forward(self, x: Tensor) -> Tensor:
        """(...) -> (...)."""
        if self.observer_enabled[0]:
            self.activation_post_process(x.detach())
            scale, zero_point = self.calculate_qparams()
            self.scale, self.zero_point = scale, zero_point.to(self.zero_point.dtype)
        if not self.fake_quant_enabled[0]:
            return x
        limits = self.quant_min, self.quant_max
        if self.is_per_channel:
            steps = self.scale, self.zero_point
            return fake_quantize_per_channel_affine(x, *steps, self.ch_axis, *limits)
        return fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, *limits)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name in ("scale", "zero_point"):  # as many as there are channels, now or then
            if prefix + name in state_dict:
                self.register_buffer(name, state_dict[prefix + name].clone())
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        """The switches, the scale and the codes."""
        return (
            f"fake_quant_enabled={self.fake_quant_enabled}, "
            f"observer_enabled={self.observer_enabled}, quant_min={self.quant_min}, "
            f"quant_max={self.quant_max}, dtype={self.dtype}, qscheme={self.qscheme}, "
            f"ch_axis={self.ch_axis}, scale={self.scale}, zero_point={self.zero_point}"
        )


class FusedMovingAvgObsFakeQuantize(FakeQuantize):
    """`FakeQuantize` by running averages, under the name that the default settings have for it."""

    def __init__(
        self,
        observer: Any = MovingAverageMinMaxObserver,
        quant_min: int = 0,
        quant_max: int = 255,
        **observer_kwargs: Any,
    ) -> None:
        super().__init__(observer, quant_min, quant_max, **observer_kwargs)


default_fake_quant = FakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255, reduce_range=True
)
default_weight_fake_quant = FakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, quant_min=-128, quant_max=127, dtype=dtypes.qint8,
    qscheme=per_tensor_symmetric, reduce_range=False,
)  # fmt: skip
default_dynamic_fake_quant = FakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255, is_dynamic=True,
    dtype=dtypes.quint8, averaging_constant=1,
)  # fmt: skip
default_per_channel_weight_fake_quant = FakeQuantize.with_args(
    observer=MovingAveragePerChannelMinMaxObserver, quant_min=-128, quant_max=127,
    dtype=dtypes.qint8, qscheme=per_channel_symmetric, reduce_range=False, ch_axis=0,
)  # fmt: skip
default_fused_act_fake_quant = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=dtypes.quint8
)
default_fused_wt_fake_quant = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, quant_min=-128, quant_max=127, dtype=dtypes.qint8,
    qscheme=per_tensor_symmetric,
)  # fmt: skip
default_fused_per_channel_wt_fake_quant = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAveragePerChannelMinMaxObserver, quant_min=-128, quant_max=127,
    dtype=dtypes.qint8, qscheme=per_channel_symmetric,
)  # fmt: skip

default_fixed_qparams_range_0to1_fake_quant = FakeQuantize.with_args(
    observer=default_fixed_qparams_range_0to1_observer
)
default_fixed_qparams_range_neg1to1_fake_quant = FakeQuantize.with_args(
    observer=default_fixed_qparams_range_neg1to1_observer
)


def _switch(module: Module, name: str) -> None:
    if isinstance(module, FakeQuantizeBase):
        getattr(module, name)()


def enable_fake_quant(mod: Module) -> None:
    """`model.apply(enable_fake_quant)`: values are rounded from now on."""
    _switch(mod, "enable_fake_quant")


def disable_fake_quant(mod: Module) -> None:
    """`model.apply(disable_fake_quant)`: values pass as they are."""
    _switch(mod, "disable_fake_quant")


def enable_observer(mod: Module) -> None:
    """`model.apply(enable_observer)`: values count for the scales."""
    _switch(mod, "enable_observer")


def disable_observer(mod: Module) -> None:
    """`model.apply(disable_observer)`: scales stay, as for the last epochs of training."""
    _switch(mod, "disable_observer")
