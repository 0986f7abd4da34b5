"""The programs of fused loops: what is done with one row, pass by pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from ..backends.cpu.loops import maths
from ..backends.cpu.loops.language import SIZES, Position, Program, Variable
from ..backends.cpu.loops.language import Value as Number
from ..backends.cpu.loops.pointwise import evaluated
from ..core.expressions import Expression
from .fusion import FINAL, REDUCTIONS
from .graph import Step

if TYPE_CHECKING:
    from .cpu_loops import FusedLoop


class RowWriter:
    """Writes the program of one row."""

    def __init__(self, loop: FusedLoop, program: Program) -> None:
        self.loop, self.program = loop, program
        self.m = maths.Maths(program)
        self.zero = program.constant(0)
        number = count()
        self.places = [program.array(next(number)) for _ in loop.inputs]
        self.tables = [None if t is None else program.array(next(number)) for t in loop.tables]
        self.outs = [program.array(next(number)) for _ in loop.outputs]
        self.scratch = [program.array(next(number)) for _ in loop.kept]
        self.shared = {n: program.array(next(number)) for n in loop.shared}
        self.columns, self.chunk, self.size = (program.word(next(number)) for _ in range(3))
        self.makers = {s.outputs[0].number: s for s in loop.group.steps}
        self.single: dict[int, Number] = {}  # values that are one number in this row
        self.rows: dict[int, tuple[Number, str]] = {}  # values that lie in memory, and where
        self.level = 0  # of the pass being written
        self.passes: dict[int, int] = {}  # by number of a shared function, which pass stores it

    def write_row(self, row: Number) -> None:
        """All passes over a row."""
        loop, program = self.loop, self.program
        self.row, self.part = row, program.begin // self.chunk
        if loop.is_flat:
            left = self.size - row * self.columns
            self.width = program.where(left < self.columns, left, self.columns)
        else:
            self.width = self.columns
        self.count = self.width.to(program.real)
        self._find_inputs()
        kept = dict(zip(loop.kept, self.scratch, strict=True))
        part = self.part * self.columns * SIZES[program.real]
        self.shared = {n: place + part for n, place in self.shared.items()}
        self.stores: dict[int, Number] = {
            n: place + self.part * self.columns * SIZES[program.real] for n, place in kept.items()
        }
        for value, place in zip(loop.outputs, self.outs, strict=True):
            kind = loop.stored(value)
            if kind == "full":
                size = SIZES[value.dtype.name]
                self.stores[value.number] = place + row * self.columns * size
            elif kind == "columns":
                self.stores[value.number] = place + self.part * self.columns * SIZES[program.real]
        for level in range(max(loop.levels.values()) + 1):
            self._find_numbers(level)
            self._write_pass(level)
        self._find_numbers(max(loop.levels.values()))
        for value, place in zip(loop.outputs, self.outs, strict=True):
            if loop.stored(value) in ("row", "scalar"):
                at = row if loop.stored(value) == "row" else self.zero
                program.store(self.single[value.number], place, at)

    def _find_inputs(self) -> None:
        loop, program = self.loop, self.program
        for value, way, place, table in zip(
            loop.inputs, loop.ways, self.places, self.tables, strict=True
        ):
            kind = value.dtype.name
            if way == "scalar":
                self.single[value.number] = program.load(place, self.zero, kind)
            elif way == "row":
                self.single[value.number] = program.load(place, self.row, kind)
            elif way == "row table":
                start = place + program.load(table, self.row, "int64")
                self.single[value.number] = program.load(start, self.zero, kind)
            elif way == "all":
                self.rows[value.number] = place, kind
            elif way == "table":
                self.rows[value.number] = place + program.load(table, self.row, "int64"), kind
            else:
                start = place + self.row * self.columns * SIZES[kind]
                self.rows[value.number] = start, kind

    def _find_numbers(self, level: int) -> None:
        """Values of which a row has one, as far as they are known before pass `level`."""
        for step in self.loop.group.steps:
            out = step.outputs[0]
            if out.number in self.single or self.loop.kind(out) not in ("row", "scalar"):
                continue
            if self.loop.is_reduced(step) or self.loop.level(out) > level:
                continue
            inputs = list(step.read())
            if step.operation.formula is not None:
                self.single[out.number] = self._formula(
                    step, [self.single[v.number] for v in inputs]
                )
            else:
                self.single[out.number] = self._spread(step, self.single[inputs[0].number])

    def _spread(self, step: Step, value: Number) -> Number:
        if step.operation.name == "cast":
            return value.to(self.program.real)
        if step.operation.name != "expand_mean":
            return value
        return value * (step.inputs[0].size / math.prod(self.loop.group.shape))

    def _formula(
        self, step: Step, values: list[Number], at: Position | None = None, known: Any = None
    ) -> Number:
        expression = self.loop.expressions[step.outputs[0].number]
        names = [
            n for n, x in zip(step.operation.array_names, step.inputs, strict=True) if x is not None
        ]
        given = dict(zip(names, values, strict=True))
        if at is None or not self.shared:
            return evaluated(self.m, expression, given)
        return evaluated(self.m, expression, given, partial(self._function, at, known))

    def _function(
        self, at: Position, known: Any, node: Expression, compute: Callable[[], Number]
    ) -> Number:
        """The value of a function in a formula: of a shared one what an earlier pass has stored."""
        number = self.loop.functions[id(node)]
        if number not in self.shared:
            return compute()
        key = "function", number
        if key not in known:
            stored = self.passes.setdefault(number, self.level)
            if stored < self.level:
                known[key] = at.load(self.shared[number], self.program.real)
            else:
                known[key] = value = self.program.spread(compute(), self.program.lanes)
                at.store(self.shared[number], value)
        return known[key]

    # -- passes ----------------------------------------------------------------------------------

    def _write_pass(self, level: int) -> None:
        """Read what is needed once; reduce, and write what is complete."""
        loop, program = self.loop, self.program
        self.level = level
        reduced = [s for s in loop.group.steps if loop.is_reduced(s) and loop.pass_of(s) == level]
        written = self._complete(level, {s.outputs[0].number for s in reduced})
        if not reduced and not written:
            return
        accumulators = [self._accumulators(s) for s in reduced]
        streamed = loop.streamed.number if loop.streamed is not None else None
        turn = count()

        def body(at: Position) -> None:
            known: dict[Any, Number] = {}
            k = next(turn)
            for number in written:
                value = self._value(number, at, known)
                at.store(self.stores[number], value, number == streamed)
            for step, parts in zip(reduced, accumulators, strict=True):
                value = self._value(step.inputs[0].number, at, known)
                self._reduce(step, value, at, parts, k)

        if streamed in written:
            size = SIZES[program.real]
            program.across_aligned(self.zero, self.width, body, self.stores[streamed], size)
        else:
            unroll = 4 if reduced and len(reduced) < 3 else 1
            program.across(self.zero, self.width, body, unroll)
        for number in written:
            value = loop.graph.values[number]
            self.rows[number] = self.stores[number], value.dtype.name
        for step, parts in zip(reduced, accumulators, strict=True):
            self._finish(step, parts)

    def _complete(self, level: int, reduced: set[int]) -> list[int]:
        """Numbers of the values to be written that pass `level` is the first to know."""
        return [
            n
            for n in self.stores
            if n not in reduced
            and n not in self.rows
            and self.loop.levels[n] == level
            and self.loop.group.kinds[n] not in FINAL
        ]

    def _value(self, number: int, at: Position, known: dict[Any, Number]) -> Number:
        """A value at a position: read, or computed."""
        found = self.single.get(number) or known.get(number)
        if found is not None:
            return found
        if number in self.rows:
            place, kind = self.rows[number]
            found = at.load(place, kind)
        else:
            step = self.makers[number]
            values = [self._value(v.number, at, known) for v in step.read()]
            found = (
                self._formula(step, values, at, known)
                if step.operation.formula is not None
                else (self._spread(step, values[0]))
            )
        known[number] = found
        return found

    def _how(self, step: Step) -> tuple[float, Callable[[Number, Number], Number]]:
        """The neutral number of a reduction, and how it joins two."""
        name = REDUCTIONS.get(step.operation.name, "sum")
        if name == "max":
            return -math.inf, self.m.maximum
        if name == "min":
            return math.inf, self.m.minimum
        return 0.0, self.m.add

    def _accumulators(self, step: Step) -> list[Variable]:
        if self.loop.kind(step.outputs[0]) == "columns":
            return []
        first, _ = self._how(step)
        program = self.program
        start = program.spread(program.constant(first, program.real), program.lanes)
        return [program.variable(start) for _ in range(4)]

    def _reduce(
        self, step: Step, value: Number, at: Position, parts: list[Variable], turn: int
    ) -> None:
        if not parts:  # a sum over rows
            place = self.stores[step.outputs[0].number]
            at.store(place, at.load(place, self.program.real) + value)
            return
        first, join = self._how(step)
        value = self.program.spread(value, self.program.lanes)
        part = parts[turn % len(parts)]
        part.value = join(part.value, at.filled(value, first))

    def _finish(self, step: Step, parts: list[Variable]) -> None:
        if not parts:
            return
        _, join = self._how(step)
        values = [part.value for part in parts]
        while len(values) > 1:
            values = [join(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
        total = self.program.combine(values[0], join)
        out = step.outputs[0]
        if self.loop.kind(out) == "row":
            is_mean = step.operation.name == "mean_over"
            self.single[out.number] = total / self.count if is_mean else total
            return
        place = self.outs[self.loop.outputs.index(out)]
        before = self.program.load(place, self.part, self.program.real)
        self.program.store(before + total, place, self.part)
