"""`python -m tests.benchmarks.side LIBRARY CASE RIVAL`: one side of a case, in its own process.

Each line on standard input is a number of seconds to work for at least; the answer is the seconds
per call. The line `peak` asks for the memory of three calls instead, see `memory.py`.
"""

from __future__ import annotations

import importlib
import sys
from time import perf_counter, process_time

from .case import Case, Step
from .memory import peak_growth
from .tables import find
from .turns import block, is_single


def main() -> None:
    """Set the work up with the library, then serve."""
    library, name, label = sys.argv[1:]
    case = find(name)
    assert isinstance(case, Case)
    options = next((r.options for r in case.rivals if r.label == label), {})
    torch = importlib.import_module(library)
    answers, sys.stdout = sys.stdout, sys.stderr  # what the work prints is no answer

    clock = process_time if is_single() and not case.forks else perf_counter

    def ready() -> Step:
        torch.manual_seed(0)
        return case.work(torch, **({} if library == "flambeau" else options))

    step: Step | None = None
    for line in sys.stdin:
        if line.strip() == "peak":
            answer = peak_growth(ready)
        else:
            step = step or ready()
            answer = block(step, float(line), clock)
        print(answer, file=answers, flush=True)


if __name__ == "__main__":
    main()
