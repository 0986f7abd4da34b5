"""What happens when memory runs out: the error says what to drop, and there is room to say it."""

from __future__ import annotations

import mmap
from typing import Any

from flambeau.backends.cuda.memory import CachingAllocator, size_text

from .pins import empty_pools
from .report import advice, largest
from .roots import session_census

RESERVE = 128 << 20  # bytes; a traceback by IPython and a census of the heap took under 30 MB,
# but threads that wake up meanwhile take arenas of 64 MB


class Reserve:
    """Address space that is kept free of use, and given up when memory runs out.

    Where a limit is reached even a traceback cannot be made, nor `%mem` run. The pages are never
    written, so they cost no RAM.
    """

    def __init__(self) -> None:
        self._block: mmap.mmap | None = None
        self.restore()

    def restore(self) -> None:
        """Take the reserve, again if it was given up; do without where there is no room for it."""
        if self._block is None:
            try:
                self._block = mmap.mmap(-1, RESERVE)
            except OSError:
                self._block = None

    def give_up(self) -> None:
        """Let the process have it."""
        if self._block is not None:
            self._block.close()
            self._block = None


class Shortage:
    """Shows the out-of-memory errors of an IPython shell with advice."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.reserve = Reserve()
        CachingAllocator.largest_holders = staticmethod(
            lambda device: largest(session_census(shell), f"cuda:{device}", size_text)
        )
        # IPython asks for a function; it binds what it gets to the shell.
        shell.set_custom_exc(
            (*shell.custom_exceptions, MemoryError),
            lambda _, kind, error, traceback, tb_offset=None: self._show(
                kind, error, traceback, tb_offset
            ),
        )

    def stop(self) -> None:
        """Show such errors as any other."""
        kinds = tuple(kind for kind in self.shell.custom_exceptions if kind is not MemoryError)
        self.shell.set_custom_exc(kinds, None)
        self.reserve.give_up()
        CachingAllocator.largest_holders = None

    def _show(self, kind: Any, error: BaseException, traceback: Any, tb_offset: Any) -> None:
        self.reserve.give_up()
        empty_pools()
        try:
            error.add_note(advice(session_census(self.shell)))
        except Exception:  # whatever fails here must not hide the error itself
            error.add_note("%free drops what the session itself holds.")
        self.shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
