"""Switches of PyTorch that code sets and asks for."""

from __future__ import annotations

import os

__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_float32_matmul_precision",
    "get_num_threads",
    "set_float32_matmul_precision",
    "set_num_threads",
    "use_deterministic_algorithms",
]

_deterministic = False
_precision = "highest"
PRECISIONS = ("highest", "high", "medium")


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for results that are the same at each run; they always are on the CPU."""
    global _deterministic
    _deterministic = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was told last."""
    return _deterministic


def set_float32_matmul_precision(precision: str) -> None:
    """How exactly float32 products are computed: "highest", "high" or "medium"; on the CPU always
    highest.

    Raises: ValueError for another word.
    """
    global _precision
    if precision not in PRECISIONS:
        raise ValueError(f"Expected a precision of {', '.join(PRECISIONS)}. Got {precision!r}.")
    _precision = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was told last."""
    return _precision


def set_num_threads(threads: int) -> None:
    """How many threads one product uses. Raises: RuntimeError below 1."""
    if threads < 1:
        raise RuntimeError(f"set_num_threads: expected at least 1. Got {threads}.")
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)


def get_num_threads() -> int:
    """How many threads one product may use."""
    from threadpoolctl import threadpool_info

    pools = [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]
    return max(pools, default=os.cpu_count() or 1)
