"""`%%safe`: a cell that leaves no trace if it fails."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from IPython.core.magic import cell_magic, magics_class
from IPython.core.magic_arguments import magic_arguments

from .base import Instrument, UsageError, counted, joined
from .memory.pins import bytes_text
from .transactions import Transaction, Undone


def user_names(shell: Any) -> list[str]:
    """The names that a user bound in an IPython `shell`; its own are left alone."""
    hidden = shell.user_ns_hidden
    return [
        name
        for name, value in list(shell.user_ns.items())
        if not name.startswith("_") and (name not in hidden or hidden[name] is not value)
    ]


class SafeCell:
    """The session as it stood before a cell.

    Raises: UsageError if there is no memory for it.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        try:
            self._transaction = Transaction(shell.user_ns, user_names(shell))
        except MemoryError:
            raise UsageError(
                "%%safe: there is no memory to keep a copy of what the session holds. Nothing was "
                "run. %mem shows who holds what."
            ) from None

    def undo(self) -> str:
        """Put the session back; in words, what was changed and what it cost."""
        with uninterrupted():
            undone = self._transaction.rollback(user_names(self._shell))
        return f"Undone: {_changes(undone)}. {self.cost(undone.seconds)}"

    def cost(self, more: float = 0.0) -> str:
        """In words, what keeping the copy cost, and `more` seconds for putting it back."""
        kept = self._transaction
        back = f" and {more * 1e3:.1f} ms for putting it back" if more else ""
        return (
            f"Safety cost {kept.seconds * 1e3:.1f} ms and {bytes_text(kept.nbytes)} for "
            f"{counted(kept.tensors, 'tensor', 'tensors')}{back}."
        )


def _changes(undone: Undone) -> str:
    parts = [f"names {joined(undone.names)}"] if undone.names else []
    if undone.tensors:
        parts.append(f"writes to {counted(undone.tensors, 'tensor', 'tensors')}")
    if undone.failures:
        parts.append(f"all but {counted(len(undone.failures), 'thing', 'things')}: "
                     f"{undone.failures[0]}")  # fmt: skip
    return " and ".join(parts) or "no name and no tensor had changed"


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits for the end of the block."""
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@magics_class
class SafeMagics(Instrument):
    """Undoes cells that fail."""

    @magic_arguments()
    @cell_magic("safe")
    def safe(self, line: str, cell: str) -> None:
        """Run the cell; if it fails or is interrupted, put back names, parameters, gradients,
        optimizer state, random streams and whatever else the session can reach.

        Example: %%safe on the first line, a training loop below it
        """
        self.arguments(self.safe, line)
        before = SafeCell(self.shell)
        print(before.cost() if self.run_cell(cell) else before.undo())
