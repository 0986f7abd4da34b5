"""`python -m tests.benchmarks.side LIBRARY CASE RIVAL`: one side of a case, in its own process.

Each line on standard input is a number of seconds to work for at least; the answer is the seconds
per call. The line `peak` asks for the memory of three calls instead: before and at most, see
`memory.py`.
"""

from __future__ import annotations

import importlib
import sys
from time import perf_counter, process_time

from .case import Case, Step
from .memory import peak
from .tables import find
from .turns import block, is_single


def main() -> None:
    """Set the work up with the library, then serve."""
    library, name, label = sys.argv[1:]
    case = find(name)
    assert isinstance(case, Case)
    options = next((r.options for r in case.rivals if r.label == label), {})
    torch = importlib.import_module(library)
    if is_single():
        torch.set_num_threads(1)
    answers, sys.stdout = sys.stdout, sys.stderr  # what the work prints is no answer

    clock = process_time if is_single() and not case.forks else perf_counter

    def ready() -> Step:
        torch.manual_seed(0)
        return case.work(torch, **({} if library == "flambeau" else options))

    step: Step | None = None
    for line in sys.stdin:
        if line.strip() == "peak":
            answer = " ".join(map(str, peak(ready)))
        else:
            step = step or ready()
            answer = str(block(step, float(line), clock))
        print(answer, file=answers, flush=True)


if __name__ == "__main__":
    main()
