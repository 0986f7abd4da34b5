"""`%check` and `%%check`: what would go wrong in a cell, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from IPython.core.magic import line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from ..base import Instrument, UsageError, counted
from . import examine


@magics_class
class CheckMagics(Instrument):
    """Checks cells and files."""

    @magic_arguments()
    @argument("file", nargs="*", help="a Python file; without one, the cell before this")
    @argument("-s", "--shapes", action="store_true", help="show the shapes of what is assigned too")
    @line_cell_magic("check")
    def check(self, line: str, cell: str | None = None) -> None:
        """Tell what would go wrong in a cell, a file, or the cell before, without running it.

        The cell is interpreted over tensors without memory, with the session's names. Example:
        %%check above a cell.
        """
        arguments = self.arguments(self.check, line)
        source = self._source(" ".join(arguments.file)) if cell is None else "\n" + cell
        print(report(source, self.namespace, arguments.shapes))

    def _source(self, file: str) -> str:
        if not file:
            cells = [text for text in self.namespace.get("In", [])[:-1] if text.strip()]
            if not cells:
                raise UsageError("%check: expected a cell before this one, or a file. Got none.")
            return str(cells[-1])
        try:
            return Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"%check: expected a Python file. Got {file}: {error}") from None


def report(source: str, namespace: dict[str, Any], shapes: bool = False) -> str:
    """Findings about `source` with the lines that they are about, or that there are none; with
    `shapes` also every line at whose end a tensor's shape is known."""
    lines = source.split("\n")
    found = examine([source], namespace)[0]
    told = [f"{f.as_text()}\n    {f.line:>4} | {_line(lines, f.line)}" for f in found.findings]
    if shapes:
        hints = [f"{h.line:>4} | {h.name}: {h.text}" for h in found.hints]
        told = [*hints, *told]
    count = len(found.findings)
    summary = counted(count, "finding", "findings") if count else "Nothing found."
    return "\n".join([*told, summary])


def _line(lines: list[str], number: int) -> str:
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""
