"""How fast this machine can be: the rates that operations are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

import flambeau

COPIED = {"cpu": 32 << 20, "cuda": 256 << 20}  # bytes; beyond the caches
SIZE = {"cpu": 1024, "cuda": 4096}  # of the square matrices
RUNS = {"cpu": 1, "cuda": 8}  # of which the last is waited for
TRIES = 5


@dataclass(frozen=True)
class Ceilings:
    """Bytes a second that a copy moves, and floating-point operations a second of a float32 matrix
    product."""

    bandwidth: float
    rate: float


@cache
def ceilings(place: str = "cpu") -> Ceilings | None:
    """The ceilings of the CPU or a GPU, measured once in a process (about 0.2 s); None where there
    is no memory for that."""
    try:
        return _measured(place)
    except MemoryError:
        return None


def _measured(place: str) -> Ceilings:
    kind = flambeau.device(place).type
    copied, size = COPIED[kind], SIZE[kind]
    with flambeau.no_grad():
        source = flambeau.zeros(copied // 4, device=place)
        target = flambeau.empty(copied // 4, device=place)
        copying = _fastest(lambda: target.copy_(source), kind)
        square = flambeau.ones(size, size, device=place)
        multiplying = _fastest(lambda: square @ square, kind)
    return Ceilings(2 * copied / copying, 2 * size**3 / multiplying)


def _fastest(work: Callable[[], Any], kind: str) -> float:
    """Seconds of the best of a few runs, after one to warm up."""
    wait = flambeau.cuda.synchronize if kind == "cuda" else lambda: None
    work()
    wait()
    best = float("inf")
    for _ in range(TRIES):
        started = perf_counter()
        for _ in range(RUNS[kind]):
            work()
        wait()
        best = min(best, (perf_counter() - started) / RUNS[kind])
    return best
