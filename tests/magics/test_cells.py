"""Which names are the user's, however they came and went, and which cell bound each."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from flambeau.magics.cells import CellLedger, UserNames

AGAIN = "g = globals(); d = dict(g); (lambda g, d: (g.clear(), g.update(d)))(g, d); b = 2"


class Cells:
    """A namespace that grows as IPython's does: the source of each cell under a name of its own."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"_": "", "first": 0}
        self._numbers = count(1)

    def run(self, code: str) -> None:
        self.names[f"_i{next(self._numbers)}"] = code
        exec(code, self.names)


@pytest.mark.parametrize(
    "cells",
    [
        ["a = 1", "b = 2", "a = 3"],
        ["a = b = 1", "del a; c = 2; a = 3", "del c"],
        ["a = 1", AGAIN, "c = 3"],
        ["a = 1; _ = 5", "del _; b = 2; _ = 6; c = 3; del _; d = 4; _ = 7"],
        ["for k in range(9): globals()[f'n{k}'] = k", "del n3, n4; n3 = m = 1", "1"],
    ],
)
def test_every_name_is_found_whenever_one_looks(cells: list[str]):
    session = Cells()
    always, seldom = UserNames(session.names), UserNames(session.names)
    for cell in cells:
        session.run(cell)
        expected = {n: v for n, v in session.names.items() if not n.startswith("_")}
        assert dict(always.items()) == expected
    assert dict(seldom.items()) == expected


def test_names_of_cells_are_not_visited_again():
    class Counted(dict[str, Any]):
        visited = 0

        def __reversed__(self) -> Any:
            for name in super().__reversed__():
                self.visited += 1
                yield name

    names = Counted({f"_i{k}": "" for k in range(1000)}, x=1)
    found = UserNames(names)
    assert dict(found.items()) == {"x": 1}
    names.visited = 0
    assert dict(found.items()) == {"x": 1}
    assert names.visited < 5


def test_the_ledger_knows_the_cell_that_bound_a_name_last(run: Any, shell: Any):
    ledger = CellLedger.watch(shell)
    run("bound_here = object(); other = bound_here")
    first = ledger.cell_of("bound_here")
    run("other = 1")
    assert first is not None
    assert ledger.cell_of("bound_here") == first
    assert ledger.cell_of("other") == first + 1
    assert ledger.cell_of("nobody_bound_this") is None
