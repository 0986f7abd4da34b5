"""How long `import` takes, in fresh processes taking turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from .case import Row

ROUNDS = 7
CODE = "from time import perf_counter as t; a = t(); import {name}; print(t() - a)"


def seconds(name: str) -> float:
    """Seconds that importing `name` takes in a new interpreter, from compiled files."""
    run = [sys.executable, "-c", CODE.format(name=name)]
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=compiled)
    return float(done.stdout)


@dataclass(frozen=True)
class Import:
    """The runtime with nn and optim, as PyTorch's import brings them too."""

    name: str = "import"
    limit: float = 0.35

    def rows(self) -> Iterator[Row]:
        """Both sides alternate, after one run each that fills the disk cache."""
        ours, theirs = "flambeau, flambeau.nn, flambeau.optim", "torch"
        seconds(ours), seconds(theirs)
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
        yield Row(
            self.name,
            1e3 * statistics.median(a for a, _ in pairs),
            1e3 * statistics.median(b for _, b in pairs),
            statistics.median(a / b for a, b in pairs),
            self.limit,
        )


CASES = [Import()]
