"""Builtins of Python that the abstract run answers itself."""

from __future__ import annotations

import ast
import builtins
import types
from collections.abc import Callable
from typing import Any

from flambeau.core.tensor import Tensor

from .arrays import Array
from .calls import Calls, Handler
from .values import SOME_FLOAT, SOME_INT, UNKNOWN, Stream

Args = list[Any]
Kwargs = dict[str, Any]


def _len(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if len(args) != 1 or args[0] is UNKNOWN or args[0].__class__ is Stream:
        return UNKNOWN
    if id(args[0]) in run.open:
        return UNKNOWN
    if isinstance(args[0], Array):
        return args[0].tensor.shape[0] if args[0].tensor.ndim else UNKNOWN
    return run.attempt(node, len, args[0])


def _print(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return None


def _unknown(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return UNKNOWN


def _isinstance(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if run.is_opaque(args, 2) and (args[0] is UNKNOWN or run.is_opaque(args[1:])):
        return UNKNOWN
    return run.quietly(isinstance, *args)


def _range(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if run.is_opaque(args):
        return Stream([UNKNOWN], exact=False)
    if run.symbols.any_in(args):
        return Stream([0, 1], exact=False)
    return run.attempt(node, range, *args)


def _enumerate(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    items, exact = run.items_of(args[0], node)
    start = kwargs.get("start", args[1] if len(args) > 1 else 0)
    pairs = [(start + k if isinstance(start, int) else UNKNOWN, v) for k, v in enumerate(items)]
    return Stream(pairs, exact)


def _zip(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    found = [run.items_of(a, node) for a in args]
    return Stream(zip(*(items for items, _ in found), strict=False), all(e for _, e in found))


def _map(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    found = [run.items_of(a, node) for a in args[1:]]
    rows = zip(*(items for items, _ in found), strict=False)
    values = [run.call(args[0], list(row), {}, node) for row in rows]
    return Stream(values, all(e for _, e in found))


def _filter(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    items, exact = run.items_of(args[1], node)
    kept = []
    for item in items:
        value = item if args[0] is None else run.call(args[0], [item], {}, node)
        truth = run.truth(value, node)
        exact &= truth is not UNKNOWN
        if truth is not False:
            kept.append(item)
    return Stream(kept, exact)


def _sequence(kind: type) -> Handler:
    def make(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
        if not args:
            return kind()
        items, exact = run.items_of(args[0], node)
        if kind is list:
            return items if exact else run.mark_open(items)
        if not exact or (kind is not tuple and run.is_opaque(items)):
            return UNKNOWN
        return run.attempt(node, kind, items)

    return make


def _dict(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if args and isinstance(args[0], Stream):
        args = [args[0].rest()] if args[0].exact else [UNKNOWN]
    if args and args[0] is UNKNOWN:
        return UNKNOWN
    found = run.attempt(node, dict, *args, **kwargs)
    return run.mark_open(found) if args and id(args[0]) in run.open else found


def _iter(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if len(args) != 1 or isinstance(args[0], Stream):
        return args[0] if len(args) == 1 else UNKNOWN
    return Stream(*run.items_of(args[0], node))


def _next(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if isinstance(args[0], Stream):
        try:
            return args[0].next()
        except StopIteration as error:
            return args[1] if len(args) > 1 else run.failed(node, error)
    step = run.record_of(getattr(type(args[0]), "__next__", None))
    return UNKNOWN if step is None else run.call_function(step, (args[0],), {})


def _getattr(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    owner, name = args[:2]
    if owner is UNKNOWN or not isinstance(name, str):
        return UNKNOWN
    if len(args) == 3 and run.quietly(hasattr, owner, name) is False:
        return args[2] if id(owner) not in run.tainted else UNKNOWN
    return run.attribute(owner, name, node)


def _setattr(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    owner, name, value = args
    if not isinstance(name, str):
        run.tainted[id(owner)] = owner
    else:
        run.set_attribute(owner, name, value, node)
        if hasattr(owner, "__dict__"):
            run.named.append(owner)
    return None


def _hasattr(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if run.is_opaque(args[:2], 1):
        return UNKNOWN
    found = run.quietly(hasattr, *args)
    unsure = id(args[0]) in run.tainted or run.may_have_more(args[0])
    return UNKNOWN if found is False and unsure else found


def _sorted(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    items, exact = run.items_of(args[0], node)
    if not exact or run.is_opaque(items):
        return run.mark_open(items)
    if any(isinstance(item, Tensor) for item in items):
        return UNKNOWN
    return run.attempt(node, sorted, items, **kwargs)


def _reversed(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    items, exact = run.items_of(args[0], node)
    return Stream(items[::-1], exact)


def _sum(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    items, exact = run.items_of(args[0], node)
    start = kwargs.get("start", args[1] if len(args) > 1 else 0)
    total: Any = start
    for item in items:
        total = run.binary(node, lambda a, b: a + b, total, item)
    if exact or (isinstance(total, Tensor) and items):
        return total
    return UNKNOWN


def _extreme(function: Callable[..., Any]) -> Handler:
    def find(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
        items, exact = run.items_of(args[0], node) if len(args) == 1 else (args, True)
        if not exact or run.is_opaque(items) or any(isinstance(i, Tensor) for i in items):
            return UNKNOWN
        if run.symbols.any_in(items):
            return UNKNOWN
        return run.attempt(node, function, items, **kwargs)

    return find


def _every(stop: bool) -> Handler:
    def ask(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
        items, exact = run.items_of(args[0], node)
        truths = [run.truth(item, node) for item in items]
        if stop in truths:
            return stop
        return (not stop) if exact and UNKNOWN not in truths else UNKNOWN

    return ask


def _type(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if len(args) != 1 or args[0] is UNKNOWN or args[0].__class__ is Stream:
        return UNKNOWN
    return type(args[0])


def _number(kind: type) -> Handler:
    def make(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
        if run.is_opaque(args) or any(isinstance(a, Tensor | Array) for a in args):
            return {int: SOME_INT, float: SOME_FLOAT}.get(kind, UNKNOWN)
        return run.attempt(node, kind, *args, **kwargs)

    return make


def _str(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if run.is_opaque(args) or any(not isinstance(a, str | int | float | None) for a in args):
        return UNKNOWN
    return run.attempt(node, str, *args, **kwargs)


def _super(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return UNKNOWN if run.is_opaque(args) else run.quietly(super, *args)


def _callable(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return UNKNOWN if args[0] is UNKNOWN else callable(args[0])


def _namespace(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return types.SimpleNamespace(**kwargs) if not args else UNKNOWN


BUILTINS: dict[Any, Handler] = {
    len: _len,
    print: _print,
    isinstance: _isinstance,
    issubclass: _isinstance,
    range: _range,
    enumerate: _enumerate,
    zip: _zip,
    map: _map,
    filter: _filter,
    list: _sequence(list),
    tuple: _sequence(tuple),
    set: _sequence(set),
    frozenset: _sequence(frozenset),
    dict: _dict,
    iter: _iter,
    next: _next,
    getattr: _getattr,
    setattr: _setattr,
    hasattr: _hasattr,
    sorted: _sorted,
    reversed: _reversed,
    sum: _sum,
    min: _extreme(min),
    max: _extreme(max),
    any: _every(True),
    all: _every(False),
    type: _type,
    int: _number(int),
    float: _number(float),
    bool: lambda run, args, kwargs, node: run.truth(args[0], node) if args else False,
    complex: _number(complex),
    str: _str,
    repr: _str,
    callable: _callable,
    super: _super,
    types.SimpleNamespace: _namespace,
    **dict.fromkeys(
        (
            input,
            open,
            exec,
            eval,
            compile,
            vars,
            dir,
            globals,
            locals,
            __import__,
            id,
            hash,
            delattr,
        ),
        _unknown,
    ),
}
"""Handlers of builtins and a few functions of the standard library."""

NAMES = {name: value for name, value in vars(builtins).items() if not name.startswith("__")}
"""The builtin names."""
