"""A file as cells: `.py` with `# %%` lines, `.ipynb`, or plain text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

MARKER = re.compile(r"^#\s?%%(?!\w)")
"""What begins a cell in a `.py` file, as Spyder, VS Code and Jupytext write it."""


@dataclass(frozen=True)
class Cell:
    """Source to execute, and the line of its file that it begins at (1 for the first)."""

    source: str
    first_line: int


def python_cells(text: str) -> list[Cell]:
    """The cells of a script: one per `# %%` line, or the whole text."""
    lines = text.splitlines()
    starts = [0] + [k for k, line in enumerate(lines) if MARKER.match(line)]
    cells = []
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        first = start + 1 if start < len(lines) and MARKER.match(lines[start]) else start
        while first < stop and not lines[first].strip():
            first += 1
        if first < stop:
            cells.append(Cell("\n".join(lines[first:stop]), first + 1))
    return cells


def notebook_cells(text: str) -> list[Cell]:
    """The code cells of a notebook, in order.

    Raises: ValueError if the text is no notebook of format 4.
    """
    try:
        notebook: Any = json.loads(text)
        cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
        sources = ["".join(c["source"]) for c in cells]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            "Expected a notebook of format 4. Got something else "
            f"({type(error).__name__}: {error})."
        ) from None
    return [Cell(source, 1) for source in sources if source.strip()]
