"""Calibration: modules that watch the values which pass through them, and find the scale and the
zero point of their codes. PyTorch calls them observers.

Source of the rules: the documentation of `torch.ao.quantization.observer`; arXiv:1712.05877.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.creation import tensor
from ...core.quantized_arrays import (
    per_channel_affine,
    per_channel_affine_float_qparams,
    per_channel_symmetric,
    per_tensor_affine,
    per_tensor_symmetric,
    qscheme,
)
from ...core.tensor import Tensor
from ...nn.modules.module import Module
from ...ops.extremes import amax, amin

EPSILON = float(np.finfo(np.float32).eps)
"""The smallest scale."""
RANGES = {
    dtypes.qint8: (-128, 127), dtypes.int8: (-128, 127), dtypes.quint8: (0, 255),
    dtypes.uint8: (0, 255), dtypes.qint32: (-(2**31), 2**31 - 1),
    dtypes.int32: (-(2**31), 2**31 - 1),
}  # fmt: skip
PER_CHANNEL = (per_channel_affine, per_channel_symmetric, per_channel_affine_float_qparams)
SYMMETRIC = (per_tensor_symmetric, per_channel_symmetric)


class _Arguments:
    """A class to be called with arguments that are known beforehand."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.make(*args, **options)

    def with_args(self, **options: Any) -> _Arguments:
        """The same with more arguments."""
        return _Arguments(partial(self.make, **options))

    def __repr__(self) -> str:
        return repr(self.make)


class ObserverBase(Module):
    """What all calibration modules share: the type of the codes, and `with_args`.

    `forward` returns its input; `calculate_qparams` the scale and the zero point, as tensors.
    """

    def __init__(self, dtype: dtypes.dtype, is_dynamic: bool = False) -> None:
        super().__init__()
        self.dtype, self.is_dynamic = dtype, is_dynamic

    @classmethod
    def with_args(cls, **options: Any) -> _Arguments:
        """What makes such modules with these arguments, as a `QConfig` wants it."""
        return _Arguments(partial(cls, **options))

    with_callable_args = with_args

    def calculate_qparams(self, **options: Any) -> Any:
        """Scale and zero point. Raises: RuntimeError for a module that finds none."""
        raise RuntimeError(
            f"{type(self).__name__}: expected a module that finds a scale. This one only marks "
            "where there is none to be found."
        )


