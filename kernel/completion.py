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
from types import ModuleType
from typing import TYPE_CHECKING, Any

from IPython.core.completer import provisionalcompleter

from flambeau.magics.check.source import parse

from .snapshot import facts_of

if TYPE_CHECKING:
    from .session import Session

DESCRIBED = 200
"""Candidates that are described; nobody reads further, and each takes some microseconds."""

PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")
MISSING = object()

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
        if k < DESCRIBED and kind not in ("magic", "param", "path", "dict key"):
            value = _value_of(session.namespace, values, source[:start], text)
            kind, detail = describe(text, value) if value is not MISSING else (kind, "")
        kind = "" if kind == "<unknown>" else kind
        completions.append(Completion(text, start, end, kind, detail))
    return completions


def _value_of(
    namespace: dict[str, Any], parents: dict[str, Any], before: str, candidate: str
) -> Any:
    """What a candidate that follows the text `before` stands for; MISSING where code would have to
    run to know."""
    if not candidate.startswith("."):
        return namespace.get(candidate, vars(builtins).get(candidate, MISSING))
    path = PATH.search(before)
    if path is None:
        return MISSING
    if path[0] not in parents:
        parents[path[0]] = resolve(namespace, path[0])
    return attribute(parents[path[0]], candidate[1:])


def resolve(namespace: dict[str, Any], path: str) -> Any:
    """The value at a dotted path such as `model.fc1.weight`, found without running user code;
    MISSING if there is none, or not so."""
    first, *rest = path.split(".")
    value = namespace.get(first, MISSING)
    for name in rest:
        value = attribute(value, name)
    return value


def attribute(value: Any, name: str) -> Any:
    """The attribute as it is stored; of modules also children, parameters and buffers."""
    if value is MISSING:
        return MISSING
    own = getattr(value, "__dict__", None) or {}
    for table in (own, *(own.get(t) or {} for t in ("_parameters", "_modules", "_buffers"))):
        if type(table) is dict or hasattr(table, "keys"):
            found = table.get(name, MISSING)
            if found is not MISSING:
                return found
    if isinstance(value, ModuleType):
        return own.get(name, MISSING)
    return inspect.getattr_static(value, name, MISSING)


def describe(name: str, value: Any) -> tuple[str, str]:
    """The kind of a value, and its signature, or its shape and the like."""
    if isinstance(value, ModuleType):
        return "module", ""
    if isinstance(value, type):
        return "class", ""
    if isinstance(value, property):
        return "property", ""
    if callable(value) and hasattr(value, "__name__"):
        return "function", _signature(value)
    return "instance", str(facts_of(name, value))


def _signature(function: Any) -> str:
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):
        return ""
