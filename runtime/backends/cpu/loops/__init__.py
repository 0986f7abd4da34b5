"""Fused loops for large arrays: formulas and rules as machine code, compiled when first needed.

`language` writes programs, `maths` has their functions, `machine` compiles them with LLVM,
`threads` runs them. This module alone is imported with the package; the rest comes with the first
large operation, in 40 ms, and each program then takes 10 to 30 ms to compile, once: `disk` keeps
the code.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import numpy as np


@cache
def is_available() -> bool:
    """Whether LLVM is there, and array objects look as the loops expect them."""
    try:
        import llvmlite.binding  # noqa: F401
    except ImportError:
        return False
    from .language import DATA_WORD

    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    probe = np.zeros(1)
    return bool(ctypes.c_int64.from_address(id(probe) + DATA_WORD).value == probe.ctypes.data)


thread_limit: int | None = None
"""What `limit_threads` was told last, for a pool that is yet to come."""


@cache
def is_fusing() -> bool:
    """Whether loops are there, and the processor multiplies and adds with one rounding."""
    if not is_available():
        return False
    from .machine import fuses

    return fuses()


def limit_threads(threads: int) -> None:
    """Let one loop run on at most `threads`, that of the caller among them."""
    global thread_limit
    thread_limit = threads
    loaded = sys.modules.get(f"{__name__}.threads")  # which a mere limit is no reason to load
    if loaded is not None:
        loaded.pool.set_limit(threads)
