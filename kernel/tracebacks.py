"""Tracebacks that end at the user's line."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import flambeau

RUNTIME = str(Path(flambeau.__file__).parent)
"""Where the frames lie that a user has not written."""


LIBRARIES = ("cupy", "cupyx", "cupy_backends", "numpy", "scipy")
"""What the runtime calls; frames of theirs below one of its own tell users nothing."""


def is_ours(traceback: TracebackType) -> bool:
    """Whether the frame runs the runtime's code, written or generated."""
    name = traceback.tb_frame.f_code.co_filename
    return name.startswith((RUNTIME, "<flambeau "))


def _is_library(traceback: TracebackType) -> bool:
    name = str(traceback.tb_frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] in LIBRARIES


def without_our_frames(traceback: TracebackType | None) -> TracebackType | None:
    """A copy of `traceback` without the frames of the runtime and of libraries that it called.

    What raised stays untouched; a traceback of our frames alone is kept whole.
    """
    frames, users = [], []
    is_below = False  # the runtime
    while traceback is not None:
        frames.append(traceback)
        is_below = is_ours(traceback) or (is_below and _is_library(traceback))
        if not is_below:
            users.append(traceback)
        traceback = traceback.tb_next
    result = None
    for frame in reversed(users or frames):
        result = TracebackType(result, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return result
