"""Where the CPU waits for the GPU without being told to, for those who look for such places."""

from __future__ import annotations

import sys
import warnings

from .history import OWN

MODES = ("default", "warn", "error")
"""What happens then: nothing, a warning, an error."""


class _Chosen:
    """The mode by its number."""

    mode = 0


def mode() -> int:
    """The number of the mode."""
    return _Chosen.mode


def choose(number: int) -> None:
    """Another mode from now on."""
    _Chosen.mode = number


def note(what: str) -> None:
    """`what` is about to wait for the GPU. Raises: RuntimeError if the mode is "error"."""
    if not _Chosen.mode:
        return
    told = (
        f"{what}: called a synchronizing CUDA operation: the CPU waits until the GPU has done all "
        "that it was asked for. Keep values on the GPU, or copy with non_blocking=True."
    )
    if MODES[_Chosen.mode] == "error":
        raise RuntimeError(told)
    warnings.warn(told, UserWarning, stacklevel=_callers_level())


def _callers_level() -> int:
    """How many frames above `note` the user's line stands."""
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((OWN, "<flambeau")):
        level, frame = level + 1, frame.f_back
    return level
