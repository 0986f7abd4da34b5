"""Two formulas over operands in common in one launch, such as both gradients of a product.

Operands are read once for both results. It serves arrays that lie alike, or repeat one number; what
lies otherwise goes through two launches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from . import memory
from .formulas import BLOCK, COMPUTE, FLOATS, element_function, is_boolean, is_supported
from .launch import Kernel, Source
from .rows import VECTOR_BYTES

if TYPE_CHECKING:
    from ...core.dispatch import DispatchKey
    from ...ops.operation import Operation

UNROLL = 2
"""Vectors of each operand that a thread reads before it computes the first."""
MOST_PLANS = 4_096

KERNEL = """\
#include "pointwise.cuh"
{functions}
__global__ void __launch_bounds__(BLOCK)
{name}({T}* out0, {T}* out1, {declared}, int64 count) {{
{once}    const int64 first = int64(blockIdx.x) * (BLOCK * {unroll}) + threadIdx.x;
    const int64 groups = count / {width};
    if (first < groups) {{
{reads}#pragma unroll
        for (int u = 0; u < {unroll}; ++u) {{
            const int64 group = first + u * BLOCK < groups ? first + u * BLOCK : first;
{loads}        }}
#pragma unroll
        for (int u = 0; u < {unroll}; ++u) {{
            const int64 group = first + u * BLOCK;
            if (group >= groups) break;
            Vector<{T}, {width}> result0, result1;
#pragma unroll
            for (int w = 0; w < {width}; ++w) {{
                result0.lane[w] = narrow<{T}>(first_of({vector0}));
                result1.lane[w] = narrow<{T}>(second_of({vector1}));
            }}
            store(out0 + group * {width}, result0);
            store(out1 + group * {width}, result1);
        }}
    }}
    const int64 k = count / {width} * {width} + first;  // elements behind the last whole vector
    if (blockIdx.x == 0 && k < count) {{
        out0[k] = narrow<{T}>(first_of({single0}));
        out1[k] = narrow<{T}>(second_of({single1}));
    }}
}}
"""


FRONT = """\
def front(dtype, plans, planned, plain, memory):
    def call({inputs}):
        {places}
        situation = ({lies}, ({bits}) % {alignment})
        plan = plans.get(situation)
        if plan is None:
            plan = planned(situation, ({inputs},), ({addresses},))
        if not plan:
            return plain({inputs})
        shape, size, kernel, blocks, count = plan
        empty = memory.current.empty
        out0, out1 = empty(shape, dtype, size), empty(shape, dtype, size)
        kernel.run(blocks, {block}, (out0.data.ptr, out1.data.ptr, {addresses}, count))
        return out0, out1
    return call
"""
"""Of a pair's function, spelled out for its operands as that of a formula is."""


@cache
def front(operands: int) -> Callable[..., Callable[..., Any]]:
    """The code of `FRONT` for so many operands."""

    def each(text: str, between: str = ", ") -> str:
        return between.join([text.format(k) for k in range(operands)])

    text = FRONT.format(
        inputs=each("x{0}"), addresses=each("p{0}"), bits=each("p{0}", " | "), block=BLOCK,
        places=each("p{0} = x{0}.data.ptr", "; "), alignment=VECTOR_BYTES,
        lies=each("x{0}.shape, x{0}.strides, x{0}.dtype.char"),
    )  # fmt: skip
    made: dict[str, Any] = {}
    exec(text, made)
    return made["front"]  # type: ignore[no-any-return]


class Plan(NamedTuple):
    """A launch: the results' shape and bytes, the kernel, its blocks and the count of elements."""

    shape: tuple[int, ...]
    size: int
    kernel: Kernel
    blocks: tuple[int, int, int]
    count: int


