"""Executables: steps of a graph put in order, each a call of a kernel or of a fused loop."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.cpu import loops
from ..backends.cuda import launch
from ..core import dtypes, observers
from ..core.dispatch import key_of
from ..core.tensor import wrap
from . import fusion
from .decompositions import taken_apart
from .fusion import Fusion, Group, Unit
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
        self.graph, self.sources, self.place = graph, sources, place
        self.loops: list[Any] = []
        self.guard = key_of(place, dtypes.float32).guard
        self.units, self.targets = self._planned(_needed(steps, sources, targets), targets)
        self.constants = {
            n: self._constant(n) for u in self.units for n in _numbers(u) if n in graph.constants
        }
        self.reads = [_numbers(u) for u in self.units]
        self._last = self._last_readers()
        self.calls = [self._call(unit) for unit in self.units]
        self.size = len(graph.values)
        made = {n for u in self.units for n in _made(u)}
        self.fresh = [n in made and self.targets.count(n) == 1 for n in self.targets]

    def _observed(self, slots: list[Any]) -> list[Any]:
        """The arrays of the targets, with each unit told to observers as an operation."""
        for unit, call, reads in zip(self.units, self.calls, self.reads, strict=True):
            name = unit.label if isinstance(unit, Group) else unit.operation.label
            for observer in observers.active:
                observer.operation_started(name, self.place)
            started = perf_counter()
            with np.errstate(all="ignore"), self.guard:
                call(slots)
            seconds = perf_counter() - started
            inputs = tuple([self._shown(slots[n]) for n in reads])
            outputs = tuple([self._shown(slots[n]) for n in _outputs(unit) if slots[n] is not None])
            for observer in observers.active:
                observer.operation_done(name, inputs, outputs, seconds)
        return [slots[n] for n in self.targets]

    def _shown(self, array: Any) -> Any:
        return wrap(array, key_of(self.place, dtypes.from_numpy(array.dtype)))

    def _planned(self, steps: list[Step], targets: list[int]) -> tuple[list[Unit], list[int]]:
        """Steps and groups in order, and the numbers of the values that are the targets now."""
        on_cpu = self.place.type == "cpu"
        if not (loops.is_available() if on_cpu else launch.driver.is_available()):
            return list(steps), targets
        if on_cpu:
            from .cpu_loops import is_fit  # and with it LLVM

            steps, instead = taken_apart(self.graph, steps, targets, _pays)
            targets = [instead[n].number if n in instead else n for n in targets]
            steps = _needed(steps, self.sources, targets)
        else:
            from .cuda_formulas import is_fit
        units = Fusion(self.graph, steps, is_fit, reduces=on_cpu).ordered()
        # A kernel does one step as well, and needs no compilation.
        plain = [u.steps[0] if isinstance(u, Group) and len(u.steps) == 1 else u for u in units]
        return plain, targets

    def __call__(self, arrays: list[Any], notifies: bool = False) -> list[Any]:
        """The arrays of the targets; observers hear of each unit if it `notifies`."""
        slots: list[Any] = [None] * self.size
        for number, array in zip(self.sources, arrays, strict=True):
            slots[number] = array
        for number, array in self.constants.items():
            slots[number] = array
        if notifies and observers.active:
            return self._observed(slots)
        with np.errstate(all="ignore"), self.guard:
            for call, gone in zip(self.calls, self._last, strict=True):
                call(slots)
                for number in gone:
                    slots[number] = None
        return [slots[n] for n in self.targets]

    def _last_readers(self) -> list[list[int]]:
        """Per unit the numbers of the values that nobody reads after it."""
        kept = set(self.targets)
        found: list[list[int]] = []
        for unit, reads in zip(reversed(self.units), reversed(self.reads), strict=True):
            gone = [n for n in dict.fromkeys([*reads, *_outputs(unit)]) if n not in kept]
            kept.update(gone)
            found.append(gone)
        return found[::-1]

    def _constant(self, number: int) -> Any:
        dtype = self.graph.values[number].dtype
        key = key_of(self.place, dtype)
        return key.backend.as_array(self.graph.constants[number], dtype, self.place.index)

    def _call(self, unit: Unit) -> Call:
        """The kernel of a step, or the loop of a group, on slots."""
        return self._loop(unit) if isinstance(unit, Group) else self._kernel(unit)

    def _loop(self, group: Group) -> Call:
        later = {
            n for u, r in zip(self.units, self.reads, strict=True) if u is not group for n in r
        }
        wanted = later | set(self.targets)
        made = [v for s in group.steps for v in s.outputs if v.number in wanted]
        loop: Any
        if self.place.type == "cpu":
            from .cpu_loops import FusedLoop

            loop = FusedLoop(self.graph, group, made)
        else:
            from .cuda_formulas import FusedFormulas

            loop = FusedFormulas(group, made, self.place)
        self.loops.append(loop)
        places = [v.number for v in loop.inputs]
        outs = [v.number for v in made]

        def call(slots: list[Any]) -> None:
            for number, array in zip(outs, loop([slots[n] for n in places]), strict=True):
                slots[number] = array

        return call

    def _kernel(self, step: Step) -> Call:
        operation = step.operation
        if operation.takes_list:
            main, listed = step.inputs[0][0], [v.number for v in step.inputs[0]]
        else:
            roles = zip(step.inputs, operation.arrays, strict=True)
            main, listed = next(x for x, p in roles if x is not None and p.role == "main"), None
        key = key_of(self.place, main.dtype)
        kernel = getattr(key, operation.name)
        if operation.formula is not None and main.size >= operation.large:
            kernel = getattr(key.large, operation.name)
        places = (
            [] if listed is not None else [None if x is None else x.number for x in step.inputs]
        )
        attributes = step.attributes
        outs = [(v.number, _arranger(step, v, key.backend)) for v in step.outputs]
        several = operation.outputs != 1
        of_class, as_array = key.array_class, key.as_array

        def call(slots: list[Any]) -> None:
            if listed is not None:
                found = kernel([slots[n] for n in listed], **attributes)
            else:
                found = kernel(*[None if n is None else slots[n] for n in places], **attributes)
            for (number, arranged), array in zip(outs, found if several else (found,), strict=True):
                if array.__class__ is not of_class:
                    array = as_array(array)
                slots[number] = array if arranged is None else arranged(array)

        return call


def _arranger(step: Step, value: Value, backend: Any) -> Callable[[Any], Any] | None:
    """What brings an output of a kernel into the strides that are known for it; None for views."""
    if step.operation.is_view:
        return None
    if value.is_plain:
        return lambda array: array if array.flags.c_contiguous else backend.row_major(array)
    strides = tuple([s * value.dtype.itemsize for s in value.strides])
    order = sorted(range(len(strides)), key=lambda k: -strides[k])

    def arranged(array: Any) -> Any:
        if array.strides == strides:
            return array
        copy = backend.row_major(array.transpose(order))
        return copy.transpose(np.argsort(order).tolist())

    return arranged


def _numbers(unit: Unit) -> list[int]:
    return [v.number for v in (unit.inputs() if isinstance(unit, Group) else unit.read())]


def _outputs(unit: Unit) -> list[int]:
    steps = unit.steps if isinstance(unit, Group) else [unit]
    return [v.number for s in steps for v in s.outputs]


def _made(unit: Unit) -> list[int]:
    """The outputs that have memory of their own."""
    is_new = isinstance(unit, Group) or not unit.operation.may_alias
    return _outputs(unit) if is_new else []


def _pays(step: Step) -> bool:
    """Whether the parts of a step can be fused at all."""
    first = next(iter(step.read()))
    return first.size >= fusion.LEAST_FUSED and first.dtype.name in ("float32", "float64")


def _needed(steps: list[Step], sources: list[int], targets: list[int]) -> list[Step]:
    """The steps that targets depend on, in their order."""
    there = set(sources)
    wanted = set(targets) - there
    found = []
    for step in reversed(steps):
        if any(v.number in wanted for v in step.outputs):
            found.append(step)
            wanted.update(v.number for v in step.read() if v.number not in there)
    return found[::-1]
