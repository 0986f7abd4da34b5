"""How long `import` takes, in fresh processes taking turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

from .alternating import Row

ROUNDS = 7
CODE = "from time import perf_counter as t; a = t(); import {name}; print(t() - a)"


def seconds(name: str) -> float:
    """Seconds that importing `name` takes in a new interpreter, from compiled files."""
    run = [sys.executable, "-c", CODE.format(name=name)]
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=compiled)
    return float(done.stdout)


def rows() -> Iterator[Row]:
    """The runtime with nn and optim, as PyTorch's import brings them too."""
    ours, theirs = "flambeau, flambeau.nn, flambeau.optim", "torch"
    seconds(ours), seconds(theirs)
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    yield Row(
        "import",
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
        0.4,
    )
