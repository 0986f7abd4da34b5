"""Completion with types: IPython's candidates, each with what its value is."""

from __future__ import annotations

import ast
import builtins
import contextlib
import inspect
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from IPython.core.completer import provisionalcompleter

from flambeau import Tensor
from flambeau.magics.check.source import parse

from .expressions import (
    MISSING,
    PATH,
    attribute,
    is_bound,
    is_tensor,
    owner_before,
    resolve,
)
from .parameters import signature_text
from .snapshot import facts_of

if TYPE_CHECKING:
    from .session import Session

DESCRIBED = 200
"""Candidates that are described; nobody reads further, and each takes some microseconds."""

ABBREVIATION = re.compile(r"[^\W_](?:_[^\W_])+_?\Z")
"""The first letters of the parts of a name."""

MOST = 500
"""Names that are looked at further. IPython shows as many, but first describes and sorts them all,
which takes 0.15 s for 10,000."""


@dataclass(frozen=True, slots=True)
class Completion:
    """`text` may replace `source[start:end]`; `type` is what front ends draw icons for
    (`function`, `class`, `module`, `instance`, `magic`, ...), `detail` is the signature, or shape
    and dtype, as far as known."""

    text: str
    start: int
    end: int
    type: str = ""
    detail: str = ""


def limit(completer: Any) -> None:
    """Let IPython's completer look at the names that it will show, and no more."""

    def matches(text: str, context: Any = None) -> list[str]:
        typed = () if context is None else typed_names(context.full_text, context.cursor_line)
        return names_for(text, [*keyword.kwlist, *vars(builtins), *typed, *completer.namespace])

    completer.global_matches = matches


def names_for(text: str, names: list[str]) -> list[str]:
    """Those of `names` that begin with `text`, or whose parts do with its letters (`l_r` finds
    `learning_rate`); of many the first by the alphabet."""
    found = [name for name in names if name.startswith(text)]
    if ABBREVIATION.match(text):
        parts = re.compile("[^_]*_".join(text.split("_")))
        found += [name for name in names if parts.match(name)]
    found = list(dict.fromkeys(found))
    if len(found) > MOST:
        found.sort()
        ours = [name for name in found if not name.startswith("_")][:MOST]
        found = ours + [name for name in found if name.startswith("_")][: MOST - len(ours)]
    return found


def typed_names(source: str, line: int) -> set[str]:
    """Names that a cell binds, in functions too, elsewhere than on its line `line` (from 0), which
    is being typed."""
    lines = source.split("\n")
    begun = lines[line]
    lines[line] = begun[: len(begun) - len(begun.lstrip())] + "pass"
    for text in ("\n".join(lines), "\n".join(lines[: line + 1])):
        with contextlib.suppress(SyntaxError, ValueError, RecursionError):
            return {name for node in ast.walk(parse(text)) for name in _bound_by(node)}
    return set()


def _bound_by(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(name, ast.Store()) | ast.arg(name):
            yield name
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
            yield name
        case ast.alias(name, alias):
            yield alias or name.partition(".")[0]


def complete(session: Session, source: str, cursor: int) -> list[Completion]:
    """What could stand at `cursor`. No user code runs for types and details."""
    with provisionalcompleter():
        found = list(session.shell.Completer.completions(source, cursor))
    values: dict[str, Any] = {}
    completions = []
    for k, candidate in enumerate(found):
        text, start, end = candidate.text, candidate.start, candidate.end
        kind, detail = candidate.type, ""
        if kind == "magic":
            if not _may_be_magic(source, start, text):
                continue
            detail = _about_magic(session, text) if k < DESCRIBED else ""
        elif k < DESCRIBED and kind not in ("param", "path", "dict key"):
            owner, value = _value_of(session.namespace, values, source[:start], text)
            if value is not MISSING:
                kind, detail = describe(text, value, is_bound(owner, value))
        kind = "" if kind == "<unknown>" else kind
        completions.append(Completion(text, start, end, kind, detail))
    return completions or _of_inferred(session, source, cursor)


def _may_be_magic(source: str, start: int, text: str) -> bool:
    """Whether a magic can begin at `start`: a line does, or its sign stands there already."""
    line = source[:start].rpartition("\n")[2]
    return not line.strip() or (source.startswith("%", start) and not text.startswith("%%"))


def _about_magic(session: Session, text: str) -> str:
    """The first sentence of its help, which may begin with its usage, indented."""
    kind = "cell" if text.startswith("%%") else "line"
    document = inspect.getdoc(session.shell.find_magic(text.lstrip("%"), kind)) or ""
    for paragraph in document.split("\n\n"):
        words = " ".join(paragraph.split())
        if words != "::" and not words.startswith("%"):
            return words.partition(". ")[0].removesuffix(".")
    return ""


def _of_inferred(session: Session, source: str, cursor: int) -> list[Completion]:
    """The attributes of an expression that is no name but, by its looks, a tensor."""
    owner = owner_before(source, cursor)
    if owner is None or not is_tensor(session.namespace, source, owner):
        return []
    start = owner[1] + 1
    prefix = source[start:cursor]
    names = (n for n in dir(Tensor) if n.startswith(prefix) and (prefix or not n.startswith("_")))
    values = [(name, attribute(Tensor, name)) for name in names]
    return [
        Completion(name, start, cursor, *describe(name, value, isinstance(value, FunctionType)))
        for name, value in values
    ]


def _value_of(
    namespace: dict[str, Any], parents: dict[str, Any], before: str, candidate: str
) -> tuple[Any, Any]:
    """What a candidate that follows the text `before` belongs to and stands for; MISSING where code
    would have to run to know."""
    if not candidate.startswith("."):
        return MISSING, namespace.get(candidate, vars(builtins).get(candidate, MISSING))
    path = PATH.search(before)
    if path is None:
        return MISSING, MISSING
    if path[0] not in parents:
        parents[path[0]] = resolve(namespace, path[0])
    return parents[path[0]], attribute(parents[path[0]], candidate[1:])


def describe(name: str, value: Any, is_bound: bool = False) -> tuple[str, str]:
    """The kind of a value, and its signature, or its shape and the like.

    `is_bound` says that a function was found behind an instance.
    """
    if isinstance(value, ModuleType):
        return "module", ""
    if isinstance(value, type):
        return "class", ""
    if isinstance(value, property):
        return "property", ""
    if callable(value) and hasattr(value, "__name__"):
        return "function", signature_text(value, is_bound)
    return "instance", str(facts_of(name, value))
