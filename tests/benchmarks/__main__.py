"""`python -m tests.benchmarks [cpu] [TABLE ...] [WORD ...]`: our time over PyTorch's, row by row.

`cpu`, which is the default, means all tables: small, products, pointwise, compiled, convolutions,
images, sequences, text, quantized, optimizers, data, processes, import, memory, kernel, terminal.
Words choose rows by a part of their name: `python -m tests.benchmarks cpu lstm gpt`. With THREADS=1
in the environment each side has one thread and processor time counts, for machines that have other
work to do. Install PyTorch by hand first; the product and its tests never do.

`python -m tests.benchmarks cuda [WORD ...]` measures on a GPU instead (see `gpu`).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from .case import HEADER, Measurable, Row
from .turns import is_single

if "cuda" not in sys.argv:  # where a GPU is, what the other tables need may not be
    from .tables import GEOMETRIC_MEAN, TABLES, WITHOUT_PYTORCH


def main() -> int:
    """Print the rows asked for, all by default; 1 if a limit was missed, 2 without PyTorch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", help="names of tables, or words in names of rows")
    what = [word.lower() for word in parser.parse_args().what if word != "cpu"]
    if "cuda" in what:
        from .gpu.table import run

        return run([word for word in what if word not in ("cuda", "tiny")], "tiny" in what)
    chosen = {name: list(choose(name, what)) for name in TABLES}
    if not any(chosen.values()):
        parser.error(f"no table or row matches {' '.join(what)}")
    needs_torch = any(rows and name not in WITHOUT_PYTORCH for name, rows in chosen.items())
    if needs_torch and importlib.util.find_spec("torch") is None:
        print("The benchmarks compare with PyTorch: pip install torch first.", file=sys.stderr)
        return 2
    print(machine(), HEADER, sep="\n", flush=True)
    missed = False
    for name, cases in chosen.items():
        for row in measured(name, cases):
            print(row, flush=True)
            missed = missed or row.missed
    return int(missed)


def choose(table: str, what: list[str]) -> Iterator[Measurable]:
    """The rows of a table that were asked for: by the table's name, or by words in their own."""
    tables = [word for word in what if word in TABLES]
    words = [word for word in what if word not in TABLES]
    for case in TABLES[table]:
        by_table = table in tables or not tables
        by_word = not words or any(word in case.name.lower() for word in words)
        if by_table and by_word:
            yield case


def measured(table: str, cases: list[Measurable]) -> Iterator[Row]:
    """The rows of a table, and their geometric mean where it has a limit."""
    ratios, sums = [], [0.0, 0.0]
    for case in cases:
        for row in case.rows():
            ratios.append(row.ratio)
            sums = [sums[0] + row.ours, sums[1] + row.theirs]
            yield row
    if table in GEOMETRIC_MEAN and len(ratios) > 1:
        mean = statistics.geometric_mean(ratios)
        name = f"{table}: geometric mean of {len(ratios)}, and sums"
        yield Row(name, *sums, mean, GEOMETRIC_MEAN[table])


def machine() -> str:
    """Versions, processor and number of cores, in one line."""
    names = [n for n in ("flambeau", "torch", "numpy", "ipykernel") if importlib.util.find_spec(n)]
    versions = [f"{n} {importlib.metadata.version(n)}" for n in names]
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    how = "one thread a side, processor time" if is_single() else f"{cores} cores"
    return ", ".join([*versions, found[1] if found else "unknown processor", how])


if __name__ == "__main__":
    raise SystemExit(main())
