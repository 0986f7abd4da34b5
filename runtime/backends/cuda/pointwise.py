"""Formulas as CUDA kernels: one pass over memory, whatever the number of operations.

A kernel is written for the dtypes of the operands and for how they lie in memory: `Layout` merges
dimensions over which all of them step evenly. Along the innermost one, threads read and write
vectors of 16 bytes where every operand is contiguous or stays one number. Halves are computed in
float32 and rounded once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...core import dtypes
from ...core.expressions import Expression
from ..array import by_statics
from . import memory
from .formulas import (
    BLOCK,
    COMPUTE,
    FLOATS,
    INTEGERS,
    Layout,
    code,
    is_boolean,
    is_supported,
    unroll,
)
from .launch import Kernel, Source
from .rows import VECTOR_BYTES

if TYPE_CHECKING:
    from ...ops.operation import Operation

MOST_DIMENSIONS = 8
MOST_GROUPS = 2**31 - 1
"""Groups of elements in kernels with several dimensions, where indices have 32 bits."""
NUMBERS = (float, int, bool)
MOST_PLANS = 4_096
"""Plans that a formula keeps; ragged inputs never repeat."""


def kernel(operation: Operation, dtype: str) -> Callable[..., Any] | None:
    """The function that computes the formula of `operation` on arrays, or gives None where CuPy
    must; None if it always must."""

    def formula(expression: Expression) -> Callable[..., Any]:
        if not is_supported(expression, dtype):
            return lambda *arrays, **numbers: None
        return formula_of(operation, expression, dtype).front()

    if dtype not in FLOATS | INTEGERS:
        return None
    if operation.statics:
        return by_statics(operation, formula)
    expression = operation.expression({})
    if not is_supported(expression, dtype):
        return None
    return formula_of(operation, expression, dtype)


def formula_of(operation: Operation, expression: Expression, dtype: str) -> Formula:
    """The kernels of an operation's formula, of which `expression` is a reading."""
    inputs, parameters = operation.array_names, operation.parameter_names
    return Formula(operation.name, expression, inputs, parameters, dtype)


# -- how operands lie in memory --------------------------------------------------------------------


class Plan(NamedTuple):
    """A launch: the result's shape as it lies in memory, dtype and bytes; the kernel (None for
    nothing), its blocks, the words behind the addresses; the order of axes in which the result is
    given, None for that in memory."""

    shape: tuple[int, ...]
    dtype: Any
    size: int
    kernel: Kernel | None
    blocks: tuple[int, int, int]
    words: tuple[int, ...]
    order: tuple[int, ...] | None


