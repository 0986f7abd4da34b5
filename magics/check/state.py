"""State of the abstract run that branches fork and join: variables, attributes and containers.

Whatever is written is written into a container (a dict of names or attributes, a list, a set).
Before the first write within a branch, the container's contents are remembered; so a branch can be
undone, the other one run, and both outcomes joined.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from flambeau.nn import Module

from .symbols import Symbols
from .values import MISSING, UNKNOWN, SomeFloat, SomeInt, Stream, Unknown, alike, join

REGISTRIES = ("_parameters", "_buffers", "_modules")

Trail = dict[int, tuple[Any, Any]]
"""Containers written in a branch, by id: the container and its contents before."""


class State:
    """Keeps the trails, and knows which containers hold more than is known."""

    def __init__(self) -> None:
        self.trails: list[Trail] = []
        self.open: dict[int, Any] = {}  # containers of unknown length, kept alive by being here
        self.symbols = Symbols()  # sizes that are not known
        self.maybe = 0  # how many branches around here may not be taken

    # -- writing ---------------------------------------------------------------------------------

    def will_write(self, container: Any) -> None:
        """Remember what `container` holds, before it is changed."""
        if self.trails and id(container) not in self.trails[-1]:
            self.trails[-1][id(container)] = (container, _contents(container))

    def will_write_attributes(self, owner: Any) -> None:
        """Remember the attributes of `owner`, a module's registered ones included."""
        if not self.trails:
            return
        fields = getattr(owner, "__dict__", None)
        if isinstance(fields, dict):
            self.will_write(fields)
            for registry in REGISTRIES:
                if isinstance(fields.get(registry), dict):
                    self.will_write(fields[registry])

    def will_write_modules(self, module: Module) -> None:
        """Remember the attributes of a module and of all below it."""
        if self.trails:
            for each in module.modules():
                self.will_write_attributes(each)

    def mark_open(self, container: Any) -> Any:
        """Note that `container` may hold more, or less, than it seems to; returns it."""
        self.open[id(container)] = container
        return container

    # -- looking ---------------------------------------------------------------------------------

    def is_opaque(self, value: Any, depth: int = 4) -> bool:
        """Whether something within `value` is not known."""
        kind = value.__class__
        if kind in (Unknown, SomeFloat, SomeInt):
            return True
        if depth == 0:
            return False
        if kind is list or kind is tuple or kind is set:
            if id(value) in self.open:
                return True
            return any(self.is_opaque(item, depth - 1) for item in value)
        if kind is dict:
            return id(value) in self.open or any(
                self.is_opaque(item, depth - 1) for item in value.values()
            )
        if kind is range:
            return False
        if kind is slice:
            return any(map(self.is_opaque, (value.start, value.stop, value.step)))
        if kind is Stream:
            return not value.exact or any(self.is_opaque(item, depth - 1) for item in value.items)
        return False

    def is_open(self, value: Any) -> bool:
        """Whether a list of unknown length is in `value`."""
        if value.__class__ not in (list, tuple):
            return False
        return id(value) in self.open or any(map(self.is_open, value))

    def push_trail(self, trail: Trail) -> None:
        """Note in `trail` what is written from now on."""
        self.trails.append(trail)

    def pop_trail(self) -> Trail:
        """End the innermost trail, and hand it to the one around it."""
        trail = self.trails.pop()
        if self.trails:
            for key, entry in trail.items():
                self.trails[-1].setdefault(key, entry)
        return trail

    # -- branching -------------------------------------------------------------------------------

    def fork(self, runs: list[Callable[[], Any]]) -> list[Any]:
        """Run each of `runs` from the same state, and join the states that they leave.

        A run returns a completion: None if execution goes on behind it. States of runs that end
        otherwise are dropped, unless all do.
        """
        outcomes: list[tuple[Any, Trail, dict[int, Any]]] = []
        for run in runs:
            trail: Trail = {}
            self.trails.append(trail)
            self.maybe += 1
            try:
                completion = run()
            finally:
                self.trails.pop()
                self.maybe -= 1
                after = {key: _contents(held) for key, (held, _) in trail.items()}
                for held, before in trail.values():
                    _restore(held, before)
            outcomes.append((completion, trail, after))
        self._join([o for o in outcomes if o[0] is None] or outcomes)
        return [completion for completion, _, _ in outcomes]

    def _join(self, outcomes: list[tuple[Any, Trail, dict[int, Any]]]) -> None:
        touched: Trail = {}
        for _, trail, _ in outcomes:
            touched.update(trail)
        for key, (held, before) in touched.items():
            self.will_write(held)
            found = [after.get(key, before) for _, _, after in outcomes]
            contents = found[0]
            for other in found[1:]:
                contents = self._joined(held, contents, other)
            _restore(held, contents)

    def _joined(self, held: Any, a: Any, b: Any) -> Any:
        if isinstance(a, dict):
            return {key: join(a.get(key, MISSING), b.get(key, MISSING)) for key in {**a, **b}}
        if isinstance(a, list):
            if len(a) != len(b):
                self.mark_open(held)
                return max(a, b, key=len)
            return [join(x, y) for x, y in zip(a, b, strict=True)]
        return a | b

    def widen(self, trail: Trail) -> None:
        """Forget what a loop's further rounds would change: `trail` is what its last one wrote."""
        for held, before in trail.values():
            now = _contents(held)
            if isinstance(now, dict):
                for key, value in now.items():
                    if key in before and not alike(before[key], value):
                        now[key] = self._widened(before[key], value)
                if held.__class__ is dict and len(now) != len(before):
                    self.mark_open(held)
                _restore(held, now)
            elif len(now) != len(before):
                self.mark_open(held)

    def _widened(self, before: Any, now: Any) -> Any:
        if isinstance(now, list) and isinstance(before, list) and now and before:
            return self.mark_open(now)
        return UNKNOWN


def _contents(container: Any) -> Any:
    if isinstance(container, dict):
        return dict(container)
    if isinstance(container, set):
        return set(container)
    return list(container)


def _restore(container: Any, contents: Any) -> None:
    if isinstance(container, dict | set):
        container.clear()
        container.update(contents)
    elif isinstance(container, deque):
        container.clear()
        container.extend(contents)
    else:
        container[:] = contents
