"""Named ranges for the tools that watch a GPU at work (Nsight); nothing without CuPy."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]


def _nvtx() -> Any:
    """CuPy's bindings; None where there are none."""
    if importlib.util.find_spec("cupy") is None:
        return None
    import cupy

    return getattr(cupy.cuda, "nvtx", None)


def range_push(msg: str) -> int:
    """Begin a range inside of the current one; returns how deep it lies."""
    nvtx = _nvtx()
    if nvtx is not None:
        nvtx.RangePush(msg)
    _depths.append(msg)
    return len(_depths) - 1


def range_pop() -> int:
    """End the range that was begun last; returns how deep it lay."""
    nvtx = _nvtx()
    if nvtx is not None:
        nvtx.RangePop()
    if _depths:
        _depths.pop()
    return len(_depths)


_depths: list[str] = []


def range_start(msg: str) -> int:
    """Begin a range that `range_end` ends, in any order; returns its number."""
    nvtx = _nvtx()
    return 0 if nvtx is None else int(nvtx.RangeStart(msg, 0))


def range_end(range_id: int) -> None:
    """End the range of that number."""
    nvtx = _nvtx()
    if nvtx is not None:
        nvtx.RangeEnd(range_id)


def mark(msg: str) -> None:
    """A point in time."""
    nvtx = _nvtx()
    if nvtx is not None:
        nvtx.Mark(msg)


@contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """A `with` block, or a function decorated, as a range; `msg` is formatted with the rest."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
