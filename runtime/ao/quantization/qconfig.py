"""Settings: which calibration modules activations and weights get."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...core import dtypes
from ...nn.modules.module import Module
from .calibration import (
    MovingAverageMinMaxObserver,
    PlaceholderObserver,
)
from .fake_quantize import (
    FusedMovingAvgObsFakeQuantize,
    default_fake_quant,
    default_fused_per_channel_wt_fake_quant,
    default_fused_wt_fake_quant,
    default_per_channel_weight_fake_quant,
    default_weight_fake_quant,
)
from .observer import (
    HistogramObserver,
    default_dynamic_quant_observer,
    default_float_qparams_observer,
    default_observer,
    default_per_channel_weight_observer,
    default_weight_observer,
)

__all__ = [
    "QConfig",
    "default_dynamic_qconfig",
    "default_per_channel_qconfig",
    "default_qat_qconfig",
    "default_qconfig",
    "default_weight_only_qconfig",
    "float16_dynamic_qconfig",
    "float_qparams_weight_only_qconfig",
    "get_default_qat_qconfig",
    "get_default_qconfig",
    "per_channel_dynamic_qconfig",
]

BACKENDS = ("x86", "fbgemm", "onednn", "qnnpack")


class _Pair(NamedTuple):
    activation: Any
    weight: Any


class QConfig(_Pair):
    """What makes the calibration modules of activations and weights: classes, or classes with
    arguments (`MinMaxObserver.with_args(dtype=torch.qint8)`), not modules.

    Raises: ValueError for a module.
    """

    __slots__ = ()

    def __new__(cls, activation: Any, weight: Any) -> QConfig:
        if isinstance(activation, Module) or isinstance(weight, Module):
            raise ValueError(
                "QConfig: expected classes, or MyObserver.with_args(...). Got a module, which "
                "every layer would share."
            )
        return super().__new__(cls, activation, weight)


default_qconfig = QConfig(default_observer, default_weight_observer)
default_per_channel_qconfig = QConfig(default_observer, default_per_channel_weight_observer)
default_dynamic_qconfig = QConfig(default_dynamic_quant_observer, default_weight_observer)
per_channel_dynamic_qconfig = QConfig(
    default_dynamic_quant_observer, default_per_channel_weight_observer
)
float16_dynamic_qconfig = QConfig(
    PlaceholderObserver.with_args(dtype=dtypes.float16, is_dynamic=True),
    PlaceholderObserver.with_args(dtype=dtypes.float16),
)
float_qparams_weight_only_qconfig = QConfig(PlaceholderObserver, default_float_qparams_observer)
default_qat_qconfig = QConfig(default_fake_quant, default_weight_fake_quant)
default_weight_only_qconfig = QConfig(Module, default_weight_fake_quant)


def _require_backend(name: str, backend: str) -> None:
    if backend not in BACKENDS:
        raise AssertionError(
            f"{name}: expected a backend of {', '.join(BACKENDS)}. Got {backend!r}."
        )


def get_default_qconfig(backend: str = "x86", version: int = 0) -> QConfig:
    """Settings for calibration: histograms for activations, of 7 bits for "x86" and "fbgemm";
    weights symmetric in 8 bits, per channel but for "qnnpack"."""
    _require_backend("get_default_qconfig", backend)
    if backend == "qnnpack":
        return QConfig(HistogramObserver.with_args(reduce_range=False), default_weight_observer)
    reduced = backend in ("x86", "fbgemm")
    return QConfig(
        HistogramObserver.with_args(reduce_range=reduced), default_per_channel_weight_observer
    )


def get_default_qat_qconfig(backend: str = "x86", version: int = 1) -> QConfig:
    """Settings for training: fake quantization by running averages, of 7 bits for "x86" and
    "fbgemm"; weights per channel but for "qnnpack"."""
    _require_backend("get_default_qat_qconfig", backend)
    if version == 0:
        per_tensor = backend == "qnnpack"
        weight = default_weight_fake_quant if per_tensor else default_per_channel_weight_fake_quant
        return QConfig(default_fake_quant, weight)
    activation = FusedMovingAvgObsFakeQuantize.with_args(
        observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255,
        reduce_range=backend in ("x86", "fbgemm"),
    )  # fmt: skip
    fused = default_fused_per_channel_wt_fake_quant
    return QConfig(activation, default_fused_wt_fake_quant if backend == "qnnpack" else fused)
