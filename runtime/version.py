"""Versions: of this package, and of what it was built for."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
git_version = None
hip = None
debug = False


def __getattr__(name: str) -> Any:
    """`cuda`: the version of CUDA that CuPy works with, None without one."""
    if name != "cuda":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .backends import cuda as backend

    if not backend.device_count():
        return None
    import cupy

    number = cupy.cuda.runtime.runtimeGetVersion()
    return f"{number // 1000}.{number % 1000 // 10}"
