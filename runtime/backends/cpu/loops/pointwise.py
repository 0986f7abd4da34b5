"""Formulas over large arrays: one pass over memory, whatever the number of operations.

Operands of one shape without gaps are one long row. Broadcast and strided ones are many rows, each
of which lies in memory without gaps or stays one number; what has no long rows stays with NumPy.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ....core.expressions import Expression, walk
from ...array import by_statics
from . import maths
from .language import LEAST_STREAMED, Position, Program, Value
from .machine import Code
from .threads import pool

if TYPE_CHECKING:
    from ....ops.operation import Operation

CHUNK = 16_384
"""Elements that a thread takes at a time."""
LEAST_ROW = 64
"""Elements of a row from which on rows pay: a row begins with a look-up and may end with a part of
a vector."""

Kernel = Callable[..., Any]
_REALS = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}
_POWERS: dict[float, Callable[[maths.Maths, Value], Value]] = {
    -2.0: lambda m, x: 1 / (x * x),
    -1.0: lambda m, x: 1 / x,
    -0.5: lambda m, x: m.rsqrt(x),
    0.5: lambda m, x: m.sqrt(x),
    3.0: lambda m, x: x * x * x,
    4.0: lambda m, x: m.square(x * x),
}
"""Powers by constants that are a few products or a root."""


def is_supported(expression: Expression, dtype: Any) -> bool:
    """Whether loops over arrays of NumPy's `dtype` can compute the formula."""
    real = _REALS.get(dtype)
    if real is None or not expression.args:
        return False
    for node in walk([expression]):
        if node.op == "constant" and not isinstance(node.value, int | float):
            return False
        if node.op == "pow":
            if node.args[1].op != "constant" or node.args[1].value not in _POWERS:
                return False
        elif node.args and not maths.supports(node.op, real):
            return False
    return True


def kernel(operation: Operation, dtype: Any) -> Kernel | None:
    """The function that computes the formula of `operation` on large arrays of NumPy's `dtype`, or
    gives None where NumPy does better; None if it always does."""

    def loops(expression: Expression) -> Kernel:
        if not is_supported(expression, dtype):
            return lambda *arrays, **numbers: None
        return Loops(expression, operation.array_names, operation.parameter_names, dtype)

    if operation.statics:
        return by_statics(operation, loops)
    expression = operation.expression({})
    return loops(expression) if is_supported(expression, dtype) else None


