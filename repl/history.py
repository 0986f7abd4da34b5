"""What was typed in earlier sessions, on disk."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from prompt_toolkit.history import FileHistory


def history_path() -> Path:
    """$FLAMBEAU_HISTORY, or `flambeau/history` in the user's XDG data directory."""
    chosen = os.environ.get("FLAMBEAU_HISTORY")
    if chosen:
        return Path(chosen).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "flambeau" / "history"


class DiskHistory(FileHistory):
    """One entry a cell, many lines each; appended at once, so that no crash loses one.

    A file that cannot be read or written leaves a history of this session alone; `fault` says why.
    """

    def __init__(self, path: Path) -> None:
        self.fault: OSError | None = None
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(self._open())
        except OSError as error:
            self.fault = error
        super().__init__(path if self.fault is None else os.devnull)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        return os.open(self._path, flags, 0o600)  # cells may hold secrets

    def append_string(self, string: str) -> None:
        """Add a cell, unless it repeats the last one."""
        string = string.rstrip()
        if string and string != next(iter(reversed(self.get_strings())), None):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        if self.fault is not None:
            return
        lines = "".join(f"+{line}\n" for line in string.split("\n"))
        entry = f"\n# {datetime.now()}\n{lines}".encode("utf-8", "replace")
        try:
            descriptor = self._open()
            try:
                os.write(descriptor, entry)  # one write: sessions side by side do not interleave
            finally:
                os.close(descriptor)
        except OSError as error:
            self.fault = error
