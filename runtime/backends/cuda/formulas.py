"""Formulas in CUDA C++: which there are for a kind of numbers, and the text of their kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.expressions import BOOLEAN, Expression, walk

BLOCK = 256
"""Threads of a block; `pointwise.cuh` has the same."""

INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "eq": "==", "ne": "!=", "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
}  # fmt: skip
LOGIC = {"logical_and": "&&", "logical_or": "||", "logical_xor": "!="}
POWERS = {
    -2.0: "m::reciprocal({0} * {0})", -1.0: "m::reciprocal({0})", -0.5: "m::rsqrt({0})",
    0.5: "m::sqrt({0})", 3.0: "{0} * {0} * {0}", 4.0: "m::square({0} * {0})",
}  # fmt: skip
"""Powers by constants that are a few products or a root."""

FOR_FLOATS = (
    frozenset(
        """
    add sub mul neg div pow where abs sign floor ceil trunc round exp exp2 expm1 log log2 log10
    log1p sqrt rsqrt square reciprocal sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
    erf erfc erfinv erfcx lgamma digamma ndtri log_ndtr i0 i1 j0 j1 y0 y1 sigmoid softplus atan2
    fmod remainder floor_divide maximum minimum fmax fmin logaddexp logaddexp2 hypot copysign
    nextafter
    """.split()
    )
    | BOOLEAN
)
FOR_INTEGERS = (
    frozenset(
        """
    add sub mul neg where abs sign square maximum minimum fmax fmin bitwise_and bitwise_or
    bitwise_xor bitwise_not left_shift right_shift
    """.split()
    )
    | BOOLEAN
)
"""What kernels have for each kind of numbers; a formula with anything else stays with CuPy."""
FLOATS = frozenset(["float16", "bfloat16", "float32", "float64"])
INTEGERS = frozenset(["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
COMPUTE = {"float16": "float32", "bfloat16": "float32"}
"""What halves are computed in; other dtypes in themselves."""


def is_supported(expression: Expression, dtype: str) -> bool:
    """Whether a kernel for arrays of the dtype can compute the formula."""
    known = FOR_FLOATS if dtype in FLOATS else FOR_INTEGERS if dtype in INTEGERS else frozenset()
    if not expression.args:
        return False
    for node in walk([expression]):
        if node.args and node.op not in known:
            return False
        if node.op == "constant" and not _is_constant(node.value, dtype):
            return False
        if node.op == "parameter" and dtype not in FLOATS:
            return False
    return True


def _is_constant(value: Any, dtype: str) -> bool:
    if not isinstance(value, int | float):
        return False
    return dtype in FLOATS or (math.isfinite(value) and value == int(value))


@dataclass(frozen=True)
class Layout:
    """What a kernel's code depends on: for each operand its dtype and whether it steps along the
    innermost dimension ("vector") or not ("same"), elements per group, and dimensions."""

    dtypes: tuple[str, ...]
    kinds: tuple[str, ...]
    width: int
    dimensions: int


def unroll(layout: Layout) -> int:
    """Groups of elements that a thread reads before it computes the first."""
    return 2 if layout.width > 1 else 4


def is_boolean(expression: Expression) -> bool:
    """Whether the value is a truth value, maybe one of two."""
    if expression.op == "where":
        return all(is_boolean(a) for a in expression.args[1:])
    return expression.is_boolean


def code(
    expression: Expression,
    inputs: Sequence[str],
    parameters: Sequence[str],
    dtype: str,
    out_dtype: str,
    layout: Layout,
    name: str,
) -> str:
    """The kernel `name`, and before it the formula as a function of one element each."""
    number = COMPUTE.get(dtype, dtype)
    kinds = ["bool" if d == "bool" else number for d in layout.dtypes]
    operands = [f"{kind} x{k}" for k, kind in enumerate(kinds)]
    operands += [f"{number} p{k}" for k in range(len(parameters))]
    result = "bool" if out_dtype == "bool" else number
    formula = _function(expression, inputs, parameters, kinds, number)
    head = f"INLINE {result} {name}_of({', '.join(operands)}) {{\n{formula}}}\n\n"
    return head + _kernel(layout, out_dtype, number, len(parameters), name)


def _function(
    expression: Expression,
    inputs: Sequence[str],
    parameters: Sequence[str],
    kinds: list[str],
    number: str,
) -> str:
    """The body of a formula's function."""

    def leaf(node: Expression) -> tuple[str, bool]:
        if node.op == "parameter":
            return f"p{list(parameters).index(node.value)}", False
        k = list(inputs).index(node.value)
        return f"x{k}", kinds[k] == "bool"

    lines, (result,) = statements([expression], leaf, number)
    return "".join(lines) + f"    return {result};\n"


def element_function(expression: Expression, inputs: Sequence[str], number: str, name: str) -> str:
    """The function `name` of one element of each input, computed in the type `number`."""
    operands = ", ".join([f"{number} x{k}" for k in range(len(inputs))])
    body = _function(expression, inputs, [], [number] * len(inputs), number)
    return f"INLINE {number} {name}({operands}) {{\n{body}}}\n\n"


def statements(
    results: Sequence[Expression],
    leaf: Callable[[Expression], tuple[str, bool]],
    number: str,
) -> tuple[list[str], list[str]]:
    """A line for each operation that the results are made of, and the results' names. `leaf` gives
    the name of an input or parameter, and whether it is a truth value."""
    names: dict[int, str] = {}
    boolean: dict[int, bool] = {}
    lines: list[str] = []
    for node in walk(results):
        if node.op == "constant":
            names[id(node)], boolean[id(node)] = _constant(node.value, number), node.is_boolean
        elif not node.args:
            names[id(node)], boolean[id(node)] = leaf(node)
        else:
            args = [(names[id(a)], boolean[id(a)]) for a in node.args]
            is_truth = node.op in BOOLEAN or (node.op == "where" and args[1][1] and args[2][1])
            value = _operation(node, args, number)
            names[id(node)], boolean[id(node)] = f"t{len(lines)}", is_truth
            kind = "bool" if is_truth else number
            lines.append(f"    const {kind} t{len(lines)} = {kind}({value});\n")
    return lines, [names[id(result)] for result in results]