class Loops:
    """The programs of one formula for arrays of one dtype."""

    def __init__(
        self, expression: Expression, inputs: list[str], parameters: list[str], dtype: Any
    ) -> None:
        self.expression, self.inputs, self.parameters = expression, inputs, parameters
        self.dtype, self.real = np.dtype(dtype), _REALS[np.dtype(dtype)]
        self.out_dtype = np.dtype(bool) if expression.is_boolean else self.dtype
        self._codes: dict[tuple[str, bool], tuple[Code, Callable[..., bytes]]] = {}

    def __call__(self, *arrays: Any, **numbers: float) -> Any:
        """The result; None where NumPy does better."""
        shape, roles = arrays[0].shape, ""
        for a in arrays:
            kind = a.dtype
            role = "v" if kind is self.dtype else self._role(kind)
            if role is None:
                return None
            if a.shape != shape or not a.flags.c_contiguous:
                if a.ndim:
                    return self._by_rows(arrays, numbers)
                role = role.upper()
            roles += role
        if not shape:
            return self._by_rows(arrays, numbers)
        out = np.empty(shape, self.out_dtype)
        self._run(roles, arrays, (), out, numbers, out.size, CHUNK)
        return out

    def into(self, out: Any, *arrays: Any) -> bool:
        """Whether the result was written into `out`, which may be one of `arrays`, all of its shape
        or 0-d, but must not share only a part of its memory with another."""
        flags = out.flags
        if out.dtype != self.out_dtype or not flags.c_contiguous or not flags.writeable:
            return False
        roles = ""
        for a in arrays:
            role = self._role(a.dtype)
            fits = a.shape == out.shape and a.flags.c_contiguous
            if role is None or not (fits or not a.ndim):
                return False
            if not (fits and _address(a) == _address(out)) and np.may_share_memory(a, out):
                return False
            roles += role if fits else role.upper()
        self._run(roles, arrays, (), out, {}, out.size, CHUNK)
        return True

    def _role(self, kind: Any) -> str | None:
        """v for values of the formula's dtype, b for truth values, None for others."""
        return "v" if kind == self.dtype else "b" if kind == np.bool_ else None

    def _run(
        self, roles: str, arrays: Any, more: Any, out: Any, numbers: Any, size: int, chunk: int
    ) -> None:
        streams = out.nbytes >= LEAST_STREAMED and out.dtype == self.dtype
        streams = streams and not any(a is out for a in arrays)
        found = self._codes.get((roles, streams))
        if found is None:
            form = f"={1 + len(arrays) + len(more)}q{len(self.parameters)}d"
            found = self._compiled(roles, streams), struct.Struct(form).pack
            self._codes[roles, streams] = found
        code, pack = found
        values = [numbers[n] for n in self.parameters] if self.parameters else ()
        pool.run(code, pack(id(out), *map(id, arrays), *more, *values), size, chunk)

    def _by_rows(self, arrays: Any, numbers: Any) -> Any:
        """The result for arrays that are broadcast or lie in memory with gaps."""
        try:
            shape = np.broadcast_shapes(*[a.shape for a in arrays])
        except ValueError:
            return None  # NumPy's kernel says what is wrong
        order = _memory_order(arrays, shape)
        if order is not None:
            turned = [a.transpose(order) if a.ndim == len(shape) else a for a in arrays]
            if any(0 < a.ndim < len(shape) for a in arrays):
                return None
            result = self(*turned, **numbers)
            return None if result is None else result.transpose(np.argsort(order))
        rows = _rows([np.broadcast_to(a, shape) for a in arrays], shape)
        if rows is None:
            return None
        columns, offsets, inner = rows
        roles = ""
        for a, step in zip(arrays, inner, strict=True):
            role = self._role(a.dtype)
            if role is None:
                return None
            roles += role if step else role.upper()
        out = np.empty(shape, self.out_dtype)
        more = [*map(id, offsets), columns]
        self._run(
            "rows " + roles, arrays, more, out, numbers, len(offsets[0]), max(1, CHUNK // columns)
        )
        return out

    # -- code ------------------------------------------------------------------------------------

    def _compiled(self, roles: str, streams: bool) -> Code:
        program = Program("formula", self.real)
        kinds = roles.removeprefix("rows ")
        n = len(kinds)
        out, *places = (program.array(k) for k in range(n + 1))
        if kinds == roles:
            numbers = [program.number(n + 1 + k) for k in range(len(self.parameters))]
            self._across(program, kinds, places, numbers, out, program.begin, program.end, streams)
            return Code(program.name, program.text())
        offsets = [program.array(n + 1 + k) for k in range(n)]
        columns = program.word(2 * n + 1)
        numbers = [program.number(2 * n + 2 + k) for k in range(len(self.parameters))]
        with program.loop(program.begin, program.end) as row:
            starts = [
                place + program.load(table, row, "int64")
                for place, table in zip(places, offsets, strict=True)
            ]
            target = out + row * columns * self.out_dtype.itemsize
            zero = program.constant(0)
            self._across(program, kinds, starts, numbers, target, zero, columns, streams)
        return Code(program.name, program.text())

    def _across(
        self,
        program: Program,
        kinds: str,
        places: Any,
        numbers: Any,
        out: Any,
        begin: Any,
        end: Any,
        streams: bool,
    ) -> None:
        """Compute a row from `begin` to `end`; kinds in capitals are one number for all of it."""
        m = maths.Maths(program)
        zero = program.constant(0)
        kept = {
            k: program.load(places[k], zero, self._kind(kind))
            for k, kind in enumerate(kinds)
            if kind.isupper()
        }

        def body(at: Position) -> None:
            values = [
                kept[k] if k in kept else at.load(places[k], self._kind(kind))
                for k, kind in enumerate(kinds)
            ]
            given = dict(zip(self.inputs, values, strict=True))
            given.update(zip(self.parameters, numbers, strict=True))
            at.store(out, evaluated(m, self.expression, given), streams)

        program.across_aligned(begin, end, body, out, self.out_dtype.itemsize)

    def _kind(self, role: str) -> str:
        return self.real if role in "vV" else "bool"


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def _computed(node: Expression, compute: Callable[[], Value]) -> Value:
    return compute()


def evaluated(
    m: maths.Maths,
    expression: Expression,
    given: dict[str, Value],
    found: Callable[[Expression, Callable[[], Value]], Value] = _computed,
) -> Value:
    """The formula's value, from those of its inputs and parameters by name; `found(node, compute)`
    gives that of each function in it, and computes it unless it is known."""
    program = m.program
    done: dict[int, Any] = {}
    for node in walk([expression]):
        if node.op == "constant":
            kind = "bool" if isinstance(node.value, bool) else program.real
            done[id(node)] = program.constant(node.value, kind)
        elif not node.args:
            done[id(node)] = given[node.value]
        elif node.op == "pow":
            done[id(node)] = _POWERS[float(node.args[1].value)](m, done[id(node.args[0])])
        else:
            function, args = getattr(m, node.op), [done[id(a)] for a in node.args]
            done[id(node)] = found(node, partial(function, *args))
    return done[id(expression)]


def _memory_order(arrays: Any, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The order of axes in which the largest array lies in memory; None if it is theirs."""
    whole = next((a for a in arrays if a.shape == shape), None)
    if whole is None or whole.flags.c_contiguous:
        return None
    strides = whole.strides
    order = tuple(sorted(range(len(shape)), key=lambda k: (-strides[k], k)))
    return None if order == tuple(range(len(shape))) else order


def _rows(arrays: Any, shape: tuple[int, ...]) -> tuple[int, list[Any], list[int]] | None:
    """The length of rows that lie in each array without gaps or stay one number; for each array
    where in it each row begins, in bytes, and the bytes from element to element of a row."""
    sizes: list[int] = []
    steps: list[list[int]] = []
    for k, size in enumerate(shape):
        strides = [a.strides[k] for a in arrays]
        if size == 1:
            continue
        if sizes and all(o == s * size for o, s in zip(steps[-1], strides, strict=True)):
            sizes[-1] *= size
            steps[-1] = strides
        else:
            sizes.append(size)
            steps.append(strides)
    if not sizes or sizes[-1] < LEAST_ROW:
        return None
    inner = steps[-1]
    if any(step not in (0, a.itemsize) for step, a in zip(inner, arrays, strict=True)):
        return None
    offsets = []
    for k in range(len(arrays)):
        table = np.zeros(1, np.int64)
        for size, step in zip(sizes[:-1], steps[:-1], strict=True):
            table = np.add.outer(table, np.arange(size) * step[k])
        offsets.append(np.ascontiguousarray(table.reshape(-1)))
    return sizes[-1], offsets, inner
