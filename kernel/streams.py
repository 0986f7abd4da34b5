"""Standard output of the kernel, which waits when it runs far ahead of what was sent."""

from __future__ import annotations

import os

from ipykernel.iostream import OutStream

MOST_UNSENT = 2_000_000
"""Characters that may wait to be sent. Larger messages would keep the interpreter's lock for
seconds while they are put together, and nobody would be answered meanwhile."""

PIECE = 1_000_000  # characters that are written at once


class Stream(OutStream):
    """ipykernel's stream, with a bound: a cell that prints faster than its output leaves is slowed
    down to that rate."""

    _unsent = 0

    def write(self, string: str) -> int | None:
        """Write `string`, a long one in pieces."""
        if not isinstance(string, str) or len(string) <= PIECE:
            return self._write(string)
        for start in range(0, len(string), PIECE):
            self._write(string[start : start + PIECE])
        return len(string)

    def _write(self, string: str) -> int | None:
        written: int | None = super().write(string)
        self._unsent += len(string)
        if self._unsent > MOST_UNSENT and os.getpid() == self._master_pid:
            self.flush()
        return written

    def _rotate_buffers(self) -> dict[frozenset[tuple[str, object]], object]:
        self._unsent = 0
        return super()._rotate_buffers()  # type: ignore[no-any-return]
