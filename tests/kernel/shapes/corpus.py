"""The corpus of cells: real styles of code that work, and faults put into them.

A `.cells` file holds series of cells as a notebook runs them. A line `=== name` begins a series,
`---` its next cell. Comments at the end of a line put faults in, one at a time:

    x = nn.Linear(3, 4)  #! nn.Linear(2, 4)    what is assigned becomes that, and the series fails
    opt.zero_grad()      #? pass               the line becomes that; the series runs on, misused
    loss.backward()      #<                    a line that may be blamed for a misuse of its cell
"""

from __future__ import annotations

import linecache
import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flambeau as torch

FOLDER = Path(__file__).parent
_MARK = re.compile(r"\s*#(?:[!?] |<)")
_KEPT = re.compile(r"\s*(?:return |yield |[\w.]+(?:, *[\w.]+)* [-+*/@]?= )")
_FAULT = re.compile(r"#([!?]) (.*?)(?=\s*#[!?] |\s*#<|$)")


@dataclass(frozen=True)
class Series:
    """Cells that run one after the other in one namespace."""

    name: str
    cells: tuple[str, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Fault:
    """A line that is replaced: `line` of cell number `cell` becomes `text`. With `fails` the series
    then ends in an error; else it runs, and what it does is hardly meant."""

    cell: int
    line: int
    text: str
    fails: bool
    blamed: frozenset[int]

    def put_into(self, cells: tuple[str, ...]) -> tuple[str, ...]:
        """The cells with this fault."""
        lines = cells[self.cell].split("\n")
        old = lines[self.line - 1]
        kept = _KEPT.match(old) if self.text != "pass" else None
        indent = old[: len(old) - len(old.lstrip())]
        lines[self.line - 1] = (kept[0] if kept else indent) + self.text
        return (*cells[: self.cell], "\n".join(lines), *cells[self.cell + 1 :])


def all_series() -> list[Series]:
    """Every series of every file, in order."""
    return [series for path in sorted(FOLDER.glob("*.cells")) for series in _read(path)]


def _read(path: Path) -> list[Series]:
    found = []
    for part in re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
        title, _, body = part.partition("\n")
        cells, faults = [], list[Fault]()
        for number, text in enumerate(re.split(r"^---\n", body, flags=re.M)):
            lines = text.strip("\n").split("\n")
            blamed = frozenset(k for k, line in enumerate(lines, 1) if "#<" in line)
            for k, line in enumerate(lines, 1):
                for kind, replacement in _FAULT.findall(line):
                    faults.append(Fault(number, k, replacement.strip(), kind == "!", blamed))
            cells.append("\n".join(_MARK.split(line)[0] for line in lines))
        found.append(Series(f"{path.stem}: {title.strip()}", tuple(cells), tuple(faults)))
    return found


def fresh_names() -> dict[str, Any]:
    """The names of a new session."""
    return {
        "__name__": "__main__",
        "torch": torch,
        "nn": torch.nn,
        "F": torch.nn.functional,
        "optim": torch.optim,
    }


def execute(source: str, number: int, names: dict[str, Any]) -> int | None:
    """Run a cell; the line where it failed, or None if it did not."""
    file = f"<corpus cell {number}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    try:
        exec(compile(source, file, "exec"), names)
    except Exception as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        return lines[-1] if lines else -1
    return None
