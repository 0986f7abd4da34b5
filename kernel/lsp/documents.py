"""Texts and cells: which of them a cell stands on, and positions in each other's units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lsprotocol import types
from pygls.workspace import Workspace


@dataclass(frozen=True)
class Part:
    """One text document: a file, or a cell together with the cells before it.

    `source` is the whole, of which this document begins at line `first_line`. Columns are in code
    points here, in the client's units (UTF-16 unless it chose others) outside.
    """

    uri: str
    cells: tuple[str, ...]  # those before it, and its own text last
    workspace: Workspace

    @property
    def own(self) -> str:
        """The document's own text."""
        return self.cells[-1]

    @property
    def lines(self) -> list[str]:
        """Its lines, with their ends."""
        return self.own.splitlines(keepends=True) or [""]

    @property
    def source(self) -> str:
        """All texts, one below the other."""
        return "\n".join(self.cells)

    @property
    def first_line(self) -> int:
        """The number of lines of `source` above the document."""
        return sum(cell.count("\n") + 1 for cell in self.cells[:-1])

    def cursor(self, position: types.Position) -> int:
        """The offset into `own` of a position of the client."""
        place = self.workspace.position_codec.position_from_client_units(self.lines, position)
        above = self.lines[: place.line]
        return min(sum(map(len, above)) + place.character, len(self.own))

    def position(self, line: int, column: int) -> types.Position:
        """The client's position for a line and column of the document, both from 0."""
        line = max(0, min(line, len(self.lines) - 1))
        column = max(0, min(column, len(self.lines[line].rstrip("\r\n"))))
        here = types.Position(line, column)
        found: types.Position = self.workspace.position_codec.position_to_client_units(
            self.lines, here
        )
        return found

    def range(self, place: dict[str, Any]) -> types.Range:
        """The client's range of a finding or edit, whose lines count from 1 in the document."""
        return types.Range(
            self.position(place["line"] - 1, place["column"]),
            self.position(place["end_line"] - 1, place["end_column"]),
        )

    def end_of_line(self, line: int) -> types.Position:
        """Where a hint for the line stands."""
        text = self.lines[line] if line < len(self.lines) else ""
        return self.position(line, len(text.rstrip("\r\n")))


def part(workspace: Workspace, uri: str) -> Part:
    """The document `uri`; of a notebook's cell also the code cells before it."""
    return Part(uri, tuple(_texts(workspace, _cells_until(workspace, uri))), workspace)


def notebook_parts(workspace: Workspace, uri: str) -> list[Part]:
    """The code cells of the notebook that the cell `uri` is in; a file is its only part."""
    uris = _code_cells(workspace, uri)
    texts = _texts(workspace, uris)
    return [Part(u, tuple(texts[: k + 1]), workspace) for k, u in enumerate(uris)]


def _cells_until(workspace: Workspace, uri: str) -> list[str]:
    uris = _code_cells(workspace, uri)
    return uris[: uris.index(uri) + 1] if uri in uris else [uri]


def _code_cells(workspace: Workspace, uri: str) -> list[str]:
    notebook = workspace.get_notebook_document(cell_uri=uri)
    if notebook is None:
        return [uri]
    return [c.document for c in notebook.cells if c.kind == types.NotebookCellKind.Code]


def _texts(workspace: Workspace, uris: Sequence[str]) -> list[str]:
    return [workspace.get_text_document(uri).source for uri in uris]
