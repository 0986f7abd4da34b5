"""`python -m tests.benchmarks [small] [import]`: the tables, against an installed PyTorch.

Install PyTorch by hand first; the product and its tests never do.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys

from . import importing, small
from .alternating import HEADER

TABLES = {"small": small, "import": importing}


def main() -> int:
    """Print the tables asked for, all by default; 1 if a limit was missed, 2 without PyTorch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], default=[])
    chosen = parser.parse_args().tables or list(TABLES)
    if importlib.util.find_spec("torch") is None:
        print("The benchmarks compare with PyTorch: pip install torch first.", file=sys.stderr)
        return 2
    print(HEADER)
    missed = False
    for name in chosen:
        for row in TABLES[name].rows():
            print(row, flush=True)
            missed = missed or row.ratio > row.limit
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
