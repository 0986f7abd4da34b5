"""What PyTorch's tracing compiler is asked about sizes and modes. Nothing is traced with unknown
sizes here: each is a number, and conditions on them are true or false."""

from __future__ import annotations

from typing import Any

__all__ = [
    "free_symbols", "free_unbacked_symbols", "get_proxy_mode", "guard_or_false", "guard_or_true",
    "is_concrete_int", "statically_known_false", "statically_known_true",
]  # fmt: skip


def get_proxy_mode() -> None:
    """The tracer at work: none."""


def guard_or_false(condition: Any) -> bool:
    """The condition."""
    return bool(condition)


guard_or_true = statically_known_true = guard_or_false


def statically_known_false(condition: Any) -> bool:
    """Whether the condition does not hold."""
    return not condition


def is_concrete_int(size: Any) -> bool:
    """Whether `size` is a number: yes."""
    return True


def free_symbols(value: Any) -> set[Any]:
    """The sizes in `value` that are not known: none."""
    return set()


free_unbacked_symbols = free_symbols