def merged(
    shape: Sequence[int], steps: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """Sizes and, for each, all operands' steps, from the innermost on, with dimensions of size 1
    left out and those joined that all operands go through evenly."""
    sizes: list[int] = []
    joined: list[list[int]] = []
    for k in reversed(range(len(shape))):
        if shape[k] == 1:
            continue
        step = [s[k] for s in steps]
        if sizes and all(o == i * sizes[-1] for o, i in zip(step, joined[-1], strict=True)):
            sizes[-1] *= shape[k]
        else:
            sizes.append(shape[k])
            joined.append(step)
    return sizes or [1], joined or [[0] * len(steps)]


def steps_of(array: Any, shape: tuple[int, ...]) -> list[int]:
    """Elements from one place to the next along each dimension of `shape`, to which the array is
    broadcast."""
    missing = len(shape) - array.ndim
    own = [
        0 if size == 1 else stride // array.itemsize
        for size, stride in zip(array.shape, array.strides, strict=True)
    ]
    return [0] * missing + own


def memory_order(arrays: Sequence[Any], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The order of axes in which the first whole operand lies in memory; None if it is theirs.
    What was expanded lies in none."""
    whole = next((a for a in arrays if a.shape == shape and 0 not in a.strides), None)
    if whole is None or whole.flags.c_contiguous:
        return None
    strides = whole.strides
    order = tuple(sorted(range(len(shape)), key=lambda k: (-strides[k], k)))
    return None if order == tuple(range(len(shape))) else order


@cache
def divisor(size: int) -> tuple[int, int]:
    """The magic number and the shift with which numbers below 2**31 are divided by `size`."""
    shift = (size - 1).bit_length()
    return (((1 << shift) - size) << 32) // size + 1, shift


FRONT = """\
def front(own, plans, planned, plain, memory, numbered):
    def call({inputs}{keywords}):
        try:
            {places}
        except AttributeError:
            return numbered(plain, ({inputs},), dict({named}))
        if {are_plain} and not ({bits}) % {alignment}:
            situation = ({shapes},)
        else:
            situation = ({lies}, ({bits}) % {alignment})
        plan = plans.get(situation)
        if plan is None:
            plan = planned(situation, ({inputs},))
        if not plan:
            return plain({inputs}{given})
        shape, dtype, size, kernel, blocks, words, order = plan
        out = memory.current.empty(shape, dtype, size)
        if size:
            kernel.run(blocks, {block}, (out.data.ptr, {addresses}, *words{numbers}))
        return out if order is None else out.transpose(order)
    return call
"""
"""Of a formula's function, see `Formula.front`: spelled out for its operands, it takes less than
half of the time that loops over them do."""


@cache
def front(inputs: int, parameters: tuple[str, ...]) -> Callable[..., Callable[..., Any]]:
    """The code of `FRONT` for so many operands, and numbers of these names."""

    def each(text: str, between: str = ", ") -> str:
        return between.join([text.format(k) for k in range(inputs)])

    text = FRONT.format(
        inputs=each("x{0}"),
        keywords="".join([", *", *[f", {n}" for n in parameters]]) if parameters else "",
        places=each("p{0} = x{0}.data.ptr", "; "),
        are_plain=each("x{0}._c_contiguous and x{0}.dtype is own", " and "),
        bits=each("p{0}", " | "),
        alignment=VECTOR_BYTES,
        shapes=each("x{0}.shape"),
        lies=each("x{0}.shape, x{0}.strides, x{0}.dtype.char"),
        block=BLOCK,
        addresses=each("p{0}"),
        numbers="".join([f", {n}" for n in parameters]),
        given="".join([f", {n}={n}" for n in parameters]),
        named=", ".join([f"{n}={n}" for n in parameters]),
    )
    made: dict[str, Any] = {}
    exec(text, made)
    return made["front"]  # type: ignore[no-any-return]


# -- kernels ---------------------------------------------------------------------------------------


class Formula:
    """The kernels of one formula for arrays of one dtype; a call computes it, or gives None."""

    def __init__(
        self,
        name: str,
        expression: Expression,
        inputs: Sequence[str],
        parameters: Sequence[str],
        dtype: str,
    ) -> None:
        self.name = f"pointwise_{name}"
        self.expression, self.dtype = expression, dtype
        self.inputs, self.parameters = inputs, parameters
        # Halves are computed with as float32, and so may be mixed with such.
        others = ("float32",) if dtype in COMPUTE else tuple(COMPUTE) if dtype == "float32" else ()
        self.known = (dtype, "bool", *others)
        self.out_dtype = "bool" if is_boolean(expression) else dtype
        self.own: np.dtype[Any] = getattr(dtypes, dtype).numpy
        self.kernels: dict[Layout, Kernel] = {}
        self.plans: dict[Any, Plan | tuple[()]] = {}  # by how operands lie; () where CuPy must
        self.bound: dict[tuple[str, ...], Formula] = {}  # by the operands that are numbers
        self.call = self.front()

    def __call__(self, *arrays: Any, **numbers: Any) -> Any:
        return self.call(*arrays, **numbers)

    def into(self, out: Any, *arrays: Any) -> bool:
        """Whether the result was written into `out`, which may be one of `arrays`; then each of its
        elements must depend on no other of its own."""
        places = [a.data.ptr for a in arrays]
        plan, place = self._found(arrays, places), out.data.ptr
        if not plan or self.parameters or plan.dtype != out.dtype or place % VECTOR_BYTES:
            return False
        strides, size, order = out.strides, out.nbytes, plan.order
        if order is not None:
            out = out.transpose(sorted(range(out.ndim), key=order.__getitem__))
        if out.shape != plan.shape or not out._c_contiguous:
            return False
        for array, begin in zip(arrays, places, strict=True):
            is_itself = begin == place and array.nbytes == size and array.strides == strides
            if not is_itself and _meet(array, begin, place, size):
                return False
        if plan.kernel is not None:
            # Of one element each thread would read what the first may have written by then.
            threads = 1 if out.size == 1 else BLOCK
            plan.kernel.run(plan.blocks, threads, (place, *places, *plan.words))
        return True

    def _found(self, arrays: Sequence[Any], places: list[int]) -> Plan | tuple[()]:
        """The plan that the code of `FRONT` would find."""
        bits, is_plain = 0, True
        for array, place in zip(arrays, places, strict=True):
            bits |= place
            is_plain = is_plain and array._c_contiguous and array.dtype is self.own
        offset = bits % VECTOR_BYTES
        if is_plain and not offset:
            situation: Any = tuple([a.shape for a in arrays])
        else:
            lies = [x for a in arrays for x in (a.shape, a.strides, a.dtype.char)]
            situation = (*lies, offset)
        plan = self.plans.get(situation)
        return self._planned(situation, arrays) if plan is None else plan

    def front(self, plain: Callable[..., Any] = lambda *arrays, **numbers: None) -> Any:
        """The function that computes the formula, and calls `plain` where CuPy must."""
        code = front(len(self.inputs), tuple(self.parameters))
        if self.dtype == "float32":
            plain = _widening(plain)
        call = code(self.own, self.plans, self._planned, plain, memory, self._with_numbers)
        call.into = self.into  # type: ignore[attr-defined]
        return call

    def _with_numbers(
        self, plain: Callable[..., Any], operands: tuple[Any, ...], numbers: dict[str, Any]
    ) -> Any:
        """The result where some operands are Python numbers, as gradient rules give them: that of
        the formula with those as parameters."""
        given = list(zip(self.inputs, operands, strict=True))
        scalars = {n: x for n, x in given if type(x) in NUMBERS}
        if self.dtype not in FLOATS or len(scalars) in (0, len(given)):
            return plain(*operands, **numbers)  # a kernel's parameters are doubles
        names = tuple(scalars)
        formula = self.bound.get(names)
        if formula is None:
            formula = self.bound[names] = self._bind(names)
        found = formula(*[x for n, x in given if n not in scalars], **numbers, **scalars)
        return plain(*operands, **numbers) if found is None else found

    def _bind(self, names: tuple[str, ...]) -> Formula:
        expression, maths = self.expression, self.expression.maths
        for name in names:
            leaf, parameter = maths.leaf("input", name), maths.leaf("parameter", name)
            expression = maths.substitute(expression, leaf, parameter)
        inputs = [n for n in self.inputs if n not in names]
        return Formula(
            f"{self.name.removeprefix('pointwise_')}_of_{'_'.join(names)}",
            expression, inputs, [*self.parameters, *names], self.dtype,
        )  # fmt: skip

    def _planned(self, situation: Any, arrays: Sequence[Any]) -> Plan | tuple[()]:
        if len(self.plans) >= MOST_PLANS:
            self.plans.clear()
        bits = 0
        for array in arrays:
            bits |= array.data.ptr
        plan = self.plans[situation] = self._plan(arrays, bits % VECTOR_BYTES == 0) or ()
        return plan

    def _plan(self, arrays: Sequence[Any], is_aligned: bool) -> Plan | None:
        """How to launch on such arrays; None if CuPy must compute, or say what is wrong."""
        shape = broadcast_shape([a.shape for a in arrays])
        names = [a.dtype.name for a in arrays]
        if shape is None or any(name not in self.known for name in names):
            return None
        if self.out_dtype != "bool" and self.dtype not in names:
            return None
        order = memory_order(arrays, shape)
        if order is not None:
            missing = [(1,) * (len(shape) - a.ndim) for a in arrays]
            arrays = [a.reshape(m + a.shape) for a, m in zip(arrays, missing, strict=True)]
            arrays = [a.transpose(order) for a in arrays]
            shape = tuple([shape[k] for k in order])
        sizes, steps = merged(shape, [steps_of(a, shape) for a in arrays])
        if len(sizes) == 1 and not all(step in (0, 1) for step in steps[0]):
            # Kernels of one dimension know no steps.
            sizes, steps = [*sizes, 1], [*steps, [0] * len(arrays)]
        count = math.prod(shape)
        back = None if order is None else tuple(sorted(range(len(order)), key=order.__getitem__))
        dtype = np.dtype(bool) if self.out_dtype == "bool" else self.own
        if not count:
            return Plan(shape, dtype, 0, None, (0, 1, 1), (), back)
        layout = self._layout(arrays, sizes, steps, is_aligned)
        groups = count // layout.width
        if len(sizes) > MOST_DIMENSIONS or (len(sizes) > 1 and groups > MOST_GROUPS):
            return None
        if len(sizes) == 1:
            words = [count]
        else:
            words = [groups, *_places(sizes, steps, layout)]
        threads = max(groups, count % layout.width) if len(sizes) == 1 else groups
        blocks = -(-threads // (BLOCK * unroll(layout)))
        size = count * dtype.itemsize
        return Plan(shape, dtype, size, self.kernel(layout), (blocks, 1, 1), tuple(words), back)

    def _layout(
        self, arrays: Sequence[Any], sizes: list[int], steps: list[list[int]], is_aligned: bool
    ) -> Layout:
        """Vectors, if all operands lie so that they can be read as such."""
        kinds = tuple(["same" if step == 0 else "vector" for step in steps[0]])
        width = VECTOR_BYTES // max(a.dtype.itemsize for a in arrays)
        fits = is_aligned and all(step in (0, 1) for step in steps[0])
        if len(sizes) > 1:  # then each row begins at a multiple of a vector
            fits = fits and sizes[0] % width == 0
            fits = fits and not any(
                step % width
                for outer in steps[1:]
                for step, kind in zip(outer, kinds, strict=True)
                if kind == "vector"
            )
        dtypes = tuple([a.dtype.name for a in arrays])
        return Layout(dtypes, kinds, width if fits else 1, len(sizes))

    def kernel(self, layout: Layout) -> Kernel:
        """The kernel for a layout, compiled when it is first called."""
        found = self.kernels.get(layout)
        if found is None:
            text = f'#include "pointwise.cuh"\n{self.code(layout, self.name)}'
            source = Source(f"{self.name}.cu", text)
            found = self.kernels[layout] = Kernel(source, self.name, self.words(layout))
        return found

    def code(self, layout: Layout, name: str) -> str:
        """The kernel's source, without headers, as the function `name`."""
        return code(
            self.expression, self.inputs, self.parameters, self.dtype, self.out_dtype, layout, name
        )

    def words(self, layout: Layout) -> str:
        """The letters of its parameters, see `Kernel`."""
        operands = len(layout.kinds)
        places = f"2Q{operands}q" * layout.dimensions if layout.dimensions > 1 else ""
        return "P" * (1 + operands) + "q" + places + "d" * len(self.parameters)


def _widening(plain: Callable[..., Any]) -> Callable[..., Any]:
    """`plain` of halves among float32, which CuPy must have in float32."""

    def widened(*arrays: Any, **numbers: Any) -> Any:
        halves = [getattr(getattr(a, "dtype", None), "name", "") in COMPUTE for a in arrays]
        wide = [a.astype("float32") if h else a for a, h in zip(arrays, halves, strict=True)]
        return plain(*wide, **numbers)

    return widened


def _meet(array: Any, begin: int, place: int, size: int) -> bool:
    """Whether memory of `array`, which begins at `begin`, may lie among `size` bytes at `place`."""
    end = begin + array.nbytes
    if not array._c_contiguous:
        steps = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
        begin += sum(s for s in steps if s < 0)
        end = begin + sum(map(abs, steps)) + array.itemsize
    return begin < place + size and place < end


def _places(sizes: list[int], steps: list[list[int]], layout: Layout) -> list[int]:
    """The words of `Places` in pointwise.cuh."""
    words = []
    for k, (size, step) in enumerate(zip(sizes, steps, strict=True)):
        if k == 0:
            size, step = size // layout.width, [s * layout.width for s in step]
        magic, shift = divisor(size)
        words += [size | magic << 32, shift, *step]
    return words


def broadcast_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The shape that all are broadcast to; None if they do not fit."""
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    result: list[int] = []
    for sizes in itertools.zip_longest(*[shape[::-1] for shape in shapes], fillvalue=1):
        others = {size for size in sizes if size != 1}
        if len(others) > 1:
            return None
        result.append(others.pop() if others else 1)
    return tuple(result[::-1])
