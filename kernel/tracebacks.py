"""Tracebacks that end at the user's line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress
from types import FrameType, TracebackType

GENERATED = "<flambeau "
"""Names of files that the runtime writes begin with it."""

LIBRARIES = ("cupy", "cupyx", "cupy_backends", "numpy", "scipy")
"""What the runtime calls; frames of theirs below one of its own tell users nothing."""


def is_ours(frame: FrameType) -> bool:
    """Whether the frame runs the runtime's code, written or generated."""
    return _package(frame) == "flambeau" or frame.f_code.co_filename.startswith(GENERATED)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def are_users(frames: Iterable[FrameType]) -> Iterator[bool]:
    """For each frame, the outermost first: whether it is neither the runtime's nor that of a
    library which the runtime called."""
    is_below = False  # the runtime
    for frame in frames:
        is_below = is_ours(frame) or (is_below and _package(frame) in LIBRARIES)
        yield not is_below


def without_our_frames(traceback: TracebackType | None) -> TracebackType | None:
    """A copy of `traceback` without the frames of the runtime and of libraries that it called.

    What raised stays untouched; a traceback of our frames alone is kept whole.
    """
    levels = []
    while traceback is not None:
        levels.append(traceback)
        traceback = traceback.tb_next
    users = list(compress(levels, are_users(level.tb_frame for level in levels)))
    result = None
    for level in reversed(users or levels):
        result = TracebackType(result, level.tb_frame, level.tb_lasti, level.tb_lineno)
    return result
