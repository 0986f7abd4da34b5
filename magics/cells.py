"""The names that a user has bound in a session, and the cell that bound each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class UserNames:
    """The user's own names in a `namespace`, those that begin with no underscore.

    IPython adds up to three names of its own with every cell, and keeps them. They are not visited
    again: what is new stands behind the newest of them that was there at the last look.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._names: dict[str, None] = {}
        self._size = 0  # of the namespace at the last look
        self._newest = ""  # IPython's newest name then

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and values as they stand. They may be bound and unbound meanwhile."""
        self._look()
        gone = object()
        for name in list(self._names):
            value = self._namespace.get(name, gone)
            if value is gone:
                self._names.pop(name, None)
            else:
                yield name, value

    def _look(self) -> None:
        """Take in what was bound since the last look."""
        size = len(self._namespace)
        if size < self._size:  # names went, and those that come again may stand anywhere
            self._newest = ""
        added, newest = [], ""
        try:
            for name in reversed(self._namespace):
                if name == self._newest:
                    break
                if name[:1] != "_":
                    added.append(name)
                elif not newest and name[:2] == "_i" and name[2:].isdigit():
                    newest = name  # the source of a cell, which nobody binds twice
        except RuntimeError:  # another thread binds names: look again at all
            added = [name for name in list(self._namespace) if name[:1] != "_"]
            newest = ""
        self._names.update(dict.fromkeys(reversed(added)))
        self._size, self._newest = size, newest or self._newest


class CellLedger:
    """Remembers, after every cell, which names it bound anew. It holds ids, never values.

    `watch(shell)` gives the one ledger of a shell.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._names = UserNames(shell.user_ns)
        self._bound: dict[str, tuple[int, int | None]] = {
            name: (id(value), None) for name, value in self._names.items()
        }

    @classmethod
    def watch(cls, shell: Any) -> CellLedger:
        """The ledger of `shell`, which keeps itself up to date from the first call on."""
        ledger: CellLedger | None = getattr(shell, "_flambeau_cells", None)
        if ledger is None:
            ledger = shell._flambeau_cells = cls(shell)
            shell.events.register("post_run_cell", ledger._after)
        return ledger

    def stop(self) -> None:
        """Remember no more."""
        if getattr(self._shell, "_flambeau_cells", None) is self:
            self._shell.events.unregister("post_run_cell", self._after)
            del self._shell._flambeau_cells

    def _after(self, result: Any) -> None:
        number = result.execution_count
        bound = self._bound
        for name, value in self._names.items():
            before = bound.get(name)
            if before is None or before[0] != id(value):
                bound[name] = id(value), number

    def cell_of(self, name: str) -> int | None:
        """The number of the cell that bound `name`; None if it was there before, or is unknown."""
        found = self._bound.get(name)
        return None if found is None else found[1]
