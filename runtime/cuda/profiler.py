"""Tells the tools that watch a GPU at work (Nsight) when to begin and when to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..backends import cuda as _backend
from .devices import is_available

__all__ = ["profile", "start", "stop"]


def start() -> None:
    """Begin, under `nsys profile --capture-range=cudaProfilerApi`; nothing without a GPU."""
    if is_available():
        _backend.xp.cuda.runtime.profilerStart()


def stop() -> None:
    """End; nothing without a GPU."""
    if is_available():
        _backend.xp.cuda.runtime.profilerStop()


@contextmanager
def profile() -> Iterator[None]:
    """A `with` block that is watched."""
    start()
    try:
        yield
    finally:
        stop()
