"""Where Ctrl-C may raise: in the code of a cell, and nowhere around it; not while a kernel is
started."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Gate:
    """Lets Ctrl-C through while the user's code runs.

    Raised in the kernel's own work, before that code or behind it, KeyboardInterrupt would cut off
    the reply, for which the front end waits for ever. One that comes before the code is raised
    where that begins; one behind its end has nothing left to stop. Outside a kernel nobody calls
    `handle`, and the gate does nothing.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._has_come = False
        self.cancels = False  # whether Ctrl-C has cancelled a cell that was awaiting

    def handle(self, *signal_and_frame: Any) -> None:
        """The handler of SIGINT while a request is answered."""
        if self.is_open:
            raise KeyboardInterrupt
        self._has_come = True

    def begin(self) -> None:
        """A request begins: what came before was not meant for it."""
        self.is_open = self._has_come = self.cancels = False

    def told(self, error: Any) -> Any:
        """`error` as the user shall hear of it: of a cell that awaited, KeyboardInterrupt, which
        asyncio.run makes of it, too."""
        if not self.cancels or not isinstance(error, asyncio.CancelledError):
            return error
        return KeyboardInterrupt().with_traceback(error.__traceback__)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """For the user's code in the main thread, to which signals go.

        Raises: KeyboardInterrupt, also for a Ctrl-C that came before.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = self.is_open
        try:
            self.is_open = True
            if self._has_come:
                self._has_come = False
                raise KeyboardInterrupt
            yield
        finally:
            self.is_open = before


@contextmanager
def held() -> Iterator[None]:
    """Ctrl-C waits until the end of the block, which would be left half done.

    Raises: KeyboardInterrupt there, if it came.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[Any] = []
    signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt
