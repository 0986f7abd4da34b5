"""Trees of tuples with numbers, which rules get besides arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def taken_apart(given: Any, values: list[Any]) -> Any:
    """`given` with every number, or array of one, replaced by `...` and put into `values`; bools
    and None stay."""
    if isinstance(given, tuple):
        return tuple([taken_apart(g, values) for g in given])
    if given is None or isinstance(given, bool):
        return given
    values.append(given)
    return ...


def put_together(structure: Any, numbers: Iterator[Any]) -> Any:
    """The inverse of `taken_apart`."""
    if isinstance(structure, tuple):
        return tuple([put_together(s, numbers) for s in structure])
    return next(numbers) if structure is ... else structure
