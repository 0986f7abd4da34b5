"""Tracebacks that end at the user's line."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import flambeau

RUNTIME = str(Path(flambeau.__file__).parent)
"""Where the frames lie that a user has not written."""


def is_ours(traceback: TracebackType) -> bool:
    """Whether the frame runs the runtime's code, written or generated."""
    name = traceback.tb_frame.f_code.co_filename
    return name.startswith((RUNTIME, "<flambeau "))


def without_our_frames(traceback: TracebackType | None) -> TracebackType | None:
    """A copy of `traceback` without the frames of the runtime.

    What raised stays untouched; a traceback of our frames alone is kept whole.
    """
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    result = None
    for frame in reversed([f for f in frames if not is_ours(f)] or frames):
        result = TracebackType(result, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return result
