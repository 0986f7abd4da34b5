"""Arithmetic that PyTorch's compiler can follow on sizes; here sizes are numbers."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable
from typing import Any

__all__ = [
    "SymBool", "SymFloat", "SymInt", "sym_float", "sym_int", "sym_ite",
    "sym_max", "sym_min", "sym_not", "sym_sqrt", "sym_sum",
]  # fmt: skip


class SymInt:
    """A size that PyTorch's compiler does not know yet. Nothing is one here."""


class SymFloat:
    """A float that PyTorch's compiler does not know yet. Nothing is one here."""


class SymBool:
    """A condition that PyTorch's compiler does not know yet. Nothing is one here."""


def sym_int(a: Any) -> int:
    """The number without its fraction."""
    return builtins.int(a)


def sym_float(a: Any) -> float:
    """The number as a float."""
    return builtins.float(a)


def sym_not(a: Any) -> bool:
    """not a."""
    return not a


def sym_ite(b: bool, t: Any, f: Any) -> Any:
    """`t` if `b`, else `f`."""
    return t if b else f


def sym_max(a: Any, b: Any) -> Any:
    """The larger one, a float if one of them is."""
    return _like_both(builtins.max(a, b), a, b)


def sym_min(a: Any, b: Any) -> Any:
    """The smaller one, a float if one of them is."""
    return _like_both(builtins.min(a, b), a, b)


def _like_both(found: Any, a: Any, b: Any) -> Any:
    return builtins.float(found) if isinstance(a, float) or isinstance(b, float) else found


def sym_sqrt(a: Any) -> float:
    """The square root."""
    return math.sqrt(a)


def sym_sum(args: Iterable[Any]) -> Any:
    """The sum."""
    return builtins.sum(args)
