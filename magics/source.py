"""Lines of the user's code, called by cell and number as the user sees them."""

from __future__ import annotations

import linecache
import sys
import threading
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

from IPython.core.getipython import get_ipython

OWN = "flambeau."
"""How the names of modules begin whose frames are not the user's."""


@dataclass(frozen=True)
class Line:
    """A line of code: its file (a cell has a made-up one), its number from 1, its function."""

    file: str
    number: int
    function: str

    @property
    def text(self) -> str:
        """What stands there, without indentation."""
        return linecache.getline(self.file, self.number).strip()

    @property
    def place(self) -> str:
        """`In [3] line 4`, or `model.py line 4`."""
        return f"{file_name(self.file)} line {self.number}"

    def __str__(self) -> str:
        text = self.text
        return f"{self.place}: {text}" if text else self.place


def file_name(file: str) -> str:
    """`In [3]` for the file of a cell, the last part of the path for others."""
    shell = get_ipython()
    cells: Any = getattr(getattr(shell, "compile", None), "_filename_map", {})
    if file in cells:
        return f"In [{cells[file]}]"
    return file.replace("\\", "/").rpartition("/")[2]


def user_line() -> Line | None:
    """The innermost line that runs and is not the runtime's; None where there is none."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "")[:9] == OWN:
        frame = frame.f_back
    if frame is None:
        return None
    return line_at(frame.f_code, frame.f_lasti)


HOSTS = (OWN, "IPython.", "ipykernel.", "asyncio", "tornado.", "threading", "zmq.")
"""Modules whose frames hold nothing that the user asks for."""


def running_frames() -> list[Any]:
    """The user's frames in the main thread, the innermost first, asked for from another one (a
    subshell); none from the main thread itself, where only the question runs."""
    main = threading.main_thread().ident
    if main is None or main == threading.get_ident():
        return []
    frame: Any = sys._current_frames().get(main)
    found = []
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith(HOSTS):
            found.append(frame)
        frame = frame.f_back
    return found


def line_at(code: CodeType, instruction: int) -> Line:
    """The line of an instruction of `code`."""
    # The file is part of the key: code of two cells with the same text compares equal.
    return _line_at(code.co_filename, code, instruction)


@lru_cache(maxsize=4096)
def _line_at(file: str, code: CodeType, instruction: int) -> Line:
    numbers = (n for start, end, n in code.co_lines() if start <= instruction < end)
    return Line(file, next(numbers, None) or code.co_firstlineno, code.co_name)
