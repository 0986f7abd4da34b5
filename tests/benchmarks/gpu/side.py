"""`python -m tests.benchmarks.gpu.side LIBRARY DEVICE`: one side, which holds all rows in turn.

Each line on standard input is a row's number of seconds to work for at least and its name, or
`drop`; the answer is the seconds per step, `done`, or `failed` with the reason.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
import traceback
from time import perf_counter
from typing import Any

from .case import Place, Row, Step, captured
from .rows import find


class Side:
    """The library, and the step of the row at hand."""

    def __init__(self, library: str, device: str, tiny: bool) -> None:
        if library == "numpy":
            self.torch: Any = None
        else:
            self.torch = importlib.import_module(library)
            self.torch.manual_seed(0)
        self.place = Place(self.torch, device, tiny)
        self.name = ""
        self.step: Step | None = None

    def ready(self, row: Row) -> Step:
        """The step of a row, set up once."""
        if self.step is None or self.name != row.name:
            self.drop()
            self.step, self.name = self._made(row), row.name
        return self.step

    def _made(self, row: Row) -> Step:
        if self.torch is None:
            return _numpy_product(self.place)
        step = row.work(self.place)
        return captured(self.torch, step) if row.captured else step

    def drop(self) -> None:
        """Give the memory of the row at hand back."""
        self.step = None
        gc.collect()
        if self.place.device == "cuda" and self.torch is not None:
            self.torch.cuda.empty_cache()

    def seconds(self, row: Row, least: float) -> float:
        """Per step, over as many steps as take that long; waits for the GPU at both ends."""
        step, count = self.ready(row), 1
        while True:
            self._wait()
            started = perf_counter()
            for _ in range(count):
                step()
            self._wait()
            elapsed = perf_counter() - started
            if elapsed >= least:
                return elapsed / count
            count = max(2 * count, int(count * least / max(elapsed, 1e-9)) + 1)

    def _wait(self) -> None:
        if self.place.device == "cuda":
            self.torch.cuda.synchronize()


def _numpy_product(place: Place) -> Step:
    import numpy as np

    n = place.size(4096, 64)
    x, y = np.random.default_rng(0).standard_normal((2, n, n)).astype(np.float32)
    return lambda: x @ y


def main() -> None:
    """Serve."""
    library, device, *options = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr  # what the work prints is no answer
    side = Side(library, device, "tiny" in options)
    for line in sys.stdin:
        least, _, name = line.strip().partition(" ")
        try:
            if least == "drop":
                side.drop()
                answer = "done"
            else:
                answer = repr(side.seconds(find(name), float(least)))
        except Exception as error:
            traceback.print_exc()
            with contextlib.suppress(Exception):
                side.drop()
            answer = f"failed {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
        print(answer, file=answers, flush=True)


if __name__ == "__main__":
    main()
