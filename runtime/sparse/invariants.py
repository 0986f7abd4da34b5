"""Whether constructors check all that sparse tensors must fulfil."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_enabled = False


def enabled() -> bool:
    """Whether the checks are on."""
    return _enabled


class check_sparse_tensor_invariants:
    """Turns the checks on or off: `enable()` and `disable()` for good, as a `with` block or a
    decorator for a while. They cost a pass over the indices."""

    def __init__(self, enable: bool = True) -> None:
        self.state = enable
        self._before: list[bool] = []

    @staticmethod
    def is_enabled() -> bool:
        """Whether the checks are on."""
        return _enabled

    @staticmethod
    def enable() -> None:
        """Turn them on."""
        _set(True)

    @staticmethod
    def disable() -> None:
        """Turn them off."""
        _set(False)

    def __enter__(self) -> None:
        self._before.append(_enabled)
        _set(self.state)

    def __exit__(self, *exception: object) -> None:
        _set(self._before.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self.state):
                return function(*args, **kwargs)

        return checked


def _set(state: bool) -> None:
    global _enabled
    _enabled = state
