"""The text of a cell as a syntax tree, with what only IPython understands masked."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import Any, TypeVar

from .findings import Edit, Finding, Hint

FLAGS = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

PYTHON_CELL_MAGICS = frozenset(
    "time timeit capture prun trace profile safe parallel check python python3 pypy".split()
)
"""Cell magics whose body is Python of the session."""

_LINE = re.compile(r"^(\s*)(%{1,2}|!|\?|,|;|/)(?=\S)")
_HELP = re.compile(r"^(\s*)[\w.*%]+\?{1,2}\s*$")
_ASSIGNED = re.compile(r"^(\s*[\w\s,.()\[\]]+?=\s*)([%!].*)$")


def parse(source: str) -> ast.Module:
    """The syntax tree of `source`, a cell with magics, shell commands and `await`.

    Lines and columns are those of `source`. Raises: SyntaxError if it is no Python.
    """
    masked = mask_cell_magic(source)
    try:
        return _parsed(masked)
    except SyntaxError as error:
        try:
            return _parsed(mask_lines(masked))
        except SyntaxError:
            raise error from None


def _parsed(source: str) -> ast.Module:
    tree = compile(source, "<cell>", "exec", FLAGS, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree


def mask_cell_magic(source: str) -> str:
    """`source` without a leading cell magic; empty if the cell is not Python."""
    lines = source.split("\n")
    first = next((k for k, line in enumerate(lines) if line.strip()), None)
    if first is None or not lines[first].startswith("%%"):
        return source
    name = lines[first][2:].split(None, 1)[0] if lines[first][2:].split() else ""
    if name not in PYTHON_CELL_MAGICS:
        return ""
    lines[first] = ""
    return mask_cell_magic("\n".join(lines))


def mask_lines(source: str) -> str:
    """`source` with magics, shell commands and help requests replaced by statements that tell
    nothing."""
    return "\n".join(_masked(line) for line in source.split("\n"))


def _masked(line: str) -> str:
    assigned = _ASSIGNED.match(line)
    if assigned:
        return f"{assigned[1]}__unknown__"
    special = _LINE.match(line) or _HELP.match(line)
    return f"{special[1]}pass" if special else line


def span(node: ast.AST) -> tuple[int, int, int, int]:
    """Line, column, last line and end column of `node`. A call of a method begins at its name, so
    that long chains blame the right line."""
    where: Any = node
    line, column = where.lineno, where.col_offset
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute) and called.end_lineno != line:
            line = called.end_lineno or line
            column = (called.end_col_offset or 0) - len(called.attr)
    return line, column, where.end_lineno or line, where.end_col_offset or column


Placed = TypeVar("Placed", Edit, Finding, Hint)


def in_characters(found: Placed, source: str) -> Placed:
    """`found` with its columns in code points, where syntax trees count bytes."""
    if source.isascii():
        return found
    lines = source.split("\n")
    column = _character(lines, found.line, found.column)
    if isinstance(found, Hint):
        return replace(found, column=column)
    end = _character(lines, found.end_line, found.end_column)
    if isinstance(found, Edit):
        return replace(found, column=column, end_column=end)
    edits = tuple(in_characters(edit, source) for edit in found.edits)
    return replace(found, column=column, end_column=end, edits=edits)


def _character(lines: list[str], line: int, byte: int) -> int:
    """The column in code points of a byte of a line; lines count from 1."""
    if not 0 < line <= len(lines):
        return byte
    return len(lines[line - 1].encode()[:byte].decode(errors="ignore"))
