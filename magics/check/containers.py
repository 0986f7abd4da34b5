"""Modules that hold modules of which some are not known: an unknown child keeps its place."""

from __future__ import annotations

import ast
from collections import OrderedDict
from typing import Any

from flambeau.nn import Module, ModuleDict, ModuleList, Sequential

from .calls import Handler
from .training import Training
from .values import UNKNOWN

Args = list[Any]
Kwargs = dict[str, Any]
DICTS = (dict, OrderedDict)


def _made(kind: type[Module]) -> Handler:
    """A handler of `kind(...)`."""

    def make(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
        given = args[0] if len(args) == 1 and args[0].__class__ in (list, *DICTS) else args
        if not run.is_opaque(args) and not run.is_opaque(kwargs):
            return run.native(kind, args, kwargs, node)
        made = run.native(kind, [], {}, node)
        if kwargs or not isinstance(made, Module) or UNKNOWN in args:
            return run.unknown_call(args, kwargs, node)
        named = given.items() if isinstance(given, dict) else enumerate(given)
        for name, child in named:
            made._modules[str(name)] = child
        return run.mark_open(made) if id(given) in run.open else made

    return make


def _append(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    owner, *given = args
    if len(given) != 1 or given[0] is not UNKNOWN:
        return run.native(type(owner).append.__get__(owner), given, kwargs, node)
    _put(run, owner, UNKNOWN)
    return owner


def _extend(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    owner, *given = args
    items, exact = run.items_of(given[0], node) if len(given) == 1 else ([UNKNOWN], False)
    if exact and UNKNOWN not in items:
        return run.native(type(owner).extend.__get__(owner), [items], {}, node)
    for child in items:
        _put(run, owner, child)
    if not exact:
        run.mark_open(owner)
    return owner


def _unsure(name: str) -> Handler:
    """A handler of a method after which, of unknown arguments, nobody knows what is where."""

    def call(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
        owner, *given = args
        if run.is_opaque(given) or run.is_opaque(kwargs):
            run.mark_open(owner)
            return owner
        return run.native(getattr(owner, name), given, kwargs, node)

    return call


def _put(run: Training, owner: Module, child: Any) -> None:
    run.will_write(owner._modules)
    owner._modules[str(len(owner._modules))] = child


KINDS: dict[Any, Handler] = {kind: _made(kind) for kind in (ModuleList, Sequential)}
CONTAINERS: dict[tuple[type, str], Handler] = {
    **{(kind, "append"): _append for kind in (ModuleList, Sequential)},
    **{(kind, "extend"): _extend for kind in (ModuleList, Sequential)},
    **{(kind, "insert"): _unsure("insert") for kind in (ModuleList, Sequential)},
    (ModuleDict, "update"): _unsure("update"),
}
