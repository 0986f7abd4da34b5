"""Timing several sides in turn, each in a process of its own.

In one process the thread pools of two libraries spin against each other and share one allocator;
in two processes that work at the same time they share the cores. So one side works while the
others wait for a line on their standard input. Other programs can slow one side by tens (a thread
that has no core is waited for by all): rounds count in the order of how little of the processor
others took, and the median of the ratios within these rounds is the result.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .case import Case, Step

BLOCK_SECONDS = 0.3
ROUNDS = 7
BUDGET = 12.0
"""Seconds after which no further round of a row begins."""

QUIET = 0.05
"""Share of all cores that others may take in a round that counts as undisturbed."""


def block(step: Step, seconds: float, clock: Callable[[], float] = perf_counter) -> float:
    """Seconds per call, over as many calls as fill a block."""
    calls = 1
    while True:
        started = clock()
        for _ in range(calls):
            step()
        elapsed = clock() - started
        if elapsed >= seconds:
            return elapsed / calls
        calls = max(calls * 2, int(calls * seconds / max(elapsed, 1e-9)) + 1)


POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def is_single() -> bool:
    """Whether one thread a side was asked for."""
    return os.environ.get("THREADS") == "1"


@dataclass(frozen=True)
class Times:
    """Seconds of all sides, ours first, in each round; `others` is the share of the cores that
    other programs took in the worst of these rounds."""

    rounds: list[list[float]]
    others: float

    def median(self, side: int) -> float:
        """Seconds per call."""
        return statistics.median(times[side] for times in self.rounds)

    def ratio(self, side: int) -> float:
        """Our time over that side's."""
        return statistics.median(times[0] / times[side] for times in self.rounds)


class Side:
    """A process that holds one side of a case ready and times a block when it is asked to.

    With `THREADS=1` in the environment it uses one thread and counts processor time: a result that
    a busy machine changes little.
    """

    def __init__(self, library: str, case: str, rival: str = "") -> None:
        arguments = [sys.executable, "-m", "tests.benchmarks.side", library, case, rival]
        limits = dict.fromkeys(POOLS, "1") if is_single() else {}
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | limits,
        )

    def ask(self, request: object) -> str:
        """Seconds per call in a block of at least so many seconds; or see `side.py`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(request, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(self.process.args[3:])} ended early, see above")
        return answer

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()


class OthersShare:
    """Which share of all cores programs that are not ours took since the last call; Linux."""

    def __init__(self, pids: list[int]) -> None:
        self.stats = [Path(f"/proc/{pid}/stat") for pid in pids]
        self.before = self.ticks()

    def ticks(self) -> tuple[int, int, int]:
        """Clock ticks since start: of all cores, of those the busy ones, of those our own."""
        user, nice, system, idle, waiting, *rest = map(
            int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        )
        busy = user + nice + system + sum(rest)
        own = 0
        for stat in self.stats:
            children = stat.with_name("task") / stat.parent.name / "children"
            for process in (stat, *[Path(f"/proc/{k}/stat") for k in children.read_text().split()]):
                fields = process.read_text().rpartition(")")[2].split()
                own += sum(map(int, fields[11:15]))  # its own and that of children that ended
        return busy + idle + waiting, busy, own

    def __call__(self) -> float:
        now = self.ticks()
        total, busy, own = (a - b for a, b in zip(now, self.before, strict=True))
        self.before = now
        return max(busy - own, 0) / max(total, 1)


def in_turn(case: Case) -> Times:
    """Time all sides of the case: ours, then its rivals."""
    with ExitStack() as stack:
        start = stack.enter_context
        sides = [start(Side("flambeau", case.name))]
        sides += [start(Side("torch", case.name, rival.label)) for rival in case.rivals]
        for side in sides:
            side.ask(0.1)  # compile, fill caches, wake threads
        others = OthersShare([os.getpid(), *[side.process.pid for side in sides]])
        rounds: list[tuple[float, list[float]]] = []
        began, quiet = perf_counter(), 0
        while max(quiet, len(rounds) * is_single()) < ROUNDS and (
            not rounds or perf_counter() - began < BUDGET
        ):
            times = [float(side.ask(BLOCK_SECONDS)) for side in sides]
            rounds.append((others(), times))
            quiet += rounds[-1][0] <= QUIET
    rounds = sorted(rounds)[: max(quiet, 3)]
    return Times([times for _, times in rounds], 0.0 if is_single() else rounds[-1][0])
