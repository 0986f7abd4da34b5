"""Measures the rows against their rivals in turn, prints them, keeps them with date and device."""

from __future__ import annotations

import datetime
import importlib.metadata
import importlib.util
import itertools
import math
import os
import re
import select
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from .case import Place, Row
from .rows import COPY, ROWS

PATIENCE = 45
"""Seconds that a row may take to compile, or to be measured once."""
BLOCK_SECONDS = 0.15
ROUNDS = 5

HEADER = f"{'work':62} {'ours':>10} {'rival':>10}    {'ratio':>6} {'limit':>6}  of a copy's rate"


class Process:
    """A side in a process of its own."""

    def __init__(self, library: str, device: str, *options: str) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.gpu.side", library, device, *options]
        self.pipes = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, line: str) -> str:
        """The answer to a line. Raises: RuntimeError if the process has ended, or could not, or
        takes too long."""
        assert self.pipes.stdin is not None
        assert self.pipes.stdout is not None
        with suppress(BrokenPipeError):
            print(line, file=self.pipes.stdin, flush=True)
        if not select.select([self.pipes.stdout], [], [], PATIENCE)[0]:
            raise RuntimeError(f"failed: no answer within {PATIENCE} s")
        answer = self.pipes.stdout.readline().strip()
        if not answer or answer.startswith("failed"):
            raise RuntimeError(answer or "failed: the process ended, see its last words")
        return answer

    def seconds(self, row: Row, least: float = BLOCK_SECONDS) -> float:
        """Per step."""
        return float(self.ask(f"{least} {row.name}"))

    def end(self) -> None:
        """End it."""
        self.pipes.kill()
        self.pipes.communicate()


class Sides:
    """The processes in use, started when first asked for. An error may leave a GPU unusable for the
    process that made it, so that all are ended then, and start anew for the next row."""

    def __init__(self, *options: str) -> None:
        self.options = options
        self.running: dict[tuple[str, str], Process] = {}

    def __call__(self, library: str, device: str) -> Process:
        if (library, device) not in self.running:
            self.running[library, device] = Process(library, device, *self.options)
        return self.running[library, device]

    def drop(self) -> None:
        """Have all give the memory of the row at hand back."""
        for side in self.running.values():
            side.ask("drop")

    def close(self) -> None:
        """End all."""
        while self.running:
            self.running.popitem()[1].end()


def lines(rows: list[Row], tiny: bool, with_rivals: bool) -> Iterator[str]:
    """The table's lines, each as soon as it is measured; the last is the verdict."""
    place, missed, rate = Place(None, tiny=tiny), 0, math.nan
    with closing(Sides(*("tiny",) if tiny else ())) as sides:
        try:
            assert COPY.moved is not None
            rate = COPY.moved(place) / sides(*OURS).seconds(COPY)
        except RuntimeError as error:
            yield f"{COPY.name:62} {error}"
            sides.close()
        yield f"a copy moves {rate / 1e12:.2f} TB/s, bytes read and written"
        yield HEADER
        for row in rows:
            try:
                rival = sides(*RIVALS[row.rival]) if with_rivals else None
                line, is_missed = _measured(row, sides(*OURS), rival, rate, place)
                sides.drop()
            except RuntimeError as error:
                line, is_missed = f"{row.name:62} {error}", True
                sides.close()
            missed += is_missed
            yield line
    yield f"{len(rows) - missed} of {len(rows)} rows within their limits"


OURS = ("flambeau", "cuda")
RIVALS = {"torch": ("torch", "cuda"), "numpy": ("numpy", "cpu"), "cpu": ("flambeau", "cpu")}


def _measured(
    row: Row, ours: Process, rival: Process | None, rate: float, place: Place
) -> tuple[str, bool]:
    """The row's line, and whether it misses a limit."""
    sides = [ours] if rival is None else [ours, rival]
    for side in sides:
        side.seconds(row, 0.02)  # compile, fill caches
    rounds = [[side.seconds(row) for side in sides] for _ in range(ROUNDS)]
    mine = statistics.median(times[0] for times in rounds)
    words = f"{row.name:62} {1e3 * mine:10.4f}"
    missed = False
    if rival is not None:
        theirs = statistics.median(times[1] for times in rounds)
        ratio = statistics.median(times[0] / times[1] for times in rounds)
        missed = ratio > row.limit
        words += f" {1e3 * theirs:10.4f} ms {ratio:6.3f} {row.limit:6.2f}"
    if row.moved is not None:
        share = row.moved(place) / mine / rate
        missed = missed or share < row.least_share
        words += f"  {100 * share:.0f}% (least {100 * row.least_share:.0f}%)"
    return f"{words}  {'MISSED' if missed else 'ok'}", missed


def device() -> str:
    """Date, GPU, and versions."""
    import flambeau

    name = flambeau.cuda.get_device_name() if flambeau.cuda.is_available() else "no GPU"
    versions = [
        f"{n} {importlib.metadata.version(n)}"
        for n in ("torch", "numpy", "cupy-cuda13x", "cupy-cuda12x")
        if importlib.util.find_spec(n.partition("-")[0]) and _is_installed(n)
    ]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return ", ".join([today, name, f"flambeau {flambeau.__version__}", *versions])


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def run(words: list[str], tiny: bool = False) -> int:
    """Print the rows whose names have one of the words, all for none, and keep them in
    `results/cuda-DEVICE.txt` and in the folder $OUT; 1 if a limit was missed."""
    rows = [r for r in ROWS if not words or any(w in r.name.lower() for w in words)]
    with_rivals = not tiny and importlib.util.find_spec("torch") is not None
    head = device()
    kind = re.sub(r"\W+", "-", head.split(", ")[1]).strip("-").lower()
    folders = [] if tiny else [Path(__file__).parents[1] / "results", os.environ.get("OUT")]
    printed: list[str] = []
    for line in itertools.chain([head], lines(rows, tiny, with_rivals)):
        print(line, flush=True)
        printed.append(line)
        for folder in folders:  # what is there, should the rest be cut off
            if folder is not None:
                Path(folder, f"cuda-{kind}.txt").write_text("\n".join(printed) + "\n")
    return int(not printed[-1].startswith(f"{len(rows)} of"))
