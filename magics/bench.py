"""`%bench`: two expressions timed side by side, in alternating blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

from IPython.core.magic import line_cell_magic, magics_class
from IPython.display import display

from flambeau import cuda

from .base import Instrument, TextReport, UsageError, table, time_text

BLOCK = 0.1  # s of each block: long against timers and thread wake-ups
BLOCKS = 9  # of each side; their median leaves disturbed ones out
SEPARATOR = " vs "

Run = Callable[[int], Any]
"""Does the work so many times."""


@dataclass
class Bench(TextReport):
    """Seconds a run of each side, and the ratio second / first of each pair of blocks."""

    names: list[str]
    seconds: list[list[float]]

    @property
    def ratios(self) -> list[float]:
        """One for each pair of blocks, which ran right after one another."""
        return [b / a for a, b in zip(*self.seconds, strict=True)] if len(self.names) == 2 else []

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("", "median", "fastest", "slowest")]
        for name, times in zip(self.names, self.seconds, strict=True):
            words = (time_text(f(times)) for f in (median, min, max))
            rows.append((name if len(name) <= 60 else name[:59] + "…", *words))
        lines = table(rows, "<>>>")
        return "\n".join([*lines, self._verdict()] if self.ratios else lines)

    __repr__ = __str__

    def _verdict(self) -> str:
        ratios = sorted(self.ratios)
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        middle = median(ratios)
        spread = f"half of all pairs between {low:.2f} and {high:.2f}"
        if low <= 1 <= high:
            return f"No difference that shows: second / first {middle:.2f}, {spread}."
        which = "second" if middle < 1 else "first"
        factor = 1 / middle if middle < 1 else middle
        return f"The {which} is {factor:.2f} times as fast: second / first {middle:.2f}, {spread}."


def bench(
    *runs: Run, names: list[str] | None = None, block: float = BLOCK, blocks: int = BLOCKS
) -> Bench:
    """Time functions of a number of repetitions, in alternating blocks of about `block` seconds.

    Work on a GPU is waited for at the end of each block.
    """
    counts = [_repetitions(run, block) for run in runs]
    found: list[list[float]] = [[] for _ in runs]
    for _ in range(blocks):
        for k, run in enumerate(runs):
            found[k].append(_timed(run, counts[k]) / counts[k])
    return Bench(names or [f"run {k}" for k in range(len(runs))], found)


def _timed(run: Run, count: int) -> float:
    started = perf_counter()
    run(count)
    if cuda.is_available():
        cuda.synchronize()
    return perf_counter() - started


def _repetitions(run: Run, block: float) -> int:
    """How often the work fits into a block; finding out warms it up."""
    count = 1
    while True:
        seconds = _timed(run, count)
        if seconds >= block / 2 or count > 10**9:
            return max(1, round(count * block / max(seconds, 1e-9)))
        count *= max(2, min(100, int(block / max(seconds, 1e-7))))


@magics_class
class BenchMagics(Instrument):
    """Compares times."""

    @line_cell_magic("bench")
    def bench(self, line: str, cell: str | None = None) -> None:
        """Time a statement, or two side by side in alternating blocks, which is fair to both on a
        machine whose speed changes; work on a GPU is waited for.

        Examples: %bench x @ w, %bench x @ w vs torch.mm(x, w); and %%bench above two blocks of
        lines with a line `vs` between them
        """
        if line.strip().startswith("-"):
            raise UsageError(f"%bench: expected statements, as %bench a vs b. Got {line!r}.")
        if cell is None:
            sources = [part.strip() for part in line.split(SEPARATOR)]
        else:
            sources = [part.strip("\n") for part in ("\n" + cell).split("\nvs\n")]
        if not all(sources) or len(sources) > 2:
            raise UsageError(f"%bench: expected a statement, or two as a vs b. Got {line!r}.")
        runs = [self._compiled(source) for source in sources]
        try:
            display(bench(*runs, names=[source.strip().splitlines()[0] for source in sources]))
        except Exception as error:
            raise UsageError(f"%bench: {type(error).__name__}: {error}") from error

    def _compiled(self, source: str) -> Run:
        """A loop over `source`, in the names of the session."""
        body = "\n".join("        " + row for row in source.splitlines())
        text = f"def _run(_count):\n    for _ in range(_count):\n{body}\n"
        made: dict[str, Any] = {}
        try:
            exec(compile(text, "<bench>", "exec"), self.namespace, made)
        except SyntaxError as error:
            raise UsageError(f"%bench: {source!r} is no Python: {error.msg}.") from None
        run: Run = made["_run"]
        return run
