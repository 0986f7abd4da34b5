"""How fast this machine can be: the rates that operations are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

import flambeau

COPIED = 32 << 20  # bytes; beyond the caches
SIZE = 1024  # of the square matrices
TRIES = 5


@dataclass(frozen=True)
class Ceilings:
    """Bytes a second that a copy moves, and floating-point operations a second of a float32 matrix
    product."""

    bandwidth: float
    rate: float


@cache
def ceilings() -> Ceilings:
    """The ceilings of the CPU, measured once in a process (about 0.2 s)."""
    with flambeau.no_grad():
        source = flambeau.zeros(COPIED // 4)
        target = flambeau.empty(COPIED // 4)
        copying = _fastest(lambda: target.copy_(source))
        square = flambeau.ones(SIZE, SIZE)
        multiplying = _fastest(lambda: square @ square)
    return Ceilings(2 * COPIED / copying, 2 * SIZE**3 / multiplying)


def _fastest(work: Callable[[], Any]) -> float:
    """Seconds of the best of a few runs, after one to warm up."""
    work()
    best = float("inf")
    for _ in range(TRIES):
        started = perf_counter()
        work()
        best = min(best, perf_counter() - started)
    return best
