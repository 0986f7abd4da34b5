"""What the checker tells: findings about lines, and hints at the end of assignments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Edit", "Finding", "Hint", "Report"]

SEVERITIES = ("error", "warning", "information", "hint")


@dataclass(frozen=True)
class Edit:
    """A replacement of the text from (`line`, `column`) to (`end_line`, `end_column`)."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a cell.

    Lines count from 1 and columns from 0, in code points, as Jupyter counts them. `severity` is
    "error" for what fails when it runs and "warning" for what runs but hardly does what was meant.
    `code` names the kind of mistake, `message` says what was expected and what came. `fix` says in
    words what to do, or is None; `edits` do it. `related` has other lines that matter, each with a
    message.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    severity: str
    code: str
    message: str
    fix: str | None = None
    edits: tuple[Edit, ...] = ()
    related: tuple[tuple[int, str], ...] = field(default=())

    def as_text(self, file: str = "") -> str:
        """One line as compilers print it: `file:line:column: severity: message [code]`."""
        place = f"{file}:{self.line}:{self.column + 1}" if file else f"line {self.line}"
        text = f"{place}: {self.severity}: {self.message} [{self.code}]"
        return f"{text}\n    fix: {self.fix}" if self.fix else text


@dataclass(frozen=True)
class Hint:
    """The shape and dtype of `name` at the end of the assignment at (`line`, `column`).

    `text` reads `(32, 10) float32`; several values of a tuple are parted by commas.
    """

    line: int
    column: int
    name: str
    text: str


@dataclass(frozen=True)
class Report:
    """All that was found out about a cell: `findings` and `hints`, each in the order of lines."""

    findings: list[Finding]
    hints: list[Hint]


def order(finding: Finding) -> tuple[Any, ...]:
    """Sort key: by place, errors first."""
    return finding.line, finding.column, SEVERITIES.index(finding.severity), finding.code
