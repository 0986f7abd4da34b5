"""Is this cell finished, and where does its next line begin? Decided here, without the kernel."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.inputtransformer2 import TransformerManager

INDENT = " " * 4
_LEAVES_BLOCK = re.compile(r"\s*(return|raise|pass|break|continue)\b")


@cache
def transformer() -> TransformerManager:
    """IPython's reading of cells. The import takes 0.1 s: `warm up` behind the first prompt."""
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager()


def is_complete(cell: str) -> bool:
    """Whether to run `cell` at Enter: it is whole, or wrong beyond repair. A block ends blank."""
    last_line = cell.rsplit("\n", 1)[-1]
    if cell.lstrip().startswith("%%"):
        return "\n" in cell and not last_line.strip()
    return bool(transformer().check_complete(cell)[0] != "incomplete")


def next_indent(cell: str) -> str:
    """The blanks that begin the line after `cell`."""
    last_line = cell.rsplit("\n", 1)[-1]
    indent = last_line[: len(last_line) - len(last_line.lstrip())]
    if last_line.rstrip().endswith(":"):
        return indent + INDENT
    if _LEAVES_BLOCK.match(last_line):
        return indent.removesuffix(INDENT)
    return indent
