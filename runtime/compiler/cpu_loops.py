"""Groups of steps as fused loops of the CPU: rows that stay in the cache between their passes.

A row is passed over once for each level of reductions on reductions, and once for what follows from
them. Values that later passes need are kept in a row of scratch memory where computing them again
would cost more.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from ..backends.cpu.loops.language import LEAST_STREAMED, SIZES, Program
from ..backends.cpu.loops.machine import Code
from ..backends.cpu.loops.pointwise import is_supported
from ..backends.cpu.loops.threads import pool
from ..core.expressions import walk
from .formulas import expression_of
from .fusion import FINAL, REDUCTIONS, Group, is_scattered, settled_depth
from .graph import Graph, Step, Value
from .row_programs import RowWriter

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
        self.tables = [
            None if way == "row" else _offsets(v, shape, self.depth)
            for v, way in zip(self.inputs, self.ways, strict=True)
        ]
        has_parts = any(self.kind(v) in FINAL for v in outputs)
        self.chunk = max(1, CHUNK // self.columns, -(-self.rows // MOST_PARTS) if has_parts else 1)
        self.parts = -(-self.rows // self.chunk)
        self.levels = self._levels()
        self.kept = self._kept_rows()
        self.expressions = {
            s.outputs[0].number: expression_of(s)
            for s in group.steps
            if s.operation.formula is not None
        }
        self.functions = self._functions()
        self.shared = self._shared_functions()
        last = max(self.levels.values())
        streamed = [
            v
            for v in outputs
            if self.kind(v) == "full" and self.level(v) == last and v.dtype.name == self.real
        ]
        nbytes = self.size * SIZES[self.real]
        self.streamed = streamed[0] if streamed and nbytes >= LEAST_STREAMED else None
        self.words = struct.Struct(f"={self._count()}q").pack
        self._code: Code | None = None

    # -- what things are -------------------------------------------------------------------------

    def kind(self, value: Value) -> str:
        return self.group.kinds.get(value.number, "full")

    def stored(self, value: Value) -> str:
        """How an output is written: numbers that are seen as whole rows, as those."""
        kind = self.kind(value)
        return "full" if kind not in FINAL and value.shape == self.group.shape else kind

    def _way(self, value: Value) -> str:
        """How rows of an input are found: "scalar", "row" (a number each), "all" (one row for all),
        "plain" (one after the other), "table" or, of numbers, "row table"."""
        shape, depth = self.group.shape, self.depth
        if value.size == 1 and self.size != 1:
            return "scalar"
        if value.is_plain and self.group.is_of_rows(value, depth):
            return "row"
        if is_scattered(value, shape, depth) or (value.shape == shape and value.is_plain):
            return "plain"
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
            found[out.number] = level + (self.is_reduced(step) and self.kind(out) == "row")
        return found

    def is_reduced(self, step: Step) -> bool:
        return step.operation.name in REDUCTIONS or step.operation.name == "sum_to"

    def level(self, value: Value) -> int:
        return self.levels[value.number]

    def pass_of(self, step: Step) -> int:
        """In which pass the step reads full values."""
        levels = [self.level(v) for v in step.read()]
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
                heavy[v.number] and self.kind(v) == "full" for v in reads
            )
            for v in reads:
                if self.kind(v) == "full" and self.pass_of(step) > self.level(v):
                    late[v.number] = self.pass_of(step)
        loads = {s.outputs[0].number: len(list(s.read())) for s in self.group.steps}
        return [n for n in late if n not in written and (heavy[n] or loads[n] > 1)]

    def _functions(self) -> dict[int, int]:
        """By id of a node of the formulas: a number that is the same for the same function of the
        same values."""
        numbers: dict[Any, int] = {}
        found: dict[int, int] = {}
        for step in self.group.steps:
            root = self.expressions.get(step.outputs[0].number)
            if root is None:
                continue
            places = dict(zip(step.operation.array_names, step.inputs, strict=True))
            for node in walk([root]):
                if node.op == "input":
                    what: Any = "value", places[node.value].number
                else:
                    what = node.op, repr(node.value), *[found[id(a)] for a in node.args]
                found[id(node)] = numbers.setdefault(what, len(numbers))
        return found

    def _shared_functions(self) -> list[int]:
        """Numbers of the heavy functions that several passes need; they go into scratch memory."""
        levels: dict[int, set[int]] = {}
        for step in self.group.steps:
            out = step.outputs[0]
            root = self.expressions.get(out.number)
            for node in () if root is None or self.kind(out) != "full" else walk([root]):
                if node.op in HEAVY:
                    levels.setdefault(self.functions[id(node)], set()).add(self.level(out))
        return [number for number, found in levels.items() if len(found) > 1]

    def _count(self) -> int:
        tables = sum(t is not None for t in self.tables)
        scratch = len(self.kept) + len(self.shared)
        return len(self.inputs) + tables + len(self.outputs) + scratch + 3

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
        room = self.parts, self.columns
        scratch = [np.empty(room, self.real) for _ in (*self.kept, *self.shared)]
        tables = [t for t in self.tables if t is not None]
        held = [*given, *tables, *outs, *scratch]
        if self._code is None:
            self._code = self._compiled()
        words = self.words(*map(id, held), self.columns, self.chunk, self.size)
        pool.run(self._code, words, self.rows, self.chunk)
        return [self._finished(v, a) for v, a in zip(self.outputs, outs, strict=True)]

    def _room(self, value: Value) -> Any:
        kind = self.kind(value)
        if kind == "columns":
            return np.zeros((self.parts, self.columns), self.real)
        if kind == "total":
            return np.zeros(self.parts, self.real)
        return np.empty(value.shape, value.dtype.numpy)

    def _finished(self, value: Value, array: Any) -> Any:
        kind = self.kind(value)
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
        writer = RowWriter(self, program)
        with program.loop(program.begin, program.end) as row:
            writer.write_row(row)
        return Code(program.name, program.text())


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
    if value.is_plain and value.shape == shape:
        return None
    if all(n == 1 for n in leading):
        return None
    strides = (0,) * (len(shape) - len(value.shape)) + value.strides
    table = np.zeros(1, np.int64)
    for size, n, step in zip(rows, leading, strides, strict=False):
        step = 0 if n == 1 else step * value.dtype.itemsize
        table = np.add.outer(table, np.arange(size) * step)
    return np.ascontiguousarray(table.reshape(-1))
