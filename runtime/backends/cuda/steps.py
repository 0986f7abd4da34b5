"""Rules that go element by element, such as optimizer steps, for all parameters in a launch or two:
74 parameters with two moments each go into one."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..trees import taken_apart
from .launch import Kernel, Source
from .rules import Rule, source
from .tables import TABLE, THREADS, Group, chunk_length, tables

VECTOR_BYTES = 16

_kernels: dict[Any, Kernel] = {}


def run(
    rule: Rule,
    given: Any,
    groups: list[Group],
    found: Any = None,
) -> None:
    """`rule(*given, xp, *arrays)` for the arrays of each group, which are contiguous and of one
    size, and have the same dtypes in each group.

    The numbers in `given`, a tree of tuples, may be arrays of one, whose values nobody waits for.
    The element of `found`, float32, becomes 1 if a result is not finite.
    """
    values: list[Any] = []
    structure = taken_apart(given, values)
    dtypes = tuple([array.dtype.name for array in groups[0]])
    function = getattr(rule, "__func__", rule)  # a method's code is that of all its objects
    identity = function, type(getattr(rule, "__self__", None)), structure, dtypes
    kernel = _kernels.get(identity)
    if kernel is None:
        if len(_kernels) >= 256:  # rules made anew for each call must not fill memory
            _kernels.clear()
        kernel = _kernels[identity] = compiled(rule, structure, dtypes, len(values))
    arrays = [v.astype("float64", copy=False) if hasattr(v, "dtype") else None for v in values]
    numbers = [0.0 if a is not None else v for a, v in zip(arrays, values, strict=True)]
    places = [0 if a is None else a.data.ptr for a in (*arrays, None, found)]
    length = chunk_length(groups)
    for table in tables(groups, length):
        kernel(table.chunks, THREADS, table.words, *numbers, 0.0, *places, table.records, length)


def compiled(rule: Rule, structure: Any, dtypes: tuple[str, ...], count: int) -> Kernel:
    """The kernel of a rule with so many numbers, on arrays of `dtypes`."""
    number = "float64" if "float64" in dtypes else "float32"
    text, *uses = source(rule, structure, len(dtypes), number)
    lanes = VECTOR_BYTES // max(map(_bytes, dtypes))
    each = " ".join(
        f"DO({k}, {dtype}, {int(read)}, {int(written)})"
        for k, (dtype, read, written) in enumerate(zip(dtypes, *uses, strict=True))
    )
    lines = [
        '#include "maths.cuh"',
        f"using Real = {number};",
        f"constexpr int ARRAYS = {len(dtypes)}, NUMBERS = {count}, STEP_LANES = {lanes};",
        f"#define FOR_EACH_ARRAY(DO) {each}",
        text,
        '#include "steps.cuh"',
    ]
    name = getattr(rule, "__qualname__", "rule")
    return Kernel(
        Source(f"{name}.cu", "\n".join(lines)),
        "steps",
        TABLE + ("d" * (count + 1) + "P" * (count + 1) + "Pqq"),
    )


@cache
def _bytes(dtype: str) -> int:
    return int(dtype.lstrip("bfloat")) // 8
