"""Names that are not there, the ones that were meant, and the edits that put these in place."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from typing import Any

from .findings import Edit

Fix = tuple[str, tuple[Edit, ...]]
"""What to do in words, and the edits that do it."""

CUTOFF = 0.6  # how alike two names must be, as difflib counts


def attribute_fix(error: BaseException, node: ast.AST) -> Fix | None:
    """The attribute that was meant at `node`, where `error` is that there is none of that name."""
    name, meant = meant_attribute(error)
    if name is None or meant is None:
        return None
    if isinstance(node, ast.Attribute) and node.attr == name:
        line, end = node.end_lineno or 0, node.end_col_offset or 0
        return _fix(meant, Edit(line, end - len(name.encode()), line, end, meant))
    for alias in node.names if isinstance(node, ast.ImportFrom) else ():
        if alias.name == name:
            return _fix(meant, _edit(alias, len(name.encode()), meant))
    return _fix(meant)


def meant_attribute(error: BaseException, cutoff: float = CUTOFF) -> tuple[str | None, str | None]:
    """The attribute that `error` misses, and the one most like it; each None if not known."""
    name, owner = getattr(error, "name", None), getattr(error, "obj", None)
    if name is None:
        found = re.search(r"attribute '(\w+)'", str(error))
        name = None if found is None else found[1]
    if name is None or owner is None:
        return name, None
    return name, closest(name, [n for n in dir(owner) if not n.startswith("_")], cutoff)


def keyword_fix(text: str, node: ast.AST, call: Any) -> Fix | None:
    """The keyword that was meant in a call, where `text` says that one is not expected."""
    found = re.search(r"unexpected keyword argument '(\w+)'", text)
    if found is None or call is None:
        return None
    try:
        names = list(inspect.signature(call[0]).parameters)
    except (TypeError, ValueError):
        return None
    meant = closest(found[1], names, cutoff=0.5)
    if meant is None:
        return f"Leave out {found[1]}.", ()
    for keyword in node.keywords if isinstance(node, ast.Call) else ():
        if keyword.arg == found[1]:
            return _fix(meant, _edit(keyword, len(found[1].encode()), meant))
    return _fix(meant)


def key_fix(text: str, node: ast.AST) -> Fix | None:
    """The key that was meant at a subscript, where `text` names it."""
    found = re.search(r"Did you mean ('.+'|\".+\")\?$", text)
    if found is None:
        return None
    meant = found[1]
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        key = node.slice
        ends = key.end_lineno or key.lineno, key.end_col_offset or key.col_offset
        return _fix(meant, Edit(key.lineno, key.col_offset, *ends, meant))
    return _fix(meant)


def closest(name: str, names: list[str], cutoff: float = CUTOFF) -> str | None:
    """The name most like `name`, if one is like it at all."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    return close[0] if close else None


def _fix(meant: str, *edits: Edit) -> Fix:
    return f"Did you mean {meant}?", edits


def _edit(node: Any, length: int, text: str) -> Edit:
    """`text` in the place of the `length` bytes that `node` begins with."""
    column = node.col_offset
    return Edit(node.lineno, column, node.lineno, column + length, text)
