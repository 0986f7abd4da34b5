"""`%export`: the cells of the session as a script or a notebook."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from flambeau.serialization.replacing import replace_file

from .base import Instrument, UsageError, counted

KERNELSPEC = {"display_name": "Flambeau", "language": "python", "name": "flambeau"}
OWN_NAMES = ("%export", "%save", "%load", "%history", "%rerun")
"""Lines about the history itself; they are left out."""


def script(cells: Sequence[tuple[int, str]]) -> str:
    """The cells as a `.py` file with a `# %%` line before each: editors and `flambeau run` know
    them apart."""
    return "\n\n".join(f"# %%\n{source.rstrip()}" for _, source in cells) + "\n"


def notebook(
    cells: Sequence[tuple[int, str]], outputs: dict[int, list[Any]], errors: dict[int, Any]
) -> str:
    """The cells as a notebook of format 4.5; `outputs` and `errors` are those that IPython keeps
    by cell number."""
    written = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "execution_count": number,
            "source": source.rstrip().splitlines(keepends=True),
            "outputs": [_output(o, number) for o in outputs.get(number, ())]
            + [{"output_type": "error", **e} for e in [errors.get(number)] if e],
        }
        for number, source in cells
    ]
    metadata = {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    whole = {"cells": written, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _output(output: Any, number: int) -> dict[str, Any]:
    kind, bundle = output.output_type, output.bundle
    if kind in ("out_stream", "err_stream"):
        text = "".join("".join(t) if isinstance(t, list) else str(t) for t in bundle.values())
        name = "stdout" if kind == "out_stream" else "stderr"
        return {"output_type": "stream", "name": name, "text": text.splitlines(keepends=True)}
    shown: dict[str, Any] = {"output_type": kind, "data": dict(bundle), "metadata": {}}
    if kind == "execute_result":
        shown["execution_count"] = number
    return shown


@magics_class
class ExportMagics(Instrument):
    """Writes the session down."""

    @magic_arguments()
    @argument("-f", "--force", action="store_true", help="write over a file that is there")
    @argument("--all", action="store_true", help="cells that failed too")
    @argument("-n", "--cells", help="which cells: 3, 2-5 or 1,4-6 (all of this session)")
    @argument("file", metavar="FILE", help="where: a name that ends in .py or .ipynb")
    @line_magic("export")
    def export(self, line: str) -> None:
        """Write the cells of this session to a script (.py) or, with their outputs, a notebook.

        Cells that failed are left out. Examples: %export hunt.py, %export hunt.ipynb -n 3-9
        """
        arguments = self.arguments(self.export, line)
        path = Path(os.path.expanduser(arguments.file))
        if path.suffix not in (".py", ".ipynb"):
            raise UsageError(f"%export: expected a name in .py or .ipynb. Got {arguments.file!r}.")
        if path.exists() and not arguments.force:
            raise UsageError(f"%export: {path} is there already; -f writes over it.")
        history = self.shell.history_manager
        errors: dict[int, Any] = dict(getattr(history, "exceptions", {}))
        cells = self._cells(arguments.cells)
        if not arguments.all:
            cells = [(number, source) for number, source in cells if number not in errors]
        if path.suffix == ".py":
            text = script(cells)
        else:
            text = notebook(cells, dict(getattr(history, "outputs", {})), errors)
        try:
            replace_file(path, lambda file: file.write(text.encode()))
        except OSError as error:
            raise UsageError(f"%export: {path} cannot be written: {error.strerror}.") from error
        print(f"Wrote {counted(len(cells), 'cell', 'cells')} to {path}.")

    def _cells(self, wanted: str | None) -> list[tuple[int, str]]:
        rows = self.shell.history_manager.get_range(raw=True)
        chosen = None if wanted is None else _numbers(wanted)
        return [
            (number, source)
            for _, number, source in rows
            if source.strip()
            and not source.lstrip().startswith(OWN_NAMES)
            and (chosen is None or number in chosen)
        ]


def _numbers(text: str) -> set[int]:
    """`1,4-6` as {1, 4, 5, 6}. Raises: UsageError for anything else."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            found.update(range(int(first), int(last if dash else first) + 1))
        except ValueError:
            raise UsageError(f"%export: expected numbers such as 1,4-6. Got {text!r}.") from None
    return found
