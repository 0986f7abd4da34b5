"""The largest and the smallest element of each row."""

from __future__ import annotations

from typing import Any

import numpy as np

from .language import Value
from .rows import Passes, Row, RowLoop


def _largest(p: Passes, index: Value, x: Row, out: Row) -> None:
    out.set_element(p.zero, p.max(lambda at: x[at]))


def _smallest(p: Passes, index: Value, x: Row, out: Row) -> None:
    out.set_element(p.zero, p.reduce(lambda at: x[at], np.inf, p.m.minimum))


LARGEST = RowLoop(_largest, "real", "one real")
SMALLEST = RowLoop(_smallest, "real", "one real")


def of_rows(loop: RowLoop, x: Any, columns: int) -> Any:
    """The extremes (rows,) of rows of `columns` elements of the contiguous array x; NaN of rows
    that have one."""
    out = np.empty(x.size // columns, x.dtype)
    loop([x, out], len(out), columns)
    return out
