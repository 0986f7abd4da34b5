"""Where names come from: the cell and line that bound each one, read from the cells' syntax trees.

Nothing is watched while code runs: the source of a cell is kept, and parsed when somebody asks.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

REMEMBERED = 4
"""Bindings of a name that are kept; the last alone would hide those before the line that failed."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The line that bound a name last: `place` is `In[3]` or a file's name, `line` counts from 1
    within it, `text` is the line itself."""

    place: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.place}, line {self.line}"


@dataclass(frozen=True, slots=True)
class CellSource:
    """A cell that ran: its text as typed, what to call it, and the line that it begins at there."""

    source: str
    place: str
    first_line: int = 1


class Origins:
    """The origins of each name of the session, from the cells that ran, in order.

    `transform` turns a cell as typed into Python, line for line (IPython's magics become calls).
    """

    def __init__(self, transform: Callable[[str], str]) -> None:
        self._transform = transform
        self._waiting: list[CellSource] = []
        self._found: dict[str, tuple[Origin, ...]] = {}  # latest first
        self._reading = threading.Lock()  # of readers; a cell that runs never takes it

    def add(self, cell: CellSource) -> None:
        """Note that `cell` runs; it costs nothing until the next question."""
        self._waiting.append(cell)

    def get(self, name: str) -> Origin | None:
        """Where `name` was bound last; None if no cell did."""
        return self.known().get(name, (None,))[0]

    def before(self, name: str, place: str, line: int) -> Origin | None:
        """Where `name` was bound last before `line` of `place` ran; None if that is not known."""
        for origin in self.known().get(name, ()):
            if origin.place != place or origin.line < line:
                return origin
        return None

    def known(self) -> dict[str, tuple[Origin, ...]]:
        """The origins of all names, latest first. The dict is never written to again."""
        with self._reading:
            if self._waiting:
                found = dict(self._found)
                while self._waiting:
                    for name, origin in self._read(self._waiting.pop(0)):
                        found[name] = (origin, *found.get(name, ()))[:REMEMBERED]
                self._found = found
            return self._found

    def clear(self) -> None:
        """Forget everything."""
        with self._reading:
            self._waiting.clear()
            self._found = {}

    def _read(self, cell: CellSource) -> Iterator[tuple[str, Origin]]:
        try:
            tree = ast.parse(self._transform(cell.source))
        except Exception:
            return  # what does not parse has bound nothing; magics may refuse in any way
        lines = cell.source.splitlines()
        blank = 0
        while blank < len(lines) and not lines[blank].strip():
            blank += 1  # IPython drops blank lines at the top
        for name, line in bindings(tree.body):
            k = line - 1 + blank
            if k < len(lines):
                yield name, Origin(cell.place, cell.first_line + k, lines[k].strip())


def bindings(body: list[ast.stmt]) -> Iterator[tuple[str, int]]:
    """The names that statements bind in their own scope, with the line of each, in order."""
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name, statement.lineno
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    yield (alias.asname or alias.name.partition(".")[0]), statement.lineno
            case _:
                yield from _targets(statement)
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _blocks(statement)


def _targets(statement: ast.stmt) -> Iterator[tuple[str, int]]:
    """Names stored by the statement itself: assignments, loops, `with`, walrus."""
    stack: list[ast.AST] = [
        child for child in ast.iter_child_nodes(statement) if not isinstance(child, ast.stmt)
    ]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp):
            continue
        elif not isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            stack.extend(ast.iter_child_nodes(node))


def _blocks(statement: ast.stmt) -> Iterator[tuple[str, int]]:
    """What the blocks inside a compound statement bind."""
    for field in ("body", "orelse", "finalbody"):
        yield from bindings(getattr(statement, field, []))
    for handler in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield from bindings(handler.body)
