"""The beginnings of graphs, shared by all calls that began alike.

A call that does what one before did follows what was noted then: shape rules need not run again,
nothing is made but the results, and at the end the program is at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.spec import Spec
from .graph import Graph, Step, Value, results_of

if TYPE_CHECKING:
    from ..core.devices import device
    from ..core.dtypes import dtype
    from ..ops.operation import Operation
    from .programs import Program
    from .region import Pending

MOST = 50_000
"""Beginnings that are kept, of about 1 KB; then all are forgotten, and with them the programs."""


class Prefix:
    """The values and steps that `count` values and `steps` steps end with: `entry` last, which is
    an input or a step.

    `following` are the longer ones by what comes next, `programs` those of the graph that ends here
    by their outputs. Threads share them: of two that add the same one finds the other's.
    """

    __slots__ = ("before", "count", "entry", "following", "programs", "steps")

    def __init__(self, before: Prefix | None = None, entry: Value | Step | None = None) -> None:
        self.before, self.entry = before, entry
        self.following: dict[Any, Prefix] = {}
        self.programs: dict[tuple[int, ...], Program] = {}
        is_step = isinstance(entry, Step)
        made = len(entry.outputs) if isinstance(entry, Step) else entry is not None
        self.count: int = made + (0 if before is None else before.count)
        self.steps: int = is_step + (0 if before is None else before.steps)

    def input(self, array: Any, dtype: dtype, requires: bool) -> Prefix:
        """This one and behind it an input like `array`; whether it `requires` a gradient tells it
        apart."""
        key = array.shape, dtype, array.strides, requires
        found = self.following.get(key)
        if found is None:
            strides = tuple([s // dtype.itemsize for s in array.strides])
            found = self._add(key, Value(Spec(array.shape, dtype, strides), self.count))
        return found

    def step(
        self,
        operation: Operation,
        inputs: tuple[Value | None, ...],
        attributes: dict[str, Any],
        identity: Any,
        is_recorded: bool,
    ) -> Prefix:
        """This one and behind it a step; `identity` tells its attributes apart. Raises what the
        shape rule does."""
        numbers = tuple([None if x is None else x.number for x in inputs])
        key = operation, numbers, identity, is_recorded
        found = self.following.get(key)
        if found is None:
            specs = results_of(operation, inputs, attributes)
            outputs = tuple([Value(s, self.count + k) for k, s in enumerate(specs)])
            found = self._add(key, Step(operation, inputs, attributes, outputs, is_recorded))
        return found

    def _add(self, key: Any, entry: Value | Step) -> Prefix:
        global _noted
        _noted += 1
        return self.following.setdefault(key, Prefix(self, entry))

    def graph(self) -> Graph:
        """All the values and steps, in order."""
        entries = []
        prefix: Prefix | None = self
        while prefix is not None and prefix.entry is not None:
            entries.append(prefix.entry)
            prefix = prefix.before
        graph = Graph()
        for entry in reversed(entries):
            if isinstance(entry, Step):
                graph.steps.append(entry)
                graph.values += entry.outputs
            else:
                graph.inputs.append(entry)
                graph.values.append(entry)
        return graph

    def program(self, pending: Pending, outputs: tuple[int, ...]) -> Program:
        """What computes the values `outputs`, for `pending` operations that end here."""
        from .programs import Program

        found = self.programs.get(outputs)
        if found is None:
            found = self.programs.setdefault(outputs, Program(pending, self.graph(), outputs))
        return found


_first: dict[device, Prefix] = {}
_noted = 0


def first(place: device) -> Prefix:
    """What all graphs on a device begin with: nothing."""
    if _noted > MOST:
        forget()
    found = _first.get(place)
    return _first.setdefault(place, Prefix()) if found is None else found


def forget() -> None:
    """Forget all graphs and programs."""
    global _noted
    _first.clear()
    _noted = 0
