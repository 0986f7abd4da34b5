"""Notebooks of format 4 as files: the cells of a run with their outputs."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from .cells import Cell


class ExecutedNotebook:
    """The notebook that a run leaves: that of `text` if it is one, else one made of its cells.

    Cells that did not run have no outputs.
    """

    def __init__(self, text: str | None, cells: list[Cell]) -> None:
        from flambeau.magics.export import KERNELSPEC  # with the runtime, which nothing else needs

        if text is None:
            notebook: dict[str, Any] = {"cells": [_code_cell(c.source) for c in cells]}
        else:
            notebook = copy.deepcopy(json.loads(text))
        notebook.setdefault("metadata", {}).setdefault("kernelspec", KERNELSPEC)
        notebook.setdefault("nbformat", 4)
        notebook.setdefault("nbformat_minor", 4)
        self.notebook = notebook
        self._places = [c for c in notebook["cells"] if _is_run(c)]
        for cell in notebook["cells"]:
            cell.setdefault("metadata", {})
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)

    def put(self, index: int, outputs: list[dict[str, Any]], count: int | None) -> None:
        """The outputs of the code cell that ran as number `index`, and its execution count."""
        self._places[index].update(outputs=outputs, execution_count=count)

    def write(self, path: str) -> None:
        """Write the notebook; whoever reads finds the old file or the new one whole.

        Raises: OSError if it cannot be written.
        """
        from flambeau.serialization.replacing import replace_file

        text = json.dumps(self.notebook, indent=1, ensure_ascii=False) + "\n"
        replace_file(Path(path), lambda file: file.write(text.encode()))


def _is_run(cell: dict[str, Any]) -> bool:
    return cell["cell_type"] == "code" and bool("".join(cell["source"]).strip())


def _code_cell(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": source.splitlines(keepends=True)}
