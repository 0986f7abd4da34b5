"""Assertions on tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .core import dtypes as _dtypes
from .core.creation import as_tensor as _as_tensor
from .core.tensor import Tensor

__all__ = ["assert_allclose", "assert_close"]

TOLERANCES = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7), "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7),
}  # fmt: skip
"""Relative and absolute, as PyTorch has them; exact for integers."""


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Fail unless |actual - expected| <= atol + rtol * |expected| for tensors, numbers, and
    sequences and mappings of them.

    Raises: AssertionError that says how many elements differ, and the worst; ValueError if only one
    tolerance is given.
    """
    if (rtol is None) != (atol is None):
        raise ValueError("assert_close: expected both rtol and atol, or neither.")
    found = _difference(
        actual, expected, (rtol, atol), equal_nan, (check_device, check_dtype, check_stride), ""
    )
    if found:
        raise AssertionError(msg(found) if callable(msg) else msg or found)


assert_allclose = assert_close


def _difference(
    a: Any, b: Any, tolerances: Any, equal_nan: bool, checks: tuple[bool, bool, bool], place: str
) -> str:
    """What differs, or nothing."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if a.keys() != b.keys():
            return f"The keys differ{place}: {sorted(map(str, a))} and {sorted(map(str, b))}."
        pairs = [(a[k], b[k], f"{place}[{k!r}]") for k in a]
    elif _is_sequence(a) and _is_sequence(b):
        if len(a) != len(b):
            return f"The lengths differ{place}: {len(a)} and {len(b)}."
        pairs = [(x, y, f"{place}[{k}]") for k, (x, y) in enumerate(zip(a, b, strict=True))]
    else:
        return _tensor_difference(a, b, tolerances, equal_nan, checks, place)
    for x, y, where in pairs:
        found = _difference(x, y, tolerances, equal_nan, checks, where)
        if found:
            return found
    return ""


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _tensor_difference(
    a: Any, b: Any, tolerances: Any, equal_nan: bool, checks: tuple[bool, bool, bool], place: str
) -> str:
    numbers = not isinstance(a, Tensor) and not isinstance(b, Tensor)
    x = a if isinstance(a, Tensor) else _as_tensor(a)
    y = b if isinstance(b, Tensor) else _as_tensor(b)
    for what, applies in (
        ("shape", True),
        ("device", checks[0]),
        ("dtype", checks[1] and not numbers),
    ):
        mine, theirs = getattr(x, what), getattr(y, what)
        if applies and mine != theirs:
            return f"The values of {what} differ{place}: {mine} and {theirs}."
    if checks[2] and x.stride() != y.stride():
        return f"The strides differ{place}: {x.stride()} and {y.stride()}."
    common = _dtypes.promote_types(x.dtype, y.dtype)
    rtol, atol = tolerances
    if rtol is None:
        rtol, atol = TOLERANCES.get(common.name, (0.0, 0.0))
    wide = np.complex128 if common.is_complex else np.float64 if common.category == 2 else None
    p, q = (t.detach().numpy_values() for t in (x, y))
    if wide is not None:
        p, q = p.astype(wide), q.astype(wide)
    with np.errstate(all="ignore"):
        close = np.isclose(p, q, rtol, atol, equal_nan) if wide is not None else p == q
        if close.all():
            return ""
        distance = np.abs(p - q) if common.category else (p != q).astype(np.float64)
    apart = np.where(close, -1, np.nan_to_num(distance, nan=np.inf))
    worst = np.unravel_index(int(np.argmax(apart)), p.shape)
    share = 100 * (1 - close.mean())
    return (
        f"Tensors are not close{place}: {int((~close).sum())} of {close.size} elements differ "
        f"({share:.1f}%). The worst, at {tuple(int(i) for i in worst)}: {p[worst]} and {q[worst]}, "
        f"apart by {distance[worst]:g} (allowed: {atol:g} + {rtol:g} * |expected|)."
    )