def _operation(node: Expression, args: list[tuple[str, bool]], number: str) -> str:
    """The value of one operation on arguments, of which is said whether they are truth values."""
    truths = [name if truth else f"({name} != 0)" for name, truth in args]
    if node.op in LOGIC:
        return f"{truths[0]} {LOGIC[node.op]} {truths[1]}"
    if node.op == "logical_not":
        return f"!{truths[0]}"
    values = [f"{number}({name})" if truth else name for name, truth in args]
    if node.op == "where":
        if args[1][1] and args[2][1]:
            values = [name for name, _ in args]
        return f"{truths[0]} ? {values[1]} : {values[2]}"
    if node.op in INFIX:
        return f"{values[0]} {INFIX[node.op]} {values[1]}"
    if node.op == "neg":
        return f"-{values[0]}"
    if node.op == "bitwise_not":
        return f"~{values[0]}"
    exponent = node.args[1] if node.op == "pow" else None
    if exponent is not None and exponent.op == "constant" and exponent.value in POWERS:
        return POWERS[exponent.value].format(values[0])
    return f"m::{node.op}({', '.join(values)})"


def _constant(value: Any, number: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if number not in FLOATS:
        return f"{number}({int(value)}LL)"
    if math.isnan(value):
        return f"{number}(NOT_A_NUMBER)"
    if math.isinf(value):
        return f"Limits<{number}>::{'highest' if value > 0 else 'lowest'}()"
    return f"{number}({float(value)!r})"


KERNEL = """\
__global__ void __launch_bounds__(BLOCK)
{name}({parameters}) {{
{once}    const int64 first = int64(blockIdx.x) * (BLOCK * {unroll}) + threadIdx.x;
    const int64 groups = {groups};
    if (first < groups) {{
{reads}#pragma unroll
        for (int u = 0; u < {unroll}; ++u) {{
            // Behind the last group the first is read again: no read waits for a branch.
            const int64 group = first + u * BLOCK < groups ? first + u * BLOCK : first;
{find}{load}        }}
#pragma unroll
        for (int u = 0; u < {unroll}; ++u) {{
            const int64 group = first + u * BLOCK;
            if (group >= groups) break;
            Vector<{out}, {width}> result;
#pragma unroll
            for (int w = 0; w < {width}; ++w)
                result.lane[w] = narrow<{out}>({name}_of({vector}));
            store(out + group * {width}, result);
        }}
    }}
{rest}}}
"""
REST = """\
    const int64 k = count / {width} * {width} + first;  // elements behind the last whole vector
    if (blockIdx.x == 0 && k < count) out[k] = narrow<{out}>({name}_of({single}));
"""


def _kernel(layout: Layout, out: str, number: str, parameters: int, name: str) -> str:
    is_flat, width = layout.dimensions == 1, layout.width
    operands = range(len(layout.kinds))
    vectors = [k for k in operands if layout.kinds[k] == "vector"]
    whole = [k for k in operands if k not in vectors and is_flat]  # one number for the whole kernel
    rows = [k for k in operands if k not in vectors and not is_flat]  # one for each group
    # Not __restrict__: reads that might be of what is written stay before the first write, where
    # the compiler would else put each of them behind the branch of its use.
    declared = [f"{out}* out"]
    declared += [f"const {layout.dtypes[k]}* a{k}" for k in operands]
    declared += ["int64 count"]
    if not is_flat:
        declared.append(f"Places<{layout.dimensions}, {len(layout.kinds)}> places")
    declared += [f"double p{k}" for k in range(parameters)]
    numbers = [f"{number}(p{k})" for k in range(parameters)]
    reads = [
        f"        Vector<{layout.dtypes[k]}, {width}> v{k}[{unroll(layout)}];\n" for k in vectors
    ]
    reads += [f"        {layout.dtypes[k]} v{k}[{unroll(layout)}];\n" for k in rows]
    at = {k: f"group * {width}" if is_flat else f"offset[{k}]" for k in operands}
    load = [f"            v{k}[u] = load<{width}>(a{k} + {at[k]});\n" for k in vectors]
    load += [f"            v{k}[u] = a{k}[{at[k]}];\n" for k in rows]
    find = "" if is_flat else (
        f"            int64 offset[{len(layout.kinds)}];\n"
        "            places.find(uint32(group), offset);\n"
    )  # fmt: skip
    element = {
        k: f"widen(v{k}[u].lane[w])" if k in vectors else f"widen(v{k}[u])" for k in operands
    }
    element.update({k: f"s{k}" for k in whole})
    single = {k: f"s{k}" if k in whole else f"widen(a{k}[k])" for k in operands}
    given: dict[str, Any] = {
        "name": name, "out": out, "width": width, "unroll": unroll(layout),
        "groups": f"count / {width}" if is_flat and width > 1 else "count",
    }  # fmt: skip
    rest = REST.format(single=", ".join([*single.values(), *numbers]), **given)
    return KERNEL.format(
        parameters=", ".join(declared),
        once="".join(f"    const auto s{k} = widen(*a{k});\n" for k in whole),
        reads="".join(reads),
        find=find,
        load="".join(load),
        vector=", ".join([*[element[k] for k in operands], *numbers]),
        rest=rest if is_flat and width > 1 else "",
        **given,
    )
