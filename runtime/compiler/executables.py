"""Executables: steps of a graph put in order, each a call of a kernel or of a fused loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.dispatch import key_of
from ..core.spec import contiguous_strides
from .graph import Graph, Step, Value

if TYPE_CHECKING:
    from ..core.devices import device

Call = Callable[[list[Any]], None]


class Executable:
    """From the arrays of `sources` (numbers of values) to those of `targets`.

    Only what targets need is computed, each array goes with its last reader. `fresh` says of each
    target whether its memory is new.
    """

    def __init__(
        self,
        graph: Graph,
        steps: list[Step],
        sources: list[int],
        targets: list[int],
        place: device,
    ) -> None:
        self.graph, self.sources, self.targets, self.place = graph, sources, targets, place
        self.steps = _needed(steps, sources, targets)
        self.constants = {
            n: self._constant(n) for s in self.steps for n in _numbers(s) if n in graph.constants
        }
        self.calls = [self._call(step) for step in self.steps]
        self.size = len(graph.values)
        made = {v.number for s in self.steps if not s.operation.may_alias for v in s.outputs}
        self.fresh = [n in made and targets.count(n) == 1 for n in targets]
        self._last = _last_readers(self.steps, sources, targets)

    def __call__(self, arrays: list[Any]) -> list[Any]:
        """The arrays of the targets."""
        slots: list[Any] = [None] * self.size
        for number, array in zip(self.sources, arrays, strict=True):
            slots[number] = array
        for number, array in self.constants.items():
            slots[number] = array
        with np.errstate(all="ignore"):
            for call, gone in zip(self.calls, self._last, strict=True):
                call(slots)
                for number in gone:
                    slots[number] = None
        return [slots[n] for n in self.targets]

    def _constant(self, number: int) -> Any:
        dtype = self.graph.values[number].dtype
        key = key_of(self.place, dtype)
        return key.backend.as_array(self.graph.constants[number], dtype, self.place.index)

    def _call(self, step: Step) -> Call:
        """The kernel of a step, on slots."""
        operation = step.operation
        main = next(
            x
            for x, p in zip(step.inputs, operation.arrays, strict=True)
            if x is not None and p.role == "main"
        )
        key = key_of(self.place, main.dtype)
        kernel = getattr(key, operation.name)
        if operation.formula is not None and main.size >= operation.large:
            kernel = getattr(key.large, operation.name)
        places = [None if x is None else x.number for x in step.inputs]
        attributes = step.attributes
        outs = [(v.number, _is_plain(v)) for v in step.outputs]
        several = operation.outputs != 1
        of_class, as_array, row_major = key.array_class, key.as_array, key.backend.row_major

        def call(slots: list[Any]) -> None:
            found = kernel(*[None if n is None else slots[n] for n in places], **attributes)
            for (number, plain), array in zip(outs, found if several else (found,), strict=True):
                if array.__class__ is not of_class:
                    array = as_array(array)
                if plain and not array.flags.c_contiguous:
                    array = row_major(array)
                slots[number] = array

        return call


def _is_plain(value: Value) -> bool:
    return value.strides == contiguous_strides(value.shape)


def _numbers(step: Step) -> list[int]:
    return [v.number for v in step.read()]


def _needed(steps: list[Step], sources: list[int], targets: list[int]) -> list[Step]:
    """The steps that targets depend on, in their order."""
    wanted, there = set(targets) - set(sources), set(sources)
    found = []
    for step in reversed(steps):
        if any(v.number in wanted for v in step.outputs):
            found.append(step)
            wanted.update(n for n in _numbers(step) if n not in there)
    return found[::-1]


def _last_readers(steps: list[Step], sources: list[int], targets: list[int]) -> list[list[int]]:
    """Per step the numbers of the values that nobody reads after it."""
    kept = set(targets)
    found: list[list[int]] = []
    for step in reversed(steps):
        touched = dict.fromkeys([*_numbers(step), *[v.number for v in step.outputs]])
        gone = [n for n in touched if n not in kept]
        kept.update(gone)
        found.append(gone)
    return found[::-1]
