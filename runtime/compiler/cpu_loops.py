"""Groups of steps as fused loops of the CPU: rows that stay in the cache between their passes.

A row is passed over once for each level of reductions on reductions, and once for what follows from
them. Values that later passes need are kept in a row of scratch memory where computing them again
would cost more.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from ..backends.cpu.loops import maths
from ..backends.cpu.loops.language import LEAST_STREAMED, SIZES, Position, Program, Variable
from ..backends.cpu.loops.language import Value as Number
from ..backends.cpu.loops.machine import Code
from ..backends.cpu.loops.pointwise import evaluated, is_supported
from ..backends.cpu.loops.threads import pool
from ..core.expressions import walk
from ..core.spec import contiguous_strides
from .formulas import expression_of
from .fusion import FINAL, REDUCTIONS, Group, is_scattered, settled_depth
from .graph import Graph, Step, Value

CHUNK = 16_384
"""Elements of the rows that a thread takes at a time."""
MOST_PARTS = 64
"""Partial sums of columns that are added up at the end."""
HEAVY = frozenset(
    "exp exp2 expm1 log log2 log10 log1p tanh sigmoid softplus erf erfc logaddexp".split()
)
"""Functions that take longer than it takes to write their result and read it again."""


def is_fit(step: Step) -> bool:
    """Whether loops can compute the formula of a step."""
    reals = {v.dtype.name for v in step.read() if v.dtype.is_floating_point}
    kinds = {v.dtype.name for v in step.read()} | {step.outputs[0].dtype.name}
    if len(reals) != 1 or not kinds <= {*reals, "bool"} or not reals <= {"float32", "float64"}:
        return False
    dtype = np.dtype(reals.pop())
    expression = expression_of(step)
    return not expression.args or is_supported(expression, dtype)


class FusedLoop:
    """The loop of a group: from the arrays of its inputs to those of `outputs`."""

    def __init__(self, graph: Graph, group: Group, outputs: list[Value]) -> None:
        self.graph, self.group, self.outputs = graph, group, outputs
        self.depth = settled_depth(group)
        shape = group.shape
        self.is_flat = self.depth == len(shape)
        self.columns = CHUNK if self.is_flat else math.prod(shape[-self.depth :])
        self.size = math.prod(shape)
        self.rows = -(-self.size // self.columns)
        self.inputs = group.inputs()
        self.real = group.real
        self.ways = [self._way(v) for v in self.inputs]
        self.tables = [_offsets(v, shape, self.depth) for v in self.inputs]
        has_parts = any(self._kind(v) in FINAL for v in outputs)
        self.chunk = max(1, CHUNK // self.columns, -(-self.rows // MOST_PARTS) if has_parts else 1)
        self.parts = -(-self.rows // self.chunk)
        self.levels = self._levels()
        self.kept = self._kept_rows()
        self.expressions = {
            s.outputs[0].number: expression_of(s)
            for s in group.steps
            if s.operation.formula is not None
        }
        last = max(self.levels.values())
        streamed = [v for v in outputs if self._kind(v) == "full" and self._level(v) == last]
        nbytes = self.size * SIZES[self.real]
        self.streamed = streamed[0] if streamed and nbytes >= LEAST_STREAMED else None
        self.words = struct.Struct(f"={self._count()}q").pack
        self._code: Code | None = None

    # -- what things are -------------------------------------------------------------------------

    def _kind(self, value: Value) -> str:
        return self.group.kinds.get(value.number, "full")

    def _stored(self, value: Value) -> str:
        """How an output is written: numbers that are seen as whole rows, as those."""
        kind = self._kind(value)
        return "full" if kind not in FINAL and value.shape == self.group.shape else kind

    def _way(self, value: Value) -> str:
        """How rows of an input are found: "scalar", "row" (a number each), "all" (one row for all),
        "plain" (one after the other), "table" or, of numbers, "row table"."""
        shape, depth = self.group.shape, self.depth
        if value.size == 1 and self.size != 1:
            return "scalar"
        if is_scattered(value, shape, depth) or (value.shape == shape and _is_plain(value)):
            return "plain"
        rows = shape[: len(shape) - depth]
        if _is_plain(value) and value.shape in (rows, rows + (1,) * depth):
            return "row"
        own = (1,) * (len(shape) - len(value.shape)) + value.shape
        is_one = all(n == 1 for n in own[-depth:])
        if not is_one and all(n == 1 for n in own[:-depth]):
            return "all"
        return "row table" if is_one else "table"

    def _levels(self) -> dict[int, int]:
        """By number of a value: how many reductions, one upon the other, lead to it."""
        found = {v.number: 0 for v in self.inputs}
        for step in self.group.steps:
            out = step.outputs[0]
            level = max(found[v.number] for v in step.read())
            found[out.number] = level + (self._is_reduced(step) and self._kind(out) == "row")
        return found

    def _is_reduced(self, step: Step) -> bool:
        return step.operation.name in REDUCTIONS or step.operation.name == "sum_to"

    def _level(self, value: Value) -> int:
        return self.levels[value.number]

    def _pass_of(self, step: Step) -> int:
        """In which pass the step reads full values."""
        levels = [self._level(v) for v in step.read()]
        return max(levels)

    def _kept_rows(self) -> list[int]:
        """Numbers of full values that go into scratch memory for later passes."""
        written = {v.number for v in self.outputs}
        heavy: dict[int, bool] = {}
        late: dict[int, int] = {}
        for step in self.group.steps:
            out = step.outputs[0]
            reads = [v for v in step.read() if v.number in self.group.kinds]
            heavy[out.number] = _is_heavy(step) or any(
                heavy[v.number] and self._kind(v) == "full" for v in reads
            )
            for v in reads:
                if self._kind(v) == "full" and self._pass_of(step) > self._level(v):
                    late[v.number] = self._pass_of(step)
        loads = {s.outputs[0].number: len(list(s.read())) for s in self.group.steps}
        return [n for n in late if n not in written and (heavy[n] or loads[n] > 1)]

    def _count(self) -> int:
        tables = sum(t is not None for t in self.tables)
        return len(self.inputs) + tables + len(self.outputs) + len(self.kept) + 3

    # -- the call --------------------------------------------------------------------------------

    def __call__(self, arrays: list[Any]) -> list[Any]:
        """The arrays of the outputs."""
        shape = self.group.shape
        given = []
        for array, way in zip(arrays, self.ways, strict=True):
            if array.__class__ is not np.ndarray:
                array = np.asarray(array)  # NumPy makes numbers of 0-d results
            if way == "plain" and not (array.shape == shape and array.flags.c_contiguous):
                array = np.ascontiguousarray(np.broadcast_to(array, shape))
            elif way in ("row", "all") and not array.flags.c_contiguous:
                array = np.ascontiguousarray(array)
            given.append(array)
        outs = [self._room(v) for v in self.outputs]
        scratch = [np.empty((self.parts, self.columns), self.real) for _ in self.kept]
        tables = [t for t in self.tables if t is not None]
        held = [*given, *tables, *outs, *scratch]
        if self._code is None:
            self._code = self._compiled()
        words = self.words(*map(id, held), self.columns, self.chunk, self.size)
        pool.run(self._code, words, self.rows, self.chunk)
        return [self._finished(v, a) for v, a in zip(self.outputs, outs, strict=True)]

    def _room(self, value: Value) -> Any:
        kind = self._kind(value)
        if kind == "columns":
            return np.zeros((self.parts, self.columns), self.real)
        if kind == "total":
            return np.zeros(self.parts, self.real)
        return np.empty(value.shape, value.dtype.numpy)

    def _finished(self, value: Value, array: Any) -> Any:
        kind = self._kind(value)
        if kind not in FINAL:
            return array
        found = array.sum(0) if kind == "columns" else np.asarray(array.sum(), self.real)
        step = next(s for s in self.group.steps if s.outputs[0] is value)
        if step.operation.name == "mean_over":
            found = found / np.asarray(self.size, self.real)
        return np.asarray(found, self.real).reshape(value.shape)

    # -- the code --------------------------------------------------------------------------------

    def _compiled(self) -> Code:
        program = Program("fused", self.real)
        writer = _Writer(self, program)
        with program.loop(program.begin, program.end) as row:
            writer.write_row(row)
        return Code(program.name, program.text())


def _is_plain(value: Value) -> bool:
    return value.strides == contiguous_strides(value.shape)


def _is_heavy(step: Step) -> bool:
    if step.operation.formula is None:
        return False
    return any(node.op in HEAVY for node in walk([expression_of(step)]))


def _offsets(value: Value, shape: tuple[int, ...], depth: int) -> Any:
    """For each row of the domain where that of `value` begins, in bytes; None if it needs none."""
    if value.size == 1 or is_scattered(value, shape, depth):
        return None
    own = (1,) * (len(shape) - len(value.shape)) + value.shape
    leading = own[: len(shape) - depth]
    rows = shape[: len(shape) - depth]
    is_plain = _is_plain(value)
    if is_plain and (value.shape == shape or value.shape in (rows, rows + (1,) * depth)):
        return None
    if all(n == 1 for n in leading):
        return None
    strides = (0,) * (len(shape) - len(value.shape)) + value.strides
    table = np.zeros(1, np.int64)
    for size, n, step in zip(rows, leading, strides, strict=False):
        step = 0 if n == 1 else step * value.dtype.itemsize
        table = np.add.outer(table, np.arange(size) * step)
    return np.ascontiguousarray(table.reshape(-1))


class _Writer:
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
        self.columns, self.chunk, self.size = (program.word(next(number)) for _ in range(3))
        self.makers = {s.outputs[0].number: s for s in loop.group.steps}
        self.single: dict[int, Number] = {}  # values that are one number in this row
        self.rows: dict[int, tuple[Number, str]] = {}  # values that lie in memory, and where

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
        self.stores: dict[int, Number] = {
            n: place + self.part * self.columns * SIZES[program.real] for n, place in kept.items()
        }
        for value, place in zip(loop.outputs, self.outs, strict=True):
            kind = loop._stored(value)
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
            if loop._stored(value) in ("row", "scalar"):
                at = row if loop._stored(value) == "row" else self.zero
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
            if out.number in self.single or self.loop._kind(out) not in ("row", "scalar"):
                continue
            if self.loop._is_reduced(step) or self.loop._level(out) > level:
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

    def _formula(self, step: Step, values: list[Number]) -> Number:
        expression = self.loop.expressions[step.outputs[0].number]
        names = [
            n for n, x in zip(step.operation.array_names, step.inputs, strict=True) if x is not None
        ]
        return evaluated(self.m, expression, dict(zip(names, values, strict=True)))

    # -- passes ----------------------------------------------------------------------------------

    def _write_pass(self, level: int) -> None:
        """Read what is needed once; reduce, and write what is complete."""
        loop, program = self.loop, self.program
        steps = loop.group.steps
        reduced = [s for s in steps if loop._is_reduced(s) and loop._pass_of(s) == level]
        made = {s.outputs[0].number for s in reduced}
        written = [
            n
            for n in self.stores
            if n not in made
            and n not in self.rows
            and loop.levels[n] == level
            and loop.group.kinds[n] not in FINAL
        ]
        if not reduced and not written:
            return
        accumulators = {s.outputs[0].number: self._accumulators(s) for s in reduced}
        streamed = loop.streamed.number if loop.streamed is not None else None
        turn = count()

        def body(at: Position) -> None:
            known: dict[int, Number] = {}
            k = next(turn)
            for number in written:
                value = self._value(number, at, known)
                at.store(self.stores[number], value, number == streamed and len(written) > 0)
            for step in reduced:
                self._reduce(
                    step,
                    self._value(step.inputs[0].number, at, known),
                    at,
                    accumulators[step.outputs[0].number],
                    k,
                )

        if streamed in written:
            size = SIZES[program.real]
            program.across_aligned(self.zero, self.width, body, self.stores[streamed], size)
        else:
            unroll = 4 if reduced and len(reduced) < 3 else 1
            program.across(self.zero, self.width, body, unroll)
        for number in written:
            value = loop.graph.values[number]
            self.rows[number] = self.stores[number], value.dtype.name
        for step in reduced:
            self._finish(step, accumulators[step.outputs[0].number])

    def _value(self, number: int, at: Position, known: dict[int, Number]) -> Number:
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
                self._formula(step, values)
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
        if self.loop._kind(step.outputs[0]) == "columns":
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
        if self.loop._kind(out) == "row":
            is_mean = step.operation.name == "mean_over"
            self.single[out.number] = total / self.count if is_mean else total
            return
        place = self.outs[self.loop.outputs.index(out)]
        before = self.program.load(place, self.part, self.program.real)
        self.program.store(before + total, place, self.part)
