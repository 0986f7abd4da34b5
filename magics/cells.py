"""Which cell bound each name of a session."""

from __future__ import annotations

from typing import Any


class CellLedger:
    """Remembers, after every cell, which names it bound anew. It holds ids, never values.

    `watch(shell)` gives the one ledger of a shell.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._bound: dict[str, tuple[int, int | None]] = {
            name: (id(value), None) for name, value in list(shell.user_ns.items())
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
        for name, value in list(self._shell.user_ns.items()):
            if name[:1] == "_":  # of IPython's own there are three more after every cell
                continue
            before = bound.get(name)
            if before is None or before[0] != id(value):
                bound[name] = id(value), number

    def cell_of(self, name: str) -> int | None:
        """The number of the cell that bound `name`; None if it was there before, or is unknown."""
        found = self._bound.get(name)
        return None if found is None else found[1]
