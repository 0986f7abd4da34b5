"""Timing two sides in alternating blocks, so that a noisy machine disturbs both alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

BLOCK_SECONDS = 0.3
ROUNDS = 7


@dataclass(frozen=True)
class Row:
    """One line of a table: seconds per call of both sides, and the median of their ratios."""

    name: str
    ours: float
    theirs: float
    ratio: float
    limit: float

    def __str__(self) -> str:
        verdict = "ok" if self.ratio <= self.limit else "MISSED"
        return (
            f"{self.name:44} {1e6 * self.ours:11.1f} {1e6 * self.theirs:11.1f} {self.ratio:7.2f} "
            f"{self.limit:7.2f}  {verdict}"
        )


HEADER = f"{'work':44} {'ours us':>11} {'PyTorch us':>11} {'ratio':>7} {'limit':>7}"


def block(function: Callable[[], object], seconds: float = BLOCK_SECONDS) -> float:
    """Seconds per call, over as many calls as fill a block."""
    calls = 1
    while True:
        started = perf_counter()
        for _ in range(calls):
            function()
        elapsed = perf_counter() - started
        if elapsed >= seconds:
            return elapsed / calls
        calls = max(calls * 2, int(calls * seconds / max(elapsed, 1e-9)) + 1)


def compare(
    name: str, ours: Callable[[], object], theirs: Callable[[], object], limit: float
) -> Row:
    """Alternate blocks of both sides; the ratio is the median over the rounds."""
    for function in (ours, theirs):
        block(function, 0.05)
    pairs = [(block(ours), block(theirs)) for _ in range(ROUNDS)]
    ratio = statistics.median(a / b for a, b in pairs)
    return Row(
        name, statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), ratio,
        limit,
    )  # fmt: skip
