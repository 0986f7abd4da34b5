"""Lines of the user's code, for errors that tell where something began."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

Place = tuple[CodeType, int]
"""A point in a running program: code and instruction. Its line is looked up when it is shown."""

name_of: Callable[[str], str] = str
"""What users call a file of code; a session knows its cells."""


def current() -> Place | None:
    """The innermost place that runs and is not the runtime's own, which at least its two callers
    are."""
    frame: Any = sys._getframe(3)
    while frame is not None and frame.f_globals.get("__name__", "")[:9] == "flambeau.":
        frame = frame.f_back
    return None if frame is None else (frame.f_code, frame.f_lasti)


def shown(place: Place) -> str:
    """The place in words: its line's number and text."""
    code, instruction = place
    number = list(code.co_positions())[instruction // 2][0] or code.co_firstlineno
    text = linecache.getline(code.co_filename, number).strip()
    words = f"line {number} of {name_of(code.co_filename)}"
    return f"{words}: {text}" if text else words


def count_write(version: list[Any], operation: str) -> None:
    """Count a write in place in a tensor's `version`, and remember who did the last one."""
    version[:] = version[0] + 1, operation, current()


def last_write(version: list[Any]) -> str:
    """In words, what wrote last to the tensor with this `version`; empty if that is not known."""
    if len(version) == 1:
        return ""
    operation, place = version[1:]
    return operation if place is None else f"{operation} ({shown(place)})"
