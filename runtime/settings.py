"""Switches of PyTorch that code sets and asks for."""

from __future__ import annotations

import os
import warnings

from .backends import cudnn
from .backends.cpu import loops
from .backends.cuda.precision import rounding

__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_deterministic_debug_mode",
    "get_float32_matmul_precision",
    "get_num_interop_threads",
    "get_num_threads",
    "is_deterministic_algorithms_warn_only_enabled",
    "is_warn_always_enabled",
    "set_deterministic_debug_mode",
    "set_float32_matmul_precision",
    "set_flush_denormal",
    "set_num_interop_threads",
    "set_num_threads",
    "set_warn_always",
    "use_deterministic_algorithms",
]

_deterministic = False
_warn_only = False
_warns_always = False
PRECISIONS = ("highest", "high", "medium")
DEBUG_MODES = ("default", "warn", "error")


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for results that are the same at each run; they always are on the CPU."""
    global _deterministic, _warn_only
    _deterministic, _warn_only = bool(mode), bool(mode and warn_only)
    cudnn.all_deterministic = _deterministic


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was told last."""
    return _deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether `use_deterministic_algorithms` was asked to warn only."""
    return _warn_only


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """`use_deterministic_algorithms` by level: 0 or "default", 1 or "warn", 2 or "error".

    Raises: RuntimeError for another level.
    """
    levels: dict[int | str, int] = {0: 0, 1: 1, 2: 2}
    levels.update((name, k) for k, name in enumerate(DEBUG_MODES))
    if debug_mode not in levels:
        raise RuntimeError(
            f"set_deterministic_debug_mode: expected 0, 1, 2, default, warn or error. Got "
            f"{debug_mode!r}."
        )
    level = levels[debug_mode]
    use_deterministic_algorithms(level > 0, warn_only=level == 1)


def get_deterministic_debug_mode() -> int:
    """The level that `set_deterministic_debug_mode` would be told."""
    return 0 if not _deterministic else 1 if _warn_only else 2


def set_float32_matmul_precision(precision: str) -> None:
    """How exactly float32 products are computed: "highest", or "high" or "medium", with which a GPU
    rounds the factors to TF32 (10 bits instead of 23) and is several times as fast.

    Raises: ValueError for another word.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"Expected a precision of {', '.join(PRECISIONS)}. Got {precision!r}.")
    rounding.precision = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was told last."""
    return rounding.precision


def set_num_threads(threads: int) -> None:
    """How many threads one operation uses. Raises: RuntimeError below 1."""
    if threads < 1:
        raise RuntimeError(f"set_num_threads: expected at least 1. Got {threads}.")
    from threadpoolctl import threadpool_limits

    from .backends.cpu.onednn import library

    threadpool_limits(threads)
    loops.limit_threads(threads)
    library.set_num_threads(threads)


def get_num_threads() -> int:
    """How many threads one operation may use."""
    from threadpoolctl import threadpool_info

    pools = [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]
    return max(pools, default=os.cpu_count() or 1)


def set_num_interop_threads(threads: int) -> None:
    """Nothing: operations run one after the other. Raises: RuntimeError below 1."""
    if threads < 1:
        raise RuntimeError(f"set_num_interop_threads: expected at least 1. Got {threads}.")


def get_num_interop_threads() -> int:
    """1: operations run one after the other."""
    return 1


def set_flush_denormal(mode: bool) -> bool:
    """Whether numbers near 0 count as 0: they never do, so that only False succeeds."""
    return not mode


def set_warn_always(b: bool) -> None:
    """Show a warning of the runtime each time it is met, not only the first time."""
    global _warns_always
    _warns_always = bool(b)
    if b:
        warnings.filterwarnings("always", module=r"flambeau\.")


def is_warn_always_enabled() -> bool:
    """What `set_warn_always` was told last."""
    return _warns_always