class Pair:
    """Two operations of one element each; `places` says which operands each of them takes."""

    def __init__(
        self,
        operations: Sequence[Operation],
        places: Sequence[tuple[int, ...]],
        key: DispatchKey,
    ) -> None:
        self.operations, self.places = operations, places
        self.dtype, self.name = key.array_dtype, key.dtype.name
        self.plain = [getattr(key, operation.name) for operation in operations]
        self.plans: dict[Any, Plan | tuple[()]] = {}
        self.kernels: dict[tuple[bool, ...], Kernel] = {}
        code = front(1 + max(k for taken in places for k in taken))
        self.call = code(self.dtype, self.plans, self._plan, self._plain, memory)

    def __call__(self, *arrays: Any) -> tuple[Any, Any]:
        """Both results."""
        return self.call(*arrays)  # type: ignore[no-any-return]

    def _plain(self, *arrays: Any) -> tuple[Any, Any]:
        first, second = [
            kernel(*[arrays[k] for k in places])
            for kernel, places in zip(self.plain, self.places, strict=True)
        ]
        return first, second

    def _plan(self, situation: Any, arrays: Sequence[Any], addresses: Sequence[int]) -> Any:
        if len(self.plans) >= MOST_PLANS:
            self.plans.clear()
        plan = self.plans[situation] = self._planned(arrays, addresses) or ()
        return plan

    def _planned(self, arrays: Sequence[Any], addresses: Sequence[int]) -> Plan | None:
        shape = arrays[0].shape
        repeats = tuple([not any(a.strides) and a.size != 1 for a in arrays])
        fits = all(repeats) is False and all(
            a.shape == shape
            and a.dtype == self.dtype
            and (is_one or (a._c_contiguous and not place % VECTOR_BYTES))
            for a, is_one, place in zip(arrays, repeats, addresses, strict=True)
        )
        count = arrays[0].size
        if not fits or not count:
            return None
        groups = max(count * self.dtype.itemsize // VECTOR_BYTES, 1)
        kernel = self.kernels.get(repeats)
        if kernel is None:
            kernel = self.kernels[repeats] = self.compiled(repeats)
        blocks = -(-groups // (BLOCK * UNROLL)), 1, 1
        return Plan(shape, count * self.dtype.itemsize, kernel, blocks, count)

    def compiled(self, repeats: tuple[bool, ...]) -> Kernel:
        """The kernel for operands of which some repeat one number."""
        T, number = self.name, COMPUTE.get(self.name, self.name)
        functions = [
            element_function(o.expression({}), o.array_names, number, function)
            for o, function in zip(self.operations, ("first_of", "second_of"), strict=True)
        ]
        operands = range(len(repeats))
        vectors = [k for k in operands if not repeats[k]]
        single_numbers = [k for k in operands if repeats[k]]
        lanes = [f"s{k}" if repeats[k] else f"widen(v{k}[u].lane[w])" for k in operands]
        single = [f"s{k}" if repeats[k] else f"widen(a{k}[k])" for k in operands]
        given = {
            f"{word}{n}": ", ".join([values[k] for k in places])
            for word, values in (("vector", lanes), ("single", single))
            for n, places in enumerate(self.places)
        }
        width = VECTOR_BYTES // self.dtype.itemsize
        name = "pair_" + "_and_".join([o.name for o in self.operations])
        text = KERNEL.format(
            functions="".join(functions), name=name, T=T, width=width, unroll=UNROLL,
            declared=", ".join([f"const {T}* a{k}" for k in operands]),
            once="".join([f"    const auto s{k} = widen(*a{k});\n" for k in single_numbers]),
            reads="".join([f"        Vector<{T}, {width}> v{k}[{UNROLL}];\n" for k in vectors]),
            loads="".join([
                f"            v{k}[u] = load<{width}>(a{k} + group * {width});\n" for k in vectors
            ]),
            **given,
        )  # fmt: skip
        return Kernel(Source(f"{name}.cu", text), name, "PP" + "P" * len(repeats) + "q")


def pair(
    operations: Sequence[Operation], places: Sequence[tuple[int, ...]], key: DispatchKey
) -> Pair | None:
    """The kernels for both results; None where the formulas cannot be computed together."""
    if key.dtype.name not in FLOATS:
        return None
    for operation in operations:
        if operation.formula is None or operation.statics or operation.parameter_names:
            return None
        expression = operation.expression({})
        if not is_supported(expression, key.dtype.name) or is_boolean(expression):
            return None
    return Pair(operations, places, key)
