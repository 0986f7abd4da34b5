"""Making tensors of numbers in even steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import DTypeError
from . import dtypes
from .creation import _filled, _place, key_for
from .tensor import Tensor

__all__ = ["arange", "linspace", "logspace", "range"]


def _number(value: Any) -> Any:
    """A Python number, or that of a 0-d tensor."""
    return value.item() if isinstance(value, Tensor) else value


def _count(name: str, start: Any, end: Any, step: Any) -> float:
    """(end - start) / step. Raises: RuntimeError if the step does not lead from start to end."""
    numbers = f"Got start {start}, end {end}, step {step}."
    if step == 0:
        raise RuntimeError(f"{name}: expected a nonzero step. {numbers}")
    steps = (end - start) / step
    if not math.isfinite(steps):
        raise RuntimeError(f"{name}: expected finite bounds and step. {numbers}")
    if steps < 0:
        raise RuntimeError(f"{name}: expected a step that leads from start to end. {numbers}")
    return steps


def _require_real(name: str, dtype: dtypes.dtype) -> None:
    if dtype is dtypes.bool_ or dtype.is_complex:
        raise DTypeError(f"{name}: expected a dtype of real numbers. Got {dtype}.")


def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """start, start + step, ... below `end` (from 0 if only one bound is given); int64 for ints.

    With dtype int64 the bounds and the step are cut to whole numbers first.
    Raises: RuntimeError if the step is 0 or leads away from the end.
    """
    start, end, step = (_number(v) for v in (start, end, step))
    if end is None:
        start, end = 0, start
    dtype = dtypes.as_dtype(dtype)
    if dtype is None:
        numbers = [dtypes.of_number(v) for v in (start, end, step)]
        floats = [d for d in numbers if d.is_floating_point]
        dtype = dtypes.get_default_dtype() if floats else dtypes.int64
    _require_real("arange", dtype)
    if dtype is dtypes.int64 and all(math.isfinite(v) for v in (start, end, step)):
        start, end, step = int(start), int(end), int(step)
    count = math.ceil(_count("arange", start, end, step))
    return _steps(start, step, count, dtype, device, requires_grad)


def range(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """start, start + step, ... up to `end`, which is included if a step meets it; floating-point
    numbers unless told otherwise.

    Raises: RuntimeError if the step is 0 or leads away from the end.
    """
    start, end, step = (_number(v) for v in (start, end, step))
    if end is None:
        start, end = 0, start
    dtype = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    _require_real("range", dtype)
    count = math.floor(_count("range", start, end, step)) + 1
    return _steps(start, step, count, dtype, device, requires_grad)


def _steps(
    start: Any, step: Any, count: int, dtype: dtypes.dtype, device: Any, requires_grad: bool
) -> Tensor:
    """`count` numbers from `start` on."""
    if dtype.category < dtypes.FLOAT:
        start, step = int(start), int(step)
    key = key_for(dtype, device)
    if key.device.type == "meta":
        return _filled((count,), None, key, requires_grad)
    exact = np.int64 if isinstance(start, int) and isinstance(step, int) else np.float64
    if key.device.type == "cuda":  # by kernels, which can be recorded into a graph
        xp: Any = key.backend.xp
        with key.guard:
            array = (start + xp.arange(count, dtype=exact) * step).astype(dtype.numpy)
    else:
        array = (start + np.arange(count, dtype=exact) * step).astype(dtype.numpy)
    return _place(array, key, requires_grad)


def _spaced(name: str, start: Any, end: Any, steps: int, dtype: dtypes.dtype) -> Any:
    """`steps` numbers from `start` to `end`, evenly spaced.

    Raises: RuntimeError for a negative number of steps; TypeError for one that is no int.
    """
    steps = steps.__index__()
    if steps < 0:
        raise RuntimeError(f"{name}: expected steps of at least 0. Got {steps}.")
    if steps == 1:
        return np.array([start])
    if dtype.category >= dtypes.FLOAT:
        return np.linspace(start, end, steps)
    step = (end - start) / max(steps - 1, 1)
    places = np.arange(steps)
    # From both ends to the middle, which decides what is cut off.
    return np.where(places < steps // 2, start + step * places, end - step * (steps - 1 - places))


def _bounds(start: Any, end: Any, dtype: Any) -> tuple[Any, Any, dtypes.dtype]:
    """The bounds as numbers of the dtype, which complex ones make complex unless it is given."""
    start, end, dtype = _number(start), _number(end), dtypes.as_dtype(dtype)
    if dtype is None:
        dtype = dtypes.get_default_dtype()
        if isinstance(start, complex) or isinstance(end, complex):
            dtype = dtype.to_complex()
    if dtype.category < dtypes.FLOAT:
        start, end = int(start), int(end)
    return start, end, dtype


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """`steps` numbers from `start` to `end`, both included, evenly spaced; for integers between
    the bounds' whole parts, cut off.

    Raises: RuntimeError for a negative number of steps; DTypeError for bools.
    """
    start, end, dtype = _bounds(start, end, dtype)
    if dtype is dtypes.bool_:
        raise DTypeError("linspace: expected a dtype of numbers. Got torch.bool.")
    key = key_for(dtype, device)
    if key.device.type == "meta" and steps >= 0:
        return _filled((steps,), None, key, requires_grad)
    array = _spaced("linspace", start, end, steps, dtype)
    return _place(array.astype(dtype.numpy), key, requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """`steps` numbers from base**start to base**end, evenly spaced in their logarithm.

    Raises: RuntimeError for a negative number of steps; DTypeError for bools.
    """
    start, end, dtype = _bounds(start, end, dtype)
    if dtype is dtypes.bool_:
        raise DTypeError("logspace: expected a dtype of numbers. Got torch.bool.")
    exponents = _spaced("logspace", start, end, steps, dtype)
    array = np.power(np.result_type(exponents, np.float64).type(base), exponents)
    return _place(array.astype(dtype.numpy), key_for(dtype, device), requires_grad)
