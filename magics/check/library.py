"""The standard library in the abstract run: what scripts parse, cache, choose and go through."""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import functools
import itertools
import operator
import random
import time
from collections.abc import Callable
from typing import Any

from flambeau.utils.data import Subset, random_split

from .calls import Calls, Handler
from .frames import ManagerMaker
from .pure import PARSERS, not_known
from .values import SOME_FLOAT, SOME_INT, UNKNOWN, Stream, with_cache

Args = list[Any]
Kwargs = dict[str, Any]

LARGEST = 4096  # items of a sample that are told apart


# -- going through things --------------------------------------------------------------------------


def _chain(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    found = [run.items_of(a, node) for a in args]
    return Stream([i for items, _ in found for i in items], all(exact for _, exact in found))


def _chained(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    rows, exact = run.items_of(args[0], node)
    found = _chain(run, rows, kwargs, node)
    return Stream(found.items, exact and found.exact)


def _islice(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    items, exact = run.items_of(args[0], node)
    if run.is_opaque(args[1:]) or len(args) < 2:
        return Stream(items, exact=False)
    kept = list(itertools.islice(items, *args[1:]))
    stop = args[1] if len(args) == 2 else args[2]
    return Stream(kept, exact or (isinstance(stop, int) and stop <= len(items)))


def _cycle(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    items, _ = run.items_of(args[0], node)
    return Stream(items * 2 if len(items) < LARGEST else items, exact=False)


def _pairwise(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    items, exact = run.items_of(args[0], node)
    return Stream(itertools.pairwise(items), exact)


def _zip_longest(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    found = [run.items_of(a, node) for a in args]
    rows = itertools.zip_longest(*(items for items, _ in found), **kwargs)
    return Stream(rows, all(exact for _, exact in found))


def _arithmetic(function: Callable[[Any, Any], Any]) -> Handler:
    """Arithmetic by a function, which is not done where it would take long."""

    def compute(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
        return run.binary(node, function, *args) if len(args) == 2 and not kwargs else UNKNOWN

    return compute


# -- chance ----------------------------------------------------------------------------------------


def _some(value: Any) -> Handler:
    return lambda run, args, kwargs, node: value


def _choice(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if isinstance(args[0], range):
        return SOME_INT
    return run.one_of(args[0]) if isinstance(args[0], list | tuple) else UNKNOWN


def _sample(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    count = kwargs.get("k", args[1] if len(args) > 1 else 1)
    if not isinstance(count, int) or not 0 <= count <= LARGEST:
        return UNKNOWN
    if isinstance(args[0], range):
        return [SOME_INT] * count
    items, _ = run.items_of(args[0], node)
    return [run.one_of(items)] * count


def _random_split(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    data: Any = args[0]
    lengths: Any = args[1] if len(args) > 1 else kwargs.get("lengths")
    total = UNKNOWN if data is UNKNOWN else run.length(data)
    if not isinstance(lengths, list | tuple) or run.is_opaque(lengths):
        return UNKNOWN
    if not isinstance(total, int):
        rows: Any = UNKNOWN
        return [Subset(data, rows) for _ in lengths]
    if all(isinstance(n, int) for n in lengths) and sum(lengths) == total:
        return [Subset(data, range(n)) for n in lengths]
    # Whatever does not fit fails as it will; fractions are shared out as for any data.
    parts = run.attempt(node, random_split, range(total), lengths)
    return UNKNOWN if parts is UNKNOWN else [Subset(data, range(len(p))) for p in parts]


# -- functions around functions --------------------------------------------------------------------


def _cached(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """`lru_cache` of a function: what it gives is the same, so it is the function."""
    if args and callable(args[0]):
        return with_cache(args[0])
    return with_cache


def _dataclass(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if not args:
        return functools.partial(dataclasses.dataclass, **kwargs)
    if run.is_opaque(args) or run.is_opaque(kwargs):
        return UNKNOWN
    made = run.native(dataclasses.dataclass, args, kwargs, node)
    if isinstance(made, type) and args[0] in run.classes:
        run.classes.add(made)
    return made


def _contextmanager(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    record = run.record_of(args[0]) if len(args) == 1 else None
    return UNKNOWN if record is None or not record.is_generator else ManagerMaker(record)


# -- arguments of a script -------------------------------------------------------------------------


class RefusedError(Exception):
    """A parser would end the script."""


def _parsed(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """The arguments of a run that is given none: those with a default are known."""
    parser, *given = args
    is_plain = all(a is not None and _is_plain(a) for a in parser._actions)
    if kwargs or len(given) > 1 or not is_plain or parser.fromfile_prefix_chars:
        return UNKNOWN
    return _given(parser, given[0]) if given and given[0] else _defaults(parser)


def _parsed_in_part(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    found = _parsed(run, args, kwargs, node)
    return UNKNOWN if found is UNKNOWN else (found, run.mark_open([]))


def _is_plain(action: argparse.Action) -> bool:
    """Whether an argument is converted without any effect."""
    return action.type in (None, int, float, str, bool)


def _given(parser: argparse.ArgumentParser, words: Any) -> Any:
    """What the parser makes of words that stand in the cell; UNKNOWN if it would end the script."""

    def stop(*args: Any) -> None:
        raise RefusedError

    vars(parser).update(_print_message=lambda *args: None, exit=stop, error=stop)
    try:
        return parser.parse_args(words)
    except Exception:
        return UNKNOWN


def _defaults(parser: argparse.ArgumentParser) -> Any:
    found = argparse.Namespace(**parser._defaults)
    for action in parser._actions:
        if argparse.SUPPRESS not in (action.dest, action.default):
            value = (
                parser._get_value(action, action.default)
                if (isinstance(action.default, str))
                else action.default
            )
            setattr(found, action.dest, UNKNOWN if value is None else value)
    return found


def _add_argument(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    owner, *names = args
    if run.quietly(owner.add_argument, *names, **kwargs) is UNKNOWN:
        not_known(owner)
    return UNKNOWN


def _add_parsers(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    not_known(args[0])
    return UNKNOWN


HANDLERS: dict[Any, Handler] = {
    pow: _arithmetic(operator.pow),
    **{f: _arithmetic(f) for f in (operator.pow, operator.mul, operator.lshift)},
    itertools.chain: _chain,
    itertools.chain.from_iterable: _chained,
    itertools.islice: _islice,
    itertools.cycle: _cycle,
    itertools.pairwise: _pairwise,
    itertools.zip_longest: _zip_longest,
    **dict.fromkeys((random.random, random.uniform, random.gauss), _some(SOME_FLOAT)),
    **dict.fromkeys((time.time, time.perf_counter, time.monotonic), _some(SOME_FLOAT)),
    time.sleep: _some(None),
    **dict.fromkeys((random.randint, random.randrange), _some(SOME_INT)),
    **dict.fromkeys((random.seed, random.shuffle), _some(None)),
    random.choice: _choice,
    random.sample: _sample,
    random.choices: _sample,
    random_split: _random_split,
    functools.lru_cache: _cached,
    functools.cache: _cached,
    with_cache: _cached,
    dataclasses.dataclass: _dataclass,
    contextlib.contextmanager: _contextmanager,
}
"""Functions of the standard library that the run answers, and one of its kind of the runtime."""

METHODS: dict[tuple[type, str], Handler] = {
    (argparse.ArgumentParser, "parse_args"): _parsed,
    (argparse.ArgumentParser, "parse_known_args"): _parsed_in_part,
    **{(kind, "add_argument"): _add_argument for kind in PARSERS},
    (argparse.ArgumentParser, "add_subparsers"): _add_parsers,
}
