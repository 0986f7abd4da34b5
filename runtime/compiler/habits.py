"""Habits: compiled functions learn which of their calls gain nothing, and make those plainly.

Where tensors are small, or nothing stands between products, no operations go into one loop; yet
each would be noted before it is computed, which takes 10 us.
"""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor

ENOUGH = 3
"""Calls that gained nothing after which it is believed that none will."""
PERIOD = 64
"""Of so many calls after that, one is a trial: sizes may have changed out of sight."""
MOST_SIGHTS = 256
"""Sorts of arguments that are told apart before all are forgotten."""


class Habit:
    """How often calls of one function gained nothing, by what its arguments look like."""

    def __init__(self) -> None:
        self._vain: dict[Any, int] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Habit, ()  # a copy learns for itself

    def is_vain(self, sight: Any) -> bool:
        """Whether this call is to be made plainly."""
        calls = self._vain.get(sight, 0)
        if calls < ENOUGH:
            return False
        self._vain[sight] = calls + 1
        return (calls - ENOUGH) % PERIOD != PERIOD - 1

    def learn(self, sight: Any, has_gained: bool) -> None:
        """Remember whether a call gained something."""
        if has_gained:
            self._vain.pop(sight, None)
            return
        if len(self._vain) >= MOST_SIGHTS:
            self._vain.clear()
        self._vain[sight] = self._vain.get(sight, 0) + 1


def sight_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """What can be seen of arguments at no cost: sizes and sorts of tensors, whole numbers, the
    classes of others."""
    return tuple([_seen(x) for x in args]) + tuple([(n, _seen(x)) for n, x in kwargs.items()])


def _seen(value: Any) -> Any:
    if value.__class__ is Tensor:
        return value._array.shape, value._key
    return value if value.__class__ is int else value.__class__
