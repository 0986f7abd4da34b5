"""Optimizer steps: a rule for arrays, read into one loop over the memory of all parameters.

The rule (see `optim.elementwise`) runs once on symbols. What it gets besides arrays, a tree of
tuples with numbers, bools and None, becomes arguments where it is numbers; the rest is fixed in the
code. It computes the same operations in the same order as NumPy, hence the same bits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any

import numpy as np

from ...trees import put_together, taken_apart
from .language import SIZES, Position, Program
from .machine import Code
from .maths import Maths
from .rows import Passes, Row
from .threads import pool

CHUNK = 16_384
"""Elements that a thread takes at a time."""

OBJECTS, OWNERS, BEGINS, ENDS, NUMBERS = range(5)
"""Arguments: the array objects of all parameters, to which parameter a chunk belongs, its first and
last element, and from there on the rule's numbers."""

Rule = Callable[..., None]
_codes: dict[Any, Code] = {}
_chunks: dict[Any, tuple[Any, Any, Any]] = {}


def run(rule: Rule, given: Any, parameters: list[list[Any]]) -> None:
    """`rule(*given, xp, *arrays)` for the arrays of each parameter: contiguous, of one size and
    dtype."""
    first = parameters[0]
    values: list[float] = []
    structure = taken_apart(given, values)
    function = getattr(rule, "__func__", rule)  # a method's code is that of all its objects
    identity = (
        function,
        type(getattr(rule, "__self__", None)),
        structure,
        len(first),
        first[0].dtype,
    )
    code = _codes.get(identity)
    if code is None:
        code = _codes[identity] = _compiled(rule, structure, len(first), first[0].dtype.name)
    sizes = tuple([arrays[0].size for arrays in parameters])
    chunks = _chunked(sizes)
    objects = np.array([id(a) for arrays in parameters for a in arrays], np.int64)
    words = struct.pack(
        f"=4q{len(values)}d", id(objects), *[id(table) for table in chunks], *values
    )
    pool.run(code, words, len(chunks[0]), _together(sizes))


def _chunked(sizes: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """What `_cut` gives, kept for the next step."""
    chunks = _chunks.get(sizes)
    if chunks is None:
        if len(_chunks) >= 64:  # sizes that never repeat must not fill memory
            _chunks.clear()
        chunks = _chunks[sizes] = _cut(sizes)
    return chunks


def _together(sizes: tuple[int, ...]) -> int:
    """How many chunks a thread takes at once: many where arrays are small."""
    return max(1, CHUNK * len(_chunked(sizes)[0]) // max(1, sum(sizes)))


def _cut(sizes: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """The owners, first and last elements of the chunks of parameters of these sizes."""
    owners, begins, ends = [], [], []
    for owner, size in enumerate(sizes):
        for begin in range(0, size, CHUNK):
            owners.append(owner)
            begins.append(begin)
            ends.append(min(begin + CHUNK, size))
    return np.array(owners, np.int64), np.array(begins, np.int64), np.array(ends, np.int64)


def _compiled(rule: Rule, structure: Any, arrays: int, real: str) -> Code:
    program = Program("step", real)
    objects, owners, begins, ends = (program.array(k) for k in (OBJECTS, OWNERS, BEGINS, ENDS))
    given = put_together(structure, map(program.number, count(NUMBERS)))
    with program.loop(program.begin, program.end) as chunk:
        owner, begin, end = (program.load(t, chunk, "int64") for t in (owners, begins, ends))
        places = [
            program.data(program.load(objects, owner * arrays + k, "int64")) for k in range(arrays)
        ]

        def body(at: Position) -> None:
            values = [at.load(place, real) for place in places]
            before = [v.ir for v in values]
            rule(*given, Maths(program), *values)
            for place, value, old in zip(places, values, before, strict=True):
                if value.ir is not old:
                    at.store(place, value)

        program.across(begin, end, body)
    return Code(program.name, program.text())


def sum_of_squares(arrays: list[Any]) -> float:
    """The sum of the squares of all elements of contiguous arrays of one dtype: each chunk in that
    type, their sums in float64."""
    sizes = tuple([a.size for a in arrays])
    owners, begins, ends = _chunked(sizes)
    sums = np.empty(len(owners))
    objects = np.array([id(a) for a in arrays], np.int64)
    words = struct.pack("=5q", *map(id, (objects, owners, begins, ends, sums)))
    pool.run(_squares(arrays[0].dtype.name), words, len(owners), _together(sizes))
    return float(sums.sum())


@cache
def _squares(real: str) -> Code:
    program = Program(f"squares_{real}", real)
    objects, owners, begins, ends, sums = (program.array(k) for k in range(5))
    with program.loop(program.begin, program.end) as chunk:
        owner, begin, end = (program.load(t, chunk, "int64") for t in (owners, begins, ends))
        place = program.data(program.load(objects, owner, "int64")) + begin * SIZES[real]
        passes = Passes(program, end - begin)
        x = Row(program, place, real)
        program.store(passes.sum(lambda at: x[at] * x[at]).to("float64"), sums, chunk)
    return Code(program.name, program.text())
