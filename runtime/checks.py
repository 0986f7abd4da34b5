"""Checks that raise with the words given: `torch._check` and its kin, `torch._assert`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "_assert", "_assert_async", "_check", "_check_index", "_check_is_size",
    "_check_not_implemented", "_check_tensor_all", "_check_type", "_check_value", "_check_with",
]  # fmt: skip

Message = Callable[[], str] | None


def _assert(condition: Any, message: str) -> None:
    """Raises: AssertionError with `message` unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def _assert_async(condition: Any, message: str = "Expected the condition to hold.") -> None:
    """Raises: RuntimeError with `message` unless the tensor `condition` holds. Unlike in PyTorch it
    is known at once."""
    if not condition:
        raise RuntimeError(message)


def _check_with(error_type: type[Exception], cond: bool, message: Message) -> None:
    """Raises: `error_type` with the words that `message()` gives, unless `cond` holds.

    TypeError for a condition that is no bool.
    """
    if not isinstance(cond, bool):
        raise TypeError(f"_check: expected a bool as cond. Got {type(cond).__name__}.")
    if not cond:
        words = "Expected cond to be True, but got False." if message is None else message()
        raise error_type(words)


def _checking(name: str, error_type: type[Exception]) -> Any:
    def check(cond: bool, message: Message = None) -> None:
        _check_with(error_type, cond, message)

    check.__name__ = check.__qualname__ = name
    check.__doc__ = f"Raises: {error_type.__name__} with `message()` unless `cond` holds."
    return check


_check = _checking("_check", RuntimeError)
_check_index = _checking("_check_index", IndexError)
_check_value = _checking("_check_value", ValueError)
_check_type = _checking("_check_type", TypeError)
_check_not_implemented = _checking("_check_not_implemented", NotImplementedError)


def _check_is_size(i: int, message: Message = None, *, max: int | None = None) -> None:
    """Raises: RuntimeError unless 0 <= i (<= max)."""
    _check_with(RuntimeError, i >= 0, message)
    if max is not None:
        _check_with(RuntimeError, i <= max, message)


def _check_tensor_all(cond: Any, message: Message = None) -> None:
    """Raises: RuntimeError with `message()` unless all elements of the bool tensor `cond` hold."""
    _check_with(RuntimeError, bool(cond.all()), message)
