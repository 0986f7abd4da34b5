"""Where holding begins: the variables of a session, and what the session holds on its own."""

from __future__ import annotations

import gc
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

from flambeau import Tensor

from ..cells import CellLedger
from ..source import running_frames
from .holders import Block, Census, Root, blocks_of, census

IPYTHON_NAMES = re.compile(r"_{1,3}|_i+|_i?\d+|_[oid]h|In|Out|get_ipython|exit|quit|open")
EXPLAINED = 8  # unclaimed blocks whose holders are looked for: each takes a pass over all objects
LEVELS = 6  # referrers of referrers, up to here


def session_census(shell: Any) -> Census:
    """Everything the IPython `shell` leads to, and what it does not."""
    running = [frame for frame in running_frames() if frame.f_code.co_name != "<module>"]
    roots = [Root(f"{frame.f_code.co_name}(), which runs", frame) for frame in running]
    roots += [*variables(shell), *pins(shell)]
    return census(roots, unseen=(shell, shell.user_ns, shell.user_ns_hidden, sys.modules))


def variables(shell: Any) -> list[Root]:
    """The user's own names."""
    ledger = CellLedger.watch(shell)
    hidden = shell.user_ns_hidden
    return [
        Root(name, value, cell=ledger.cell_of(name))
        for name, value in list(shell.user_ns.items())
        if not IPYTHON_NAMES.fullmatch(name)
        and not (name in hidden and hidden[name] is value)
        and not isinstance(value, types.ModuleType | type)
    ]


def pins(shell: Any) -> list[Root]:
    """Results and errors that the session keeps: what `%free` drops."""
    outputs = shell.user_ns.get("_oh", {})
    found = [Root(f"Out[{n}]", value, True, n) for n, value in list(outputs.items())]
    kept = {id(value) for value in outputs.values()}
    places = (shell.user_ns, shell.user_ns_hidden, vars(shell.displayhook))
    for name in ("_", "__", "___"):
        for value in (place.get(name) for place in places):
            if value is not None and id(value) not in kept:
                kept.add(id(value))
                found.append(Root(f"the result {name}", value, True))
    error = _last_error(shell)
    return [*found, Root("the last error", error, True)] if error is not None else found


def _last_error(shell: Any) -> Any:
    last = shell.last_execution_result
    candidates = [getattr(sys, "last_exc", None), getattr(sys, "last_value", None)]
    candidates += [last.error_in_exec, last.error_before_exec] if last is not None else []
    candidates += [sys.exception(), getattr(sys, "last_traceback", None)]
    candidates += [getattr(shell.InteractiveTB, "tb", None)]
    return next((c for c in candidates if c is not None), None)


def unclaimed_holders(found: Census) -> list[tuple[Block, str]]:
    """The largest blocks that no root leads to, with what holds them in words."""
    wanted = {key: b for key, b in found.blocks.items() if not b.holders}
    largest = dict(sorted(wanted.items(), key=lambda item: -item[1].nbytes)[:EXPLAINED])
    explained: dict[int, str] = {}
    for thing in _tensors():
        for key, _ in blocks_of(getattr(thing, "_array", None)):
            if key in largest and key not in explained:
                explained[key] = _holder_in_words(thing)
    return [(b, explained.get(k, "a graph or library")) for k, b in largest.items()]


def _tensors() -> Iterator[Tensor]:
    for thing in gc.get_objects():
        if issubclass(type(thing), Tensor):
            yield thing


def _holder_in_words(thing: Any) -> str:
    """The nearest module or running function that leads to `thing`, found from below."""
    level, seen = [thing], {id(thing)}
    for _ in range(LEVELS):
        above = []
        for referrer in gc.get_referrers(*level):
            if id(referrer) in seen or referrer is level:
                continue
            seen.add(id(referrer))
            if isinstance(referrer, types.FrameType):
                if not referrer.f_globals.get("__name__", "").startswith("flambeau.magics"):
                    code = referrer.f_code
                    return f"running code: {code.co_name}, line {referrer.f_lineno}"
            elif isinstance(referrer, dict) and _is_module(referrer):
                return f"a global of module {referrer['__name__']}"
            else:
                above.append(referrer)
        if not above or len(above) > 10_000:
            break
        level = above
    return f"a {type(level[0]).__name__} that no variable leads to"


def _is_module(names: dict[Any, Any]) -> bool:
    module = sys.modules.get(names.get("__name__", ""))
    return module is not None and vars(module) is names
