"""What the tests of fused loops share: a small program, and loops switched off."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.backends.cpu.loops.language import Program
from flambeau.backends.cpu.loops.machine import Code
from flambeau.backends.cpu.loops.maths import Maths


def mapped(formula: Callable[..., Any], real: str = "float32") -> Code:
    """A program that writes `formula(m, x)` of its first array to its second one."""
    program = Program("mapped", real)
    x, out = program.array(0), program.array(1)
    m = Maths(program)
    program.across(
        program.begin, program.end, lambda at: at.store(out, formula(m, at.load(x, real)))
    )
    return Code(program.name, program.text())


def words(*arrays: Any) -> bytes:
    """The arguments of a program that takes these arrays, which must stay alive."""
    return struct.pack(f"={len(arrays)}q", *map(id, arrays))


def run(code: Code, x: Any) -> Any:
    """What the program of `mapped` gives for the array `x`."""
    out = np.empty_like(x)
    code.call(words(x, out), 0, x.size)
    return out
