"""Help at the cursor: which call it is in and what that takes, and what a name stands for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .completion import describe
from .expressions import TOKEN, found_before
from .parameters import called_by, parameters_of, text_of

_CALLEE = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)\s*\Z")
_KEYWORD = re.compile(r"\s*([^\W\d]\w*)\s*=(?!=)")


@dataclass(frozen=True, slots=True)
class Call:
    """An open call: the path of what is called and where that ends, the arguments before the
    cursor's, its keyword."""

    path: str
    end: int
    position: int
    keyword: str | None


@dataclass(frozen=True, slots=True)
class Signature:
    """A call's parameters as text, and which one the cursor is at; None if it is none of them."""

    name: str
    parameters: tuple[str, ...]
    active: int | None
    summary: str  # the first line of the docstring

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.parameters)})"


def call_at(source: str, cursor: int) -> Call | None:
    """The innermost call that is open at `cursor`, an offset in code points."""
    before = source[:cursor]
    open_brackets: list[list[int]] = []  # per bracket: where it stands, commas, start of argument
    for token in TOKEN.finditer(before):
        text = token.group()
        if text in "([{":
            open_brackets.append([token.start(), 0, token.end()])
        elif text in ")]}":
            if open_brackets:
                open_brackets.pop()
        elif text == "," and open_brackets:
            open_brackets[-1][1] += 1
            open_brackets[-1][2] = token.end()
    for start, commas, argument in reversed(open_brackets):
        callee = _CALLEE.search(before, 0, start) if before[start] == "(" else None
        if callee is not None and not _is_definition(before, callee.start()):
            keyword = _KEYWORD.match(before, argument)
            return Call(callee[1], callee.end(1), commas, keyword[1] if keyword else None)
    return None


def _is_definition(text: str, at: int) -> bool:
    return text[:at].rstrip().endswith(("def", "class"))


def signature_at(namespace: Mapping[str, Any], source: str, cursor: int) -> Signature | None:
    """The signature of the call at `cursor`; None outside calls and where none is known.

    Nothing of the source runs; a module's call shows what its `forward` takes.
    """
    call = call_at(source, cursor)
    found = None if call is None else found_before(namespace, source, call.end)
    if call is None or found is None:
        return None
    try:
        parameters = parameters_of(found.value, found.is_bound)
    except (TypeError, ValueError):
        return None
    document = (inspect.getdoc(called_by(found.value)) or "").strip()
    return Signature(
        call.path.rpartition(".")[2],
        tuple(text_of(p) for p in parameters),
        _active(parameters, call),
        document.split("\n", 1)[0],
    )


def summary_at(namespace: Mapping[str, Any], source: str, cursor: int) -> str | None:
    """One line about the value that the path before `cursor` names; None if it names none.

    A tensor's shape or a function's signature, and the first line of a docstring.
    """
    found = found_before(namespace, source, cursor)
    if found is None:
        return None
    path, value = found.path, found.value
    kind, detail = describe(path, value, found.is_bound)
    has_own_document = isinstance(value, ModuleType | type) or callable(value)
    document = (inspect.getdoc(value) or "").strip() if has_own_document else ""
    first = document.split("\n", 1)[0]
    head = path + detail if kind == "function" else f"{path}: {detail or kind}"
    return f"{head}  {first}" if first else head


def _active(parameters: list[inspect.Parameter], call: Call) -> int | None:
    kinds = inspect.Parameter
    if call.keyword is not None:
        names = [p.name for p in parameters]
        if call.keyword in names:
            return names.index(call.keyword)
        rest = [k for k, p in enumerate(parameters) if p.kind is kinds.VAR_KEYWORD]
        return rest[0] if rest else None
    for k, parameter in enumerate(parameters[: call.position + 1]):
        if parameter.kind is kinds.VAR_POSITIONAL:
            return k
        if parameter.kind is kinds.KEYWORD_ONLY:
            return None
    return call.position if call.position < len(parameters) else None
