"""`flambeau check FILE`: mistakes of a script or notebook, found without running it.

The exit status is 1 if there is an error among the findings, 2 if the file cannot be read, else 0.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flambeau.backends.cuda import presence
from flambeau.magics.check import examine

from .cells import notebook_cells
from .session import starting_names

SECONDS = 20.0  # of interpretation, at most


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the sub-command."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="a .py or .ipynb file")
    parser.add_argument(
        "--strict", action="store_true", help="let warnings end in exit status 1 too"
    )


def run(arguments: argparse.Namespace) -> int:
    """Check the files, print what was found, and return the exit status."""
    presence.stay_away()
    return max(_check(path, arguments.strict) for path in arguments.files)


def _check(path: str, strict: bool) -> int:
    notebook = path.endswith(".ipynb")
    try:
        text = Path(path).read_text(encoding="utf-8")
        cells = [cell.source for cell in notebook_cells(text)] if notebook else [text]
    except (OSError, ValueError) as error:
        print(f"flambeau check: {error}", file=sys.stderr)
        return 2
    names = {**starting_names(), "__name__": "__main__", "__file__": path}
    failed = False
    for number, report in enumerate(examine(cells, names, SECONDS), 1):
        file = f"{path}:cell {number}" if notebook else path
        for finding in report.findings:
            print(finding.as_text(file))
            failed |= strict or finding.severity == "error"
    return int(failed)
