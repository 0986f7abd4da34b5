"""Anomaly mode: gradients are checked as they come, and nodes know the line that made them.

The state is each thread's own; while any thread is in the mode, all are observed.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ..core import callsite, observers
from ..core.tensor import Tensor
from ..errors import GradientError, ShapeError
from .node import Node

__all__ = ["is_anomaly_check_nan_enabled", "is_anomaly_enabled"]


class _Mode(threading.local):
    enabled = False  # gradients are checked
    check_nan = True
    records = False  # nodes remember their line


state = _Mode()


class _Recorder(observers.Observer):
    """Writes the user's line into each node."""

    def node_recorded(self, node: Any) -> None:
        if state.records:
            node.metadata["forward_line"] = callsite.current()


_recorder = _Recorder()


class set_detect_anomaly:
    """Check every gradient of this thread's backward passes for its shape and for NaN, and remember
    where nodes were recorded, from now on or for the length of a `with` block."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = state.enabled, state.check_nan, state.records
        _set(mode, check_nan, mode)

    def __enter__(self) -> None:
        """The mode is set since the constructor."""

    def __exit__(self, *exception: object) -> None:
        _set(*self._before)


class detect_anomaly(set_detect_anomaly):
    """`set_detect_anomaly(True)` as a `with` block."""

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)


_threads: set[int] = set()


def _set(enabled: bool, check_nan: bool, records: bool) -> None:
    state.enabled, state.check_nan, state.records = enabled, check_nan, records
    (_threads.add if records else _threads.discard)(threading.get_ident())
    (observers.subscribe if _threads else observers.unsubscribe)(_recorder)


def is_anomaly_enabled() -> bool:
    """Whether this thread is in anomaly mode."""
    return state.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode looks for NaN."""
    return state.check_nan


def inspect(node: Node, grads: Any) -> None:
    """Raises: ShapeError for a gradient without its input's shape, GradientError for one with
    NaN."""
    for k, (edge, g) in enumerate(zip(node.edges, grads, strict=True)):
        if edge is None or g is None:
            continue
        saved = node.saved[k] if node.saved and k < len(node.saved) else None
        expected = saved if saved.__class__ is tuple else getattr(saved, "shape", None)
        if expected is not None and tuple(g.shape) != tuple(expected):
            raise ShapeError(
                f"{node.name()}: expected a gradient of shape {tuple(expected)} for input {k}. "
                f"The rule gave {tuple(g.shape)}.{node.origin()}"
            )
        values = g._array if isinstance(g, Tensor) else g
        if state.check_nan and hasattr(values, "__array__") and np.isnan(values).any():
            raise GradientError(
                f"{node.name()} returned nan values in its gradient for input {k}, in anomaly "
                f"mode.{node.origin()}"
            )
