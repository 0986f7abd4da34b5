"""Completion with types: IPython's candidates, each with what its value is."""

from __future__ import annotations

import builtins
import inspect
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from IPython.core.completer import provisionalcompleter

from flambeau import Tensor

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
    find = completer.global_matches

    def first_matches(text: str) -> list[str]:
        matches: list[str] = find(text)
        if len(matches) <= MOST:
            return matches
        return sorted(matches, key=lambda name: (name.startswith("_"), name))[:MOST]

    completer.global_matches = first_matches


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
