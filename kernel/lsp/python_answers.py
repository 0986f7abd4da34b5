"""What jedi knows of plain Python: completions, definitions and docstrings, from the text alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MAGIC_LINE = re.compile(r"^([ \t]*)[%!?].*$", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """A definition: the file, or None for the text itself; line from 1, column from 0."""

    path: str | None
    line: int
    column: int
    length: int


def masked(source: str) -> str:
    """The text with magics and shell lines as comments of the same length."""
    return MAGIC_LINE.sub(lambda m: m[1] + "#" * (len(m[0]) - len(m[1])), source)


def completions(source: str, line: int, column: int) -> list[dict[str, Any]]:
    """What could stand at the place, its kind as type and detail; `line` counts from 1."""
    found = _script(source).complete(line, column)
    return [
        {"text": c.name, "type": c.type, "detail": c.type}
        for c in found
        if not c.name.startswith("__")
    ]


def definitions(source: str, line: int, column: int) -> list[Place]:
    """Where the name at the place is defined."""
    found = _script(source).goto(line, column, follow_imports=True, follow_builtin_imports=True)
    return [
        Place(str(n.module_path) if n.module_path else None, n.line, n.column, len(n.name))
        for n in found
        if n.line is not None
    ]


def documentation(source: str, line: int, column: int) -> str | None:
    """Signature and docstring of the name at the place, as Markdown."""
    for name in _script(source).help(line, column):
        text = name.docstring()
        if text:
            head, _, rest = text.partition("\n\n")
            return f"```python\n{head}\n```\n{rest}".strip()
    return None


def _script(source: str) -> Any:
    import jedi

    return jedi.Script(masked(source))