class UniformQuantizationObserverBase(ObserverBase):
    """The rules from a range of values to a scale and a zero point.

    `reduce_range` leaves the upper half of the codes unused, which older processors need: they add
    two products of codes in 16 bits.
    Raises: TypeError for a dtype without codes, ValueError for limits that dtype does not hold,
    NotImplementedError for a scheme of the other sort, per tensor or per channel.
    """

    per_channel: bool | None = None
    """Whether there is a scale for each channel; None where either is fine."""

    def __init__(
        self,
        dtype: dtypes.dtype = dtypes.quint8,
        qscheme: qscheme = per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        factory_kwargs: Any = None,
        eps: float = EPSILON,
        is_dynamic: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(dtype, is_dynamic)
        self._require_fit(dtype, qscheme)
        self.qscheme, self.reduce_range = qscheme, reduce_range
        self.register_buffer("eps", tensor([eps], dtype=dtypes.float32))
        self.has_customized_qrange = quant_min is not None and quant_max is not None
        low, high = RANGES[dtype]
        if self.has_customized_qrange:
            if not low <= quant_min < quant_max <= high:  # type: ignore[operator]
                raise ValueError(
                    f"{type(self).__name__}: expected quant_min below quant_max, both among {low} "
                    f"to {high}, the codes of {dtype}. Got {quant_min} and {quant_max}."
                )
            low, high = quant_min, quant_max  # type: ignore[assignment]
        if reduce_range:
            low, high = (low // 2, high // 2)
        self.quant_min, self.quant_max = low, high
        self.reset_min_max_vals()

    def _require_fit(self, dtype: dtypes.dtype, scheme: qscheme) -> None:
        name = type(self).__name__
        if dtype not in RANGES:
            raise TypeError(
                f"{name}: expected dtype qint8, quint8, qint32 or the integers of their codes. "
                f"Got {dtype}."
            )
        if self.per_channel is not None and self.per_channel is not (scheme in PER_CHANNEL):
            sort, other = ("channel", "") if self.per_channel else ("tensor", "PerChannel")
            raise NotImplementedError(
                f"{name}: expected a scheme per {sort}. Got {scheme}. Use {other}MinMaxObserver."
            )

    def _calculate_qparams(self, min_val: Tensor, max_val: Tensor) -> tuple[Tensor, Tensor]:
        """Scales float32 and zero points int64 (int32 for one), each of one dimension."""
        least, most = (x.detach().cpu().numpy_values().reshape(-1) for x in (min_val, max_val))
        if not least.size or np.any(least > most) or np.any(np.isinf(least) & np.isinf(most)):
            warnings.warn(
                f"{type(self).__name__}: no values have passed yet, so the scale is 1. Run the "
                "prepared model on some inputs before convert().",
                stacklevel=3,
            )
            return tensor([1.0]), tensor([0])
        scale, zero_point = self._scale_and_zero(
            least.astype(np.float32), most.astype(np.float32), np.float32(self.eps.item())
        )
        device = min_val.device
        return tensor(scale, device=device), tensor(zero_point, device=device)

    def _scale_and_zero(self, least: Any, most: Any, eps: Any) -> tuple[Any, Any]:
        low, high = self.quant_min, self.quant_max
        if self.qscheme is per_channel_affine_float_qparams:
            scale = (most - least) / np.float32(high - low)
            scale = np.where(scale > eps, scale, np.float32(1))
            return scale, -least / scale
        least, most = np.minimum(least, 0), np.maximum(most, 0)
        if self.qscheme in SYMMETRIC:
            scale = np.maximum(-least, most) / np.float32((high - low) / 2)
            middle = 0
            if self.dtype in (dtypes.quint8, dtypes.uint8):
                middle = (low + high) // 2 if self.has_customized_qrange else 128
            return np.maximum(scale, eps), np.full(scale.shape, middle, np.int64)
        scale = np.maximum((most - least) / np.float32(high - low), eps)
        zero_point = low - np.rint(least / scale).astype(np.int64)
        return scale, np.clip(zero_point, low, high)

    def reset_min_max_vals(self) -> None:
        """Forget what was seen."""


class MinMaxObserver(UniformQuantizationObserverBase):
    """The range from the smallest to the largest value ever seen, with one scale.

    Example:
        >>> seen = torch.ao.quantization.MinMaxObserver(dtype=torch.quint8)
        >>> _ = seen(torch.tensor([-1.0, 1.55]))
        >>> seen.calculate_qparams()
        (tensor([0.0100]), tensor([100]))
    """

    min_val: Any
    max_val: Any

    per_channel = False

    def forward(self, x: Tensor) -> Tensor:
        """x itself, whose range counts."""
        if x.numel():
            values = x.detach().float()
            self._take(values.min(), values.max())
        return x

    def _take(self, least: Tensor, most: Tensor) -> None:
        self.min_val = least.minimum(self.min_val)
        self.max_val = most.maximum(self.max_val)

    def calculate_qparams(self, **options: Any) -> tuple[Tensor, Tensor]:
        """The scale and the zero point of what was seen."""
        return self._calculate_qparams(self.min_val, self.max_val)

    def reset_min_max_vals(self) -> None:
        """Forget what was seen."""
        self.register_buffer("min_val", tensor(float("inf")))
        self.register_buffer("max_val", tensor(float("-inf")))

    def extra_repr(self) -> str:
        """The range."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


class MovingAverageMinMaxObserver(MinMaxObserver):
    """The range whose ends are running averages: end + averaging_constant * (seen - end)."""

    def __init__(
        self,
        averaging_constant: float = 0.01,
        dtype: dtypes.dtype = dtypes.quint8,
        qscheme: qscheme = per_tensor_affine,
        *args: Any,
        **options: Any,
    ) -> None:
        super().__init__(dtype, qscheme, *args, **options)
        self.averaging_constant = averaging_constant

    def _take(self, least: Tensor, most: Tensor) -> None:
        if self.min_val.isinf() and self.max_val.isinf():
            self.min_val, self.max_val = least, most
            return
        weight = self.averaging_constant
        self.min_val = self.min_val + weight * (least - self.min_val)
        self.max_val = self.max_val + weight * (most - self.max_val)


class PerChannelMinMaxObserver(UniformQuantizationObserverBase):
    """The range of each index of dimension `ch_axis`, with a scale each."""

    min_val: Any
    max_val: Any

    per_channel = True

    def __init__(
        self,
        ch_axis: int = 0,
        dtype: dtypes.dtype = dtypes.quint8,
        qscheme: qscheme = per_channel_affine,
        *args: Any,
        **options: Any,
    ) -> None:
        super().__init__(dtype, qscheme, *args, **options)
        self.ch_axis = ch_axis

    def forward(self, x: Tensor) -> Tensor:
        """x itself, the ranges of whose channels count."""
        if x.numel():
            rows = x.detach().float().transpose(0, self.ch_axis).flatten(1)
            self._take(amin(rows, 1), amax(rows, 1))
        return x

    def _take(self, least: Tensor, most: Tensor) -> None:
        is_first = not self.min_val.numel()
        self.min_val = least if is_first else least.minimum(self.min_val)
        self.max_val = most if is_first else most.maximum(self.max_val)

    def calculate_qparams(self, **options: Any) -> tuple[Tensor, Tensor]:
        """The scales and the zero points of what was seen."""
        return self._calculate_qparams(self.min_val, self.max_val)

    def reset_min_max_vals(self) -> None:
        """Forget what was seen."""
        self.register_buffer("min_val", tensor([]))
        self.register_buffer("max_val", tensor([]))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name in ("min_val", "max_val"):  # as many as there are channels, now or then
            if prefix + name in state_dict:
                self.register_buffer(name, state_dict[prefix + name].clone())
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        """The ranges."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


class MovingAveragePerChannelMinMaxObserver(PerChannelMinMaxObserver):
    """The ranges of channels, whose ends are running averages."""

    def __init__(
        self,
        averaging_constant: float = 0.01,
        ch_axis: int = 0,
        dtype: dtypes.dtype = dtypes.quint8,
        qscheme: qscheme = per_channel_affine,
        *args: Any,
        **options: Any,
    ) -> None:
        super().__init__(ch_axis, dtype, qscheme, *args, **options)
        self.averaging_constant = averaging_constant

    def _take(self, least: Tensor, most: Tensor) -> None:
        if not self.min_val.numel():
            self.min_val, self.max_val = least, most
            return
        weight = self.averaging_constant
        self.min_val = self.min_val + weight * (least - self.min_val)
        self.max_val = self.max_val + weight * (most - self.max_val)


class FixedQParamsObserver(ObserverBase):
    """A scale and a zero point that are known: for functions with a known range."""

    def __init__(
        self,
        scale: float,
        zero_point: int,
        dtype: dtypes.dtype = dtypes.quint8,
        qscheme: qscheme = per_tensor_affine,
        quant_min: int = 0,
        quant_max: int = 255,
        is_dynamic: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(dtype, is_dynamic)
        self.qscheme, self.quant_min, self.quant_max = qscheme, quant_min, quant_max
        self.register_buffer("scale", tensor([scale]))
        self.register_buffer("zero_point", tensor([zero_point], dtype=dtypes.int32))

    def forward(self, x: Tensor) -> Tensor:
        """x itself."""
        return x

    def calculate_qparams(self, **options: Any) -> tuple[Any, Any]:
        """What was given."""
        return self.scale, self.zero_point


class PlaceholderObserver(ObserverBase):
    """Tells a dtype and watches nothing: for activations that are quantized as they come."""

    def __init__(
        self,
        dtype: dtypes.dtype = dtypes.float32,
        custom_op_name: str = "",
        compute_dtype: Any = None,
        quant_min: int | None = None,
        quant_max: int | None = None,
        qscheme: qscheme | None = None,
        eps: float | None = None,
        is_dynamic: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(dtype, is_dynamic)
        self.quant_min, self.quant_max = quant_min, quant_max
        self.qscheme = per_tensor_affine if qscheme is None else qscheme
        self.custom_op = custom_op_name

    def forward(self, x: Tensor) -> Tensor:
        """x itself."""
        return x

    def extra_repr(self) -> str:
        """The dtype."""
        return f"dtype={self.dtype}, is_dynamic={self.is_dynamic}"


class NoopObserver(PlaceholderObserver):
    """Watches nothing."""


class RecordingObserver(ObserverBase):
    """Keeps the values that pass, in `tensor_val`, to be looked at."""

    def __init__(self, dtype: dtypes.dtype = dtypes.quint8, **options: Any) -> None:
        super().__init__(dtype)
        self.tensor_val: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """x itself, of which a copy is kept."""
        self.tensor_val.append(x.detach().clone())
        return x

    def get_tensor_value(self) -> list[Tensor]:
        """All values so far."""
        return self.tensor_val
