"""Leaves that somebody waits for: their hooks run as soon as their gradient is complete, while the
pass goes on, and not at its end.

A pass counts, before it starts, how many gradients each of them gets.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any


class Watcher(ABC):
    """Waits for the gradients of some leaves; see `watch`."""

    leaves: frozenset[Any]
    """Their edges, as `AccumulateGrad` nodes."""

    @abstractmethod
    def pass_started(self, reached: set[Any]) -> None:
        """A backward pass begins that will give gradients to the leaves in `reached`."""

    @abstractmethod
    def pass_ended(self) -> None:
        """That pass has ended well."""


_watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()


def watch(watcher: Watcher) -> None:
    """Let `watcher` know of the passes that reach its leaves."""
    _watchers.add(watcher)


def unwatch(watcher: Watcher) -> None:
    """Let it know no more."""
    _watchers.discard(watcher)


def begin(roots: Iterable[Any]) -> tuple[dict[Any, int], list[Watcher]]:
    """How many gradients each watched leaf will get in a pass from `roots` (edges), and whom that
    concerns. Those are told."""
    if not _watchers:
        return {}, []
    watched = frozenset().union(*[w.leaves for w in _watchers])
    uses = _uses(roots, watched)
    concerned = [w for w in _watchers if not w.leaves.isdisjoint(uses)]
    for watcher in concerned:
        watcher.pass_started({leaf for leaf in uses if leaf in watcher.leaves})
    return uses, concerned


def _uses(roots: Iterable[Any], watched: frozenset[Any]) -> dict[Any, int]:
    uses: dict[Any, int] = {}
    seen: set[Any] = set()
    stack = []
    for edge in roots:
        if edge in watched:
            uses[edge] = uses.get(edge, 0) + 1
        else:
            stack.append(edge.as_target())
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        for edge in node.edges:
            if edge is None:
                continue
            if edge in watched:
                uses[edge] = uses.get(edge, 0) + 1
            else:
                target = edge.as_target()
                if target not in seen:
                    stack.append(target)
    return uses
