"""Whether a kernel may look at the values of its arrays.

On a GPU that means to wait, and while a graph is recorded there are none yet. There a kernel notes
what is wrong (see `cuda.bounds`).
"""

from __future__ import annotations

from typing import Any


def may_look(xp: Any) -> bool:
    """Whether values are there to be looked at without waiting, or nothing else can be done."""
    if xp.__name__ == "numpy":
        return True
    from . import cuda
    from .cuda import launch

    return not (cuda.is_recording or launch.driver.is_available())


def is_noted(
    xp: Any, numbers: Any, low: int, high: int, operation: str, exempt: int | None = None
) -> bool:
    """Have numbers checked to be from `low` to `high` - 1, or `exempt`, without looking at them;
    False if the caller has to look.

    Raises: IndexError with CUDA_LAUNCH_BLOCKING=1 in the environment; else the next wait does.
    """
    if xp.__name__ == "numpy" or may_look(xp):
        return False
    from . import cuda
    from .cuda import bounds, launch

    if not launch.driver.is_available():
        return True  # recorded
    known = low if exempt is None else exempt
    found = not numbers.size or bounds.note(xp, numbers, low, high, known, operation)
    if found:
        bounds.tell_if_blocking(xp)
    return found or bool(cuda.is_recording)
