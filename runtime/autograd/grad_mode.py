"""Whether operations are recorded, per thread.

Eager wrappers hold one flag, set while any thread does not record; only then do they ask for their
own thread's mode, which costs 25 ns.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ..core.locks import module_lock

__all__ = ["enable_grad", "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled"]

Function = TypeVar("Function", bound=Callable[..., Any])


class _Mode(threading.local):
    enabled = True


_mode = _Mode()
_lock = module_lock()
_listeners: list[Callable[[bool], None]] = []
_disabled_threads = 0


def on_switch(callback: Callable[[bool], None]) -> None:
    """Call `callback(True)` when the first thread stops recording, `callback(False)` after the
    last."""
    _listeners.append(callback)
    callback(_disabled_threads > 0)


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded for a backward pass."""
    return _mode.enabled


def _set_mode(enabled: bool) -> None:
    global _disabled_threads
    if enabled is _mode.enabled:
        return
    _mode.enabled = enabled
    with _lock:
        before = _disabled_threads
        _disabled_threads += -1 if enabled else 1
        if (before == 0) != (_disabled_threads == 0):
            for callback in _listeners:
                callback(_disabled_threads > 0)


class _GradMode:
    """A `with` block or decorator in which recording is on or off."""

    _enabled: bool

    def __enter__(self) -> None:
        self._previous = _mode.enabled
        _set_mode(self._enabled)

    def __exit__(self, *exception: object) -> None:
        _set_mode(self._previous)

    def _fresh(self) -> _GradMode:
        mode = object.__new__(type(self))
        mode._enabled = self._enabled
        return mode

    def __call__(self, function: Function) -> Function:
        """`function` with this mode for the length of each call, or each step of a generator."""
        if inspect.isgeneratorfunction(function):
            return self._wrap_generator(function)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]

    def _wrap_generator(self, function: Function) -> Function:
        @functools.wraps(function)
        def stepwise(*args: Any, **kwargs: Any) -> Any:
            steps = function(*args, **kwargs)
            sent = None
            try:
                while True:
                    try:
                        with self._fresh():
                            item = steps.send(sent)
                    except StopIteration as stop:
                        return stop.value
                    sent = yield item
            finally:
                steps.close()

        return stepwise  # type: ignore[return-value]


class no_grad(_GradMode):
    """Operations in the block (or decorated function) are not recorded."""

    _enabled = False

    def __new__(cls, function: Any = None) -> Any:
        """`@no_grad` works without parentheses too."""
        mode = object.__new__(cls)
        return mode if function is None else mode(function)


class enable_grad(_GradMode):
    """Operations in the block (or decorated function) are recorded, also inside `no_grad`."""

    _enabled = True

    def __new__(cls, function: Any = None) -> Any:
        """`@enable_grad` works without parentheses too."""
        mode = object.__new__(cls)
        return mode if function is None else mode(function)


class inference_mode(_GradMode):
    """Like `no_grad`; with `mode=False`, like nothing at all."""

    def __new__(cls, mode: Any = True) -> Any:
        """`@inference_mode` works without parentheses too."""
        self = object.__new__(cls)
        self._enabled = False if callable(mode) or mode else is_grad_enabled()
        return self(mode) if callable(mode) else self


class set_grad_enabled(_GradMode):
    """Turn recording on or off at once; as a `with` block, until its end."""

    def __init__(self, mode: bool) -> None:
        self._enabled = bool(mode)
        self._before = is_grad_enabled()
        _set_mode(self._enabled)

    def __enter__(self) -> None:
        self._previous = self._before
        _set_mode(self._enabled)

    def __call__(self, function: Function) -> Function:
        """As a decorator it leaves the mode outside the function as it was."""
        _set_mode(self._before)
        return super().__call__(function)
