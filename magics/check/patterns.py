"""The patterns of `match` statements over abstract values."""

from __future__ import annotations

import ast
import operator
from typing import Any, Protocol

from .values import UNKNOWN, Stream


class Run(Protocol):
    """What patterns ask of the run."""

    def evaluate(self, node: ast.expr) -> Any: ...
    def binary(self, node: ast.AST, function: Any, a: Any, b: Any) -> Any: ...
    def truth(self, value: Any, node: ast.AST) -> Any: ...
    def bind(self, target: ast.expr, value: Any) -> None: ...
    def attribute(self, owner: Any, name: str, node: ast.AST) -> Any: ...
    def quietly(self, function: Any, *args: Any) -> Any: ...
    def is_opaque(self, value: Any, depth: int = 4) -> bool: ...


def matched(run: Run, pattern: ast.pattern, value: Any) -> Any:
    """Whether `value` fits the pattern, whose names are bound then: True, False or UNKNOWN."""
    match pattern:
        case ast.MatchAs(inner, name):
            fits = True if inner is None else matched(run, inner, value)
            if name is not None and fits is not False:
                _bind(run, name, value)
            return fits
        case ast.MatchOr(patterns):
            return _any([matched(run, each, value) for each in patterns])
        case ast.MatchValue(node):
            known = run.evaluate(node)
            return run.truth(run.binary(node, operator.eq, value, known), node)
        case ast.MatchSingleton(constant):
            return UNKNOWN if value is UNKNOWN else value is constant
        case ast.MatchSequence(patterns):
            return _sequence(run, patterns, value)
        case ast.MatchClass():
            return _instance(run, pattern, value)
    for part in ast.walk(pattern):
        for name in (getattr(part, "name", None), getattr(part, "rest", None)):
            if isinstance(name, str):
                _bind(run, name, UNKNOWN)
    return UNKNOWN


def _bind(run: Run, name: str, value: Any) -> None:
    run.bind(ast.Name(name, ast.Store()), value)


def _any(found: list[Any]) -> Any:
    return True if True in found else UNKNOWN if UNKNOWN in found else False


def _all(found: list[Any]) -> Any:
    return False if False in found else UNKNOWN if UNKNOWN in found else True


def _sequence(run: Run, patterns: list[ast.pattern], value: Any) -> Any:
    stars = [k for k, each in enumerate(patterns) if isinstance(each, ast.MatchStar)]
    is_known = isinstance(value, list | tuple) and not run.is_opaque(value, 1)
    if value is not UNKNOWN and not isinstance(value, list | tuple | Stream):
        return False
    if not is_known:
        for each in patterns:
            name = each.name if isinstance(each, ast.MatchStar) else None
            if name is not None:
                _bind(run, name, UNKNOWN)
            elif not isinstance(each, ast.MatchStar):
                matched(run, each, UNKNOWN)
        return UNKNOWN
    items: list[Any] = [*value]  # type: ignore[misc]
    if len(items) < len(patterns) - len(stars) or (not stars and len(items) != len(patterns)):
        return False
    if stars:
        first, behind = stars[0], len(patterns) - stars[0] - 1
        middle = items[first : len(items) - behind]
        items = [*items[:first], middle, *items[len(items) - behind :]]
    found = []
    for each, item in zip(patterns, items, strict=True):
        if not isinstance(each, ast.MatchStar):
            found.append(matched(run, each, item))
        elif each.name is not None:
            _bind(run, each.name, item)
    return _all(found)


def _instance(run: Run, pattern: ast.MatchClass, value: Any) -> Any:
    kind = run.evaluate(pattern.cls)
    if UNKNOWN in (kind, value) or not isinstance(kind, type):
        fits: Any = UNKNOWN
    else:
        fits = run.quietly(isinstance, value, kind)
    if fits is False:
        return False
    names = (*getattr(kind, "__match_args__", ()),)[: len(pattern.patterns)]
    found = [fits]
    if pattern.patterns and not names:  # `int(x)` binds the value itself
        found.append(matched(run, pattern.patterns[0], value))
    parts = [*zip(names, pattern.patterns, strict=False)]
    parts += zip(pattern.kwd_attrs, pattern.kwd_patterns, strict=True)
    for name, inner in parts:
        item = UNKNOWN if fits is not True else run.quietly(getattr, value, name)
        found.append(matched(run, inner, item))
    return _all(found)
