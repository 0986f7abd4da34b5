"""The language of fused loops: machine code written by Python functions that compute on symbols.

A `Program` is one function of the processor, `f(words, begin, end)`: `words` are its arguments, of
8 bytes each, `begin` and `end` the part of the work that one thread does. A `Value` in it is a
number or a vector of numbers, one a lane; operators on values append instructions. Vectors fill 64
bytes on every processor, so that results depend neither on its width nor on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

VECTOR_BYTES = 64
LEAST_STREAMED = 8 << 20
"""Bytes of a result that goes to memory past the caches, which could not keep it beside its inputs
for its reader: three additions in turn over 4M elements take 3.5 ms instead of 5.4, over 2M 1.5
instead of 1.7, but over 1M 0.6 instead of 0.4."""

DATA_WORD = 16
"""Where an `ndarray` object keeps the address of its data: behind reference count and type."""

TYPES: dict[str, Any] = {
    "float32": ir.FloatType(), "float64": ir.DoubleType(), "bool": ir.IntType(1),
    "int8": ir.IntType(8), "int16": ir.IntType(16), "int32": ir.IntType(32),
    "int64": ir.IntType(64), "float16": ir.HalfType(),
}  # fmt: skip
SIZES = {
    "float16": 2, "float32": 4, "float64": 8, "bool": 1, "int8": 1, "int16": 2, "int32": 4,
    "int64": 8,
}  # fmt: skip
POINTER = ir.PointerType()
NAMES = {str(t): name for name, t in TYPES.items()}


class Value:
    """A number or a vector. Operators make new values; in-place ones and `x[mask] = y` change what
    the Python object stands for, as they change an array."""

    __slots__ = ("ir", "program")
    __hash__ = object.__hash__

    def __init__(self, program: Program, instruction: Any) -> None:
        self.program = program
        self.ir = instruction

    @property
    def lanes(self) -> int:
        """1 for a number."""
        return self.ir.type.count if isinstance(self.ir.type, ir.VectorType) else 1

    @property
    def kind(self) -> str:
        """The name in TYPES of the type of one lane."""
        return NAMES[str(getattr(self.ir.type, "element", self.ir.type))]

    @property
    def is_float(self) -> bool:
        """Whether the lanes are floating-point numbers."""
        return self.kind.startswith("float")

    def _apply(self, other: Any, float_op: str, integer_op: str, swapped: bool = False) -> Value:
        a, b = self.program.alike(self, other)
        if swapped:
            a, b = b, a
        name = float_op if a.is_float else integer_op
        return Value(self.program, getattr(self.program.builder, name)(a.ir, b.ir))

    def __add__(self, other: Any) -> Value:
        return self._apply(other, "fadd", "add")

    def __radd__(self, other: Any) -> Value:
        return self._apply(other, "fadd", "add", True)

    def __sub__(self, other: Any) -> Value:
        return self._apply(other, "fsub", "sub")

    def __rsub__(self, other: Any) -> Value:
        return self._apply(other, "fsub", "sub", True)

    def __mul__(self, other: Any) -> Value:
        return self._apply(other, "fmul", "mul")

    def __rmul__(self, other: Any) -> Value:
        return self._apply(other, "fmul", "mul", True)

    def __truediv__(self, other: Any) -> Value:
        return self._apply(other, "fdiv", "sdiv")

    def __rtruediv__(self, other: Any) -> Value:
        return self._apply(other, "fdiv", "sdiv", True)

    def __floordiv__(self, other: Any) -> Value:
        return self._apply(other, "", "sdiv")

    def __mod__(self, other: Any) -> Value:
        return self._apply(other, "", "srem")

    def __and__(self, other: Any) -> Value:
        return self._apply(other, "", "and_")

    def __or__(self, other: Any) -> Value:
        return self._apply(other, "", "or_")

    def __xor__(self, other: Any) -> Value:
        return self._apply(other, "", "xor")

    def __lshift__(self, other: Any) -> Value:
        return self._apply(other, "", "shl")

    def __rshift__(self, other: Any) -> Value:
        """Signed: the sign moves in."""
        return self._apply(other, "", "ashr")

    def shifted_right(self, bits: int) -> Value:
        """Unsigned: zeros move in."""
        return self._apply(bits, "", "lshr")

    def __invert__(self) -> Value:
        return Value(self.program, self.program.builder.not_(self.ir))

    def __neg__(self) -> Value:
        builder = self.program.builder
        return Value(self.program, (builder.fneg if self.is_float else builder.neg)(self.ir))

    def compare(self, operator: str, other: Any) -> Value:
        """`operator` is < <= > >= or ==, false where one is NaN, or !=, true there."""
        a, b = self.program.alike(self, other)
        builder = self.program.builder
        if not a.is_float:
            return Value(self.program, builder.icmp_signed(operator, a.ir, b.ir))
        compare = builder.fcmp_unordered if operator == "!=" else builder.fcmp_ordered
        return Value(self.program, compare(operator, a.ir, b.ir))

    def __lt__(self, other: Any) -> Value:
        return self.compare("<", other)

    def __le__(self, other: Any) -> Value:
        return self.compare("<=", other)

    def __gt__(self, other: Any) -> Value:
        return self.compare(">", other)

    def __ge__(self, other: Any) -> Value:
        return self.compare(">=", other)

    def _become(self, value: Value) -> Value:
        self.ir = value.ir
        return self

    def __iadd__(self, other: Any) -> Value:
        return self._become(self + other)

    def __isub__(self, other: Any) -> Value:
        return self._become(self - other)

    def __imul__(self, other: Any) -> Value:
        return self._become(self * other)

    def __itruediv__(self, other: Any) -> Value:
        return self._become(self / other)

    def __setitem__(self, where: Any, other: Any) -> None:
        value = self.program.alike(self, other)[1]
        self._become(value if where is Ellipsis else self.program.where(where, value, self))

    def bits(self) -> Value:
        """The same bits as integers."""
        return self.program.cast("bitcast", self, "int32" if self.kind == "float32" else "int64")

    def as_float(self) -> Value:
        """The same bits as floating-point numbers."""
        return self.program.cast("bitcast", self, "float32" if self.kind == "int32" else "float64")

    def to(self, kind: str) -> Value:
        """Converted to another type; floats to integers by leaving the fraction off."""
        ours = self.kind
        if kind == ours:
            return Value(self.program, self.ir)
        if kind.startswith("float"):
            if ours.startswith("float"):
                name = "fpext" if SIZES[kind] > SIZES[ours] else "fptrunc"
            else:
                name = "uitofp" if ours == "bool" else "sitofp"
        elif ours.startswith("float"):
            name = "fptosi"
        elif SIZES[kind] > SIZES[ours] or ours == "bool":
            name = "zext" if ours == "bool" else "sext"
        else:
            name = "trunc"
        return self.program.cast(name, self, kind)

    def lane(self, k: int) -> Value:
        """The number in lane `k`."""
        index = ir.Constant(TYPES["int32"], k)
        return Value(self.program, self.program.builder.extract_element(self.ir, index))


class Variable:
    """A value that loops and branches change."""

    def __init__(self, program: Program, first: Value) -> None:
        self.program, self.type = program, first.ir.type
        with program.builder.goto_block(program.entry):
            self.slot = program.builder.alloca(self.type)
        self.value = first

    @property
    def value(self) -> Value:
        return Value(self.program, self.program.builder.load(self.slot, typ=self.type))

    @value.setter
    def value(self, value: Value) -> None:
        self.program.builder.store(value.ir, self.slot)


class Position:
    """Where a body stands in a row of elements: `lanes` of them, of which those in `mask` exist."""

    def __init__(self, program: Program, index: Value, lanes: int, mask: Value | None) -> None:
        self.program, self.index, self.lanes, self.mask = program, index, lanes, mask

    def load(self, array: Value, kind: str) -> Value:
        """The elements here of the array at address `array`; what does not exist is 0."""
        return self.program.load(array, self.index, kind, self.lanes, self.mask)

    def store(self, array: Value, value: Value, streams: bool = False) -> None:
        """Write `value`, one number or one a lane, to those of `array`; with `streams` past the
        caches, at a place that `across_aligned` chose."""
        value = self.program.spread(value, self.lanes)
        self.program.store(value, array, self.index, self.mask, streams)

    def filled(self, value: Value, neutral: float) -> Value:
        """`value` with `neutral` in lanes that do not exist."""
        if self.mask is None:
            return value
        return self.program.where(self.mask, value, neutral)


class Program:
    """One function under construction. `real` is the type that it computes in."""

    def __init__(self, name: str, real: str = "float32") -> None:
        self.name, self.real = name, real
        self.lanes = VECTOR_BYTES // SIZES[real]
        self.module = ir.Module(name)
        i64 = TYPES["int64"]
        kind = ir.FunctionType(ir.VoidType(), [POINTER, i64, i64])
        self.function = ir.Function(self.module, kind, name)
        self.entry = self.function.append_basic_block("entry")
        self.start = self.function.append_basic_block("start")
        self.builder = ir.IRBuilder(self.start)
        self.begin, self.end = (Value(self, a) for a in self.function.args[1:])

    def text(self) -> str:
        """The finished program in LLVM's language."""
        self.builder.ret_void()
        with self.builder.goto_block(self.entry):
            self.builder.branch(self.start)
        return str(self.module)

    # -- arguments -------------------------------------------------------------------------------

    def word(self, k: int) -> Value:
        """Argument `k`, an integer or an address."""
        return self.load(Value(self, self.function.args[0]), self.constant(k), "int64")

    def number(self, k: int) -> Value:
        """Argument `k`, a float64, in the type of the program."""
        return self.load(Value(self, self.function.args[0]), self.constant(k), "float64").to(
            self.real
        )

    def array(self, k: int) -> Value:
        """The address of the data of the NumPy array that is argument `k`."""
        return self.data(self.word(k))

    def data(self, array: Value) -> Value:
        """The address of the data of the NumPy array whose object lies at address `array`."""
        return self.load(array + DATA_WORD, self.constant(0), "int64")

    # -- values ----------------------------------------------------------------------------------

    def constant(self, value: float, kind: str = "int64") -> Value:
        """The number `value`."""
        return Value(self, ir.Constant(TYPES[kind], value if kind.startswith("f") else int(value)))

    def spread(self, value: Value, lanes: int) -> Value:
        """One number in every lane of a vector; a vector as it is."""
        if lanes == 1 or value.lanes == lanes:
            return value
        vector = ir.VectorType(value.ir.type, lanes)
        if isinstance(value.ir, ir.Constant):
            return Value(self, ir.Constant(vector, [value.ir.constant] * lanes))
        i32 = TYPES["int32"]
        one = self.builder.insert_element(
            ir.Constant(vector, ir.Undefined), value.ir, ir.Constant(i32, 0)
        )
        zeros = ir.Constant(ir.VectorType(i32, lanes), [0] * lanes)
        return Value(
            self,
            self.builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros),
        )

    def alike(self, a: Value, b: Any) -> tuple[Value, Value]:
        """Both with the same type and number of lanes; Python numbers take the other's type."""
        if not isinstance(b, Value):
            b = self.constant(float(b) if a.is_float else b, a.kind)
        if a.kind == "bool" and b.kind != "bool":
            a = a.to(b.kind)
        elif b.kind == "bool" and a.kind != "bool":
            b = b.to(a.kind)
        lanes = max(a.lanes, b.lanes)
        return self.spread(a, lanes), self.spread(b, lanes)

    def where(self, condition: Value, a: Any, b: Any) -> Value:
        """`a` in lanes where `condition` holds, else `b`."""
        if not isinstance(a, Value) and not isinstance(b, Value):
            a = self.constant(a, self.real)
        if isinstance(a, Value):
            a, b = self.alike(a, b)
        else:
            b, a = self.alike(b, a)
        if condition.lanes < a.lanes:
            condition = self.spread(condition, a.lanes)
        a, b = self.spread(a, condition.lanes), self.spread(b, condition.lanes)
        return Value(self, self.builder.select(condition.ir, a.ir, b.ir))

    def cast(self, name: str, value: Value, kind: str) -> Value:
        """`value` through one of LLVM's conversions."""
        target = TYPES[kind] if value.lanes == 1 else ir.VectorType(TYPES[kind], value.lanes)
        return Value(self, getattr(self.builder, name)(value.ir, target))

    def intrinsic(self, name: str, *values: Value) -> Value:
        """LLVM's function `name` of values of one type, lane by lane."""
        first = values[0]
        for other in values[1:]:
            first, _ = self.alike(first, other)
        values = tuple(self.alike(v, first)[0] for v in values)
        kind = f"f{8 * SIZES[first.kind]}" if first.is_float else f"i{8 * SIZES[first.kind]}"
        suffix = kind if first.lanes == 1 else f"v{first.lanes}{kind}"
        function = self._declared(
            f"llvm.{name}.{suffix}", first.ir.type, [v.ir.type for v in values]
        )
        return Value(self, self.builder.call(function, [v.ir for v in values]))

    def scaled(self, x: Value, k: Value) -> Value:
        """x * 2**k for vectors of whole numbers k, by the instruction that AVX-512 has for it."""
        mask = ir.Constant(ir.IntType(16), 0xFFFF)
        arguments = [x.ir, k.ir, x.ir, mask, ir.Constant(TYPES["int32"], 4)]  # 4: as set for all
        name = "llvm.x86.avx512.mask.scalef.ps.512"
        function = self._declared(name, x.ir.type, [a.type for a in arguments])
        return Value(self, self.builder.call(function, arguments))

    def _declared(self, name: str, result: Any, arguments: list[Any]) -> Any:
        found = self.module.globals.get(name)
        if found is None:
            found = ir.Function(self.module, ir.FunctionType(result, arguments), name)
        return found

    # -- memory ----------------------------------------------------------------------------------

    def _place(self, array: Value, index: Value, kind: str) -> Any:
        base = array.ir
        if not isinstance(base.type, ir.PointerType):
            base = self.builder.inttoptr(base, POINTER)
        memory = TYPES["int8"] if kind == "bool" else TYPES[kind]
        return self.builder.gep(base, [index.ir], source_etype=memory)

    def load(
        self, array: Value, index: Value, kind: str, lanes: int = 1, mask: Value | None = None
    ) -> Value:
        """`lanes` elements of type `kind` from element `index` on of the array at an address."""
        place = self._place(array, index, kind)
        element = "int8" if kind == "bool" else kind
        target = TYPES[element] if lanes == 1 else ir.VectorType(TYPES[element], lanes)
        if mask is None:
            found = self.builder.load(place, align=SIZES[kind], typ=target)
        else:
            name = f"llvm.masked.load.v{lanes}{self._suffix(element)}.p0"
            types = [POINTER, TYPES["int32"], mask.ir.type, target]
            found = self.builder.call(
                self._declared(name, target, types),
                [place, ir.Constant(types[1], SIZES[kind]), mask.ir, ir.Constant(target, None)],
            )
        value = Value(self, found)
        return value.compare("!=", 0) if kind == "bool" else value

    def store(
        self,
        value: Value,
        array: Value,
        index: Value,
        mask: Value | None = None,
        streams: bool = False,
    ) -> None:
        """Write `value` from element `index` on of the array at an address, truth values as
        bytes; with `streams` a whole aligned vector past the caches."""
        place = self._place(array, index, value.kind)
        if value.kind == "bool":
            value = value.to("int8")
        if mask is None:
            align = VECTOR_BYTES if streams else SIZES[value.kind]
            stored = self.builder.store(value.ir, place, align=align)
            if streams:
                one = ir.Constant(TYPES["int32"], 1)
                stored.set_metadata("nontemporal", self.module.add_metadata([one]))
            return
        name = f"llvm.masked.store.v{value.lanes}{self._suffix(value.kind)}.p0"
        types = [value.ir.type, POINTER, TYPES["int32"], mask.ir.type]
        size = ir.Constant(types[2], SIZES[value.kind])
        self.builder.call(
            self._declared(name, ir.VoidType(), types), [value.ir, place, size, mask.ir]
        )

    def _suffix(self, kind: str) -> str:
        return f"{'f' if kind.startswith('f') else 'i'}{8 * SIZES[kind]}"

    # -- control ---------------------------------------------------------------------------------

    def variable(self, first: Value) -> Variable:
        """A value that loops and branches change, `first` at first."""
        return Variable(self, first)

    @contextmanager
    def loop(self, begin: Value, end: Value, step: int | Value = 1) -> Iterator[Value]:
        """Run the block for begin, begin + step, ... below end; not at all if there is none."""
        builder = self.builder
        before = builder.block
        body = builder.append_basic_block("loop")
        after = builder.append_basic_block("after")
        builder.cbranch((begin < end).ir, body, after)
        builder.position_at_end(body)
        index = builder.phi(TYPES["int64"])
        index.add_incoming(begin.ir, before)
        yield Value(self, index)
        following = Value(self, index) + step
        index.add_incoming(following.ir, builder.block)
        builder.cbranch((following < end).ir, body, after)
        builder.position_at_end(after)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Run the block where the number `condition` holds."""
        with self.builder.if_then(condition.ir):
            yield

    def across(
        self, begin: Value, end: Value, body: Callable[[Position], None], unroll: int = 1
    ) -> None:
        """Run `body` at the positions of elements begin to end, a vector of them at a time."""
        lanes = self.lanes
        whole = begin + (end - begin) // (lanes * unroll) * (lanes * unroll)
        with self.loop(begin, whole, lanes * unroll) as start:
            for k in range(unroll):
                body(Position(self, start + k * lanes, lanes, None))
        if unroll > 1:
            vectors = whole + (end - whole) // lanes * lanes
            with self.loop(whole, vectors, lanes) as start:
                body(Position(self, start, lanes, None))
            whole = vectors
        with self.when(whole < end):
            body(Position(self, whole, lanes, self.first_lanes(end - whole)))

    def across_aligned(
        self, begin: Value, end: Value, body: Callable[[Position], None], out: Value, size: int
    ) -> None:
        """`across`, with whole vectors of elements of `size` bytes where the array at address `out`
        has them at multiples of a vector's bytes: a store to two cache lines takes twice the
        time."""
        lanes, zero = self.lanes, self.constant(0)
        past = ((out + begin * size) & (lanes * size - 1)) // size
        down = begin - past
        first = self.where(past > 0, down + lanes, begin)
        rest = self.where(first < end, end - first, zero)
        whole = first + rest // lanes * lanes
        with self.loop(first, whole, lanes) as start:
            body(Position(self, start, lanes, None))
        with self.loop(zero, self.constant(2)) as k:  # the vectors before and behind
            start = self.where(k < 1, down, whole)
            with self.when(self.where(k < 1, past > 0, whole < end)):
                left = self.where(end - start < lanes, end - start, self.constant(lanes))
                missing = self.where(k < 1, past, zero)
                mask = self.first_lanes(left) & ~self.first_lanes(missing)
                body(Position(self, start, lanes, mask))

    def first_lanes(self, count: Value) -> Value:
        """True in the first `count` lanes."""
        kind = "int32" if self.real == "float32" else "int64"
        numbers = ir.Constant(ir.VectorType(TYPES[kind], self.lanes), list(range(self.lanes)))
        return Value(self, numbers) < count.to(kind)

    def combine(self, vector: Value, operation: Callable[[Value, Value], Value]) -> Value:
        """All lanes of `vector` in one number, halves upon halves."""
        while vector.lanes > 1:
            half = vector.lanes // 2
            i32 = TYPES["int32"]
            parts = []
            for first in (0, half):
                picked = ir.Constant(ir.VectorType(i32, half), list(range(first, first + half)))
                undefined = ir.Constant(vector.ir.type, ir.Undefined)
                parts.append(Value(self, self.builder.shuffle_vector(vector.ir, undefined, picked)))
            vector = operation(*parts) if half > 1 else operation(*(p.lane(0) for p in parts))
        return vector
