"""The `with` block in which operations run in a lower precision; see `ops.autocast`."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from ..core import dtypes
from ..core.tensor import Tensor
from ..ops.autocast import state, switch

__all__ = [
    "autocast", "clear_autocast_cache", "get_autocast_cpu_dtype", "get_autocast_dtype",
    "get_autocast_gpu_dtype", "is_autocast_cache_enabled", "is_autocast_cpu_enabled",
    "is_autocast_enabled", "set_autocast_cache_enabled", "set_autocast_dtype",
    "set_autocast_enabled",
]  # fmt: skip

LOWER_PRECISION = (dtypes.bfloat16, dtypes.float16)

_dtypes = {"cpu": dtypes.bfloat16, "cuda": dtypes.float16}
"""What autocast lowers to on each type of device unless told otherwise."""


class autocast:
    """Run matrix products and convolutions in `dtype` (bfloat16 on the CPU, float16 on a GPU unless
    given), and what needs range or precision in float32: as a `with` block or a decorator.

    Leave backward passes outside. Raises: RuntimeError for an unknown device type; warns, and does
    nothing, for a dtype that is no lower precision.
    """

    def __init__(
        self,
        device_type: str,
        dtype: dtypes.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(
                f"autocast: expected a device type as str. Got {type(device_type).__name__}."
            )
        if not is_autocast_available(device_type):
            raise RuntimeError(
                f"autocast: expected one of the device types {', '.join(_dtypes)}. Got "
                f"{device_type!r}."
            )
        self.device = device_type
        self.fast_dtype = dtype or _dtypes[device_type]
        self.cache_enabled = state.cache_enabled if cache_enabled is None else cache_enabled
        if enabled and self.fast_dtype not in LOWER_PRECISION:
            warnings.warn(
                f"autocast: expected bfloat16 or float16. Got {self.fast_dtype}: autocast is off.",
                UserWarning,
                stacklevel=2,
            )
            enabled = False
        self.enabled = enabled

    def __enter__(self) -> autocast:
        """From here on, in this thread."""
        self._before = state.dtypes.get(self.device), state.cache_enabled
        state.cache_enabled = self.cache_enabled
        _choose(self.device, self.fast_dtype if self.enabled else None)
        return self

    def __exit__(self, *exception: object) -> None:
        """As it was before; the casts of parameters are dropped when the last block ends."""
        before, state.cache_enabled = self._before
        _choose(self.device, before)
        if not state.dtypes:
            state.cache.clear()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` with autocast as here for the length of each call."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with autocast(self.device, self.fast_dtype, self.enabled, self.cache_enabled):
                return function(*args, **kwargs)

        return call


def _choose(device_type: str, dtype: dtypes.dtype | None) -> None:
    """Set this thread's choice for a device type, None for off."""
    was_on = bool(state.dtypes)
    if dtype is None:
        state.dtypes.pop(device_type, None)
    else:
        state.dtypes[device_type] = dtype
    if was_on != bool(state.dtypes):
        switch(1 if state.dtypes else -1)


def is_autocast_available(device_type: str) -> bool:
    """Whether there are lists of operations for the device type."""
    return device_type in _dtypes


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on in this thread for the device type."""
    return device_type in state.dtypes


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Turn autocast on or off for the device type, until told otherwise."""
    _choose(device_type, get_autocast_dtype(device_type) if enabled else None)


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    """What autocast lowers to on the device type."""
    return state.dtypes.get(device_type) or _dtypes[device_type]


def set_autocast_dtype(device_type: str, dtype: dtypes.dtype) -> None:
    """Let autocast lower to `dtype` on the device type unless told otherwise."""
    _dtypes[device_type] = dtype
    if device_type in state.dtypes:
        state.dtypes[device_type] = dtype


def get_autocast_gpu_dtype() -> dtypes.dtype:
    """What autocast lowers to on a GPU."""
    return get_autocast_dtype("cuda")


def get_autocast_cpu_dtype() -> dtypes.dtype:
    """What autocast lowers to on the CPU."""
    return get_autocast_dtype("cpu")


def is_autocast_cpu_enabled() -> bool:
    """Whether autocast is on in this thread for the CPU."""
    return is_autocast_enabled("cpu")


def is_autocast_cache_enabled() -> bool:
    """Whether the casts of parameters are kept."""
    return state.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep the casts of parameters until autocast ends, or not."""
    state.cache_enabled = enabled


def clear_autocast_cache() -> None:
    """Drop the casts of parameters."""
    state.cache.clear()


# -- autograd.Function under autocast --------------------------------------------------------------


def custom_fwd(
    fwd: Any = None, *, device_type: str = "cuda", cast_inputs: dtypes.dtype | None = None
) -> Any:
    """A decorator for the `forward` of an `autograd.Function`: with `cast_inputs`, floating-point
    inputs are cast to it and autocast is off inside; without, inside is as outside."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(*args: Any, **kwargs: Any) -> Any:
        enabled = is_autocast_enabled(device_type)
        args[0]._fwd_used_autocast = enabled and cast_inputs is None
        args[0]._autocast_dtype = get_autocast_dtype(device_type)
        if cast_inputs is None or not enabled:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(
                *[_floating_as(a, cast_inputs) for a in args],
                **{k: _floating_as(v, cast_inputs) for k, v in kwargs.items()},
            )

    return forward


def custom_bwd(bwd: Any = None, *, device_type: str = "cuda") -> Any:
    """A decorator for the `backward` of an `autograd.Function`: autocast is as it was in
    `forward`."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *grads: Any) -> Any:
        with autocast(device_type, ctx._autocast_dtype, ctx._fwd_used_autocast):
            return bwd(ctx, *grads)

    return backward


def _floating_as(value: Any, dtype: dtypes.dtype) -> Any:
    is_floating = isinstance(value, Tensor) and value.dtype.is_floating_point
    return value.to(dtype) if is_floating and value.dtype is not dtypes.float64 else value
