"""Recurrent layers whose cells the CPU computes in fused loops: which arrays they take."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.cpu import loops
from .declare import kernel
from .fused import LARGE, LEAST_ROW, SINGLE
from .recurrent import gru_gradient, gru_steps, lstm_gradient, lstm_steps, started, times_of
from .shapes import Shape


def _is_fit(
    size: int, rows: int, states: tuple[Any, ...], parts: int, weight: Any, projection: Any,
    batch_sizes: Shape, others: tuple[Any, ...],
) -> bool:  # fmt: skip
    """Whether gates of `size` elements in so many rows are worth loops, and all arrays fit each
    other: a loop checks no bounds, and the array kernels say what is wrong."""
    batch, width = states[-1].shape
    narrow = width if projection is None else len(projection)
    return (
        size >= LARGE
        and width >= LEAST_ROW
        and size == rows * parts * width
        and rows == sum(batch_sizes)
        and batch == max(batch_sizes)
        and states[0].shape == (batch, narrow)
        and weight.shape == (parts * width, narrow)
        and (projection is None or projection.shape == (narrow, width))
        and all(a is None or a.dtype == SINGLE for a in (*states, weight, projection, *others))
        and loops.is_available()
    )


def _is_lstm(
    gates: Any, state: Any, cell: Any, weight: Any, projection: Any = None, *, batch_sizes: Shape,
    reverse: bool,
) -> bool:  # fmt: skip
    size, rows, states = gates.size, len(gates), (state, cell)
    return _is_fit(size, rows, states, 4, weight, projection, batch_sizes, (gates,))


@kernel(lstm_steps, "cpu", when=_is_lstm)
def lstm(
    gates: Any, state: Any, cell: Any, weight: Any, projection: Any = None, *, batch_sizes: Shape,
    reverse: bool,
) -> Any:  # fmt: skip
    """A time's cells in one pass after its product."""
    from ..backends.cpu.loops import recurrent

    gates, times = np.ascontiguousarray(gates), times_of(batch_sizes, reverse)
    by_weight = recurrent.multiplier(weight, times)
    return recurrent.lstm(gates, state, cell, by_weight, projection, times)


def _is_lstm_gradient(
    g: Any, g_last: Any, g_cell: Any, state: Any, cell: Any, weight: Any, projection: Any, out: Any,
    cells: Any, acts: Any, *, batch_sizes: Shape, reverse: bool,
) -> bool:  # fmt: skip
    size, rows, states = acts.size, len(acts), (state, cell)
    others = g, g_last, g_cell, out, cells, acts
    return _is_fit(size, rows, states, 4, weight, projection, batch_sizes, others)


@kernel(lstm_gradient, "cpu", when=_is_lstm_gradient)
def lstm_vjp(
    g: Any, g_last: Any, g_cell: Any, state: Any, cell: Any, weight: Any, projection: Any, out: Any,
    cells: Any, acts: Any, *, batch_sizes: Shape, reverse: bool,
) -> Any:  # fmt: skip
    """Back through time, a time's cells in one pass before its product."""
    from ..backends.cpu.loops import recurrent

    g = None if g is None else np.ascontiguousarray(g)
    cell, out, cells, acts = (np.ascontiguousarray(a) for a in (cell, out, cells, acts))
    dh, dc = started(g_last, state, np), started(g_cell, cell, np)
    times = times_of(batch_sizes, reverse)
    return recurrent.lstm_gradient(
        g, dh, dc, state, cell, weight, projection, out, cells, acts, times
    )


def _is_gru(
    gates: Any, state: Any, weight: Any, bias: Any = None, *, batch_sizes: Shape, reverse: bool
) -> bool:
    size, rows = gates.size, len(gates)
    fits = _is_fit(size, rows, (state,), 3, weight, None, batch_sizes, (gates, bias))
    return fits and (bias is None or bias.shape == weight.shape[:1])


@kernel(gru_steps, "cpu", when=_is_gru)
def gru(
    gates: Any, state: Any, weight: Any, bias: Any = None, *, batch_sizes: Shape, reverse: bool
) -> Any:
    """A time's cells in one pass after its product."""
    from ..backends.cpu.loops import recurrent

    gates, times = np.ascontiguousarray(gates), times_of(batch_sizes, reverse)
    bias = None if bias is None else np.ascontiguousarray(bias)
    return recurrent.gru(gates, state, recurrent.multiplier(weight, times), bias, times)


def _is_gru_gradient(
    g: Any, g_last: Any, state: Any, weight: Any, out: Any, acts: Any, *, batch_sizes: Shape,
    reverse: bool,
) -> bool:  # fmt: skip
    size, rows, others = acts.size // 4 * 3, len(acts), (g, g_last, out, acts)
    return _is_fit(size, rows, (state,), 3, weight, None, batch_sizes, others)


@kernel(gru_gradient, "cpu", when=_is_gru_gradient)
def gru_vjp(
    g: Any, g_last: Any, state: Any, weight: Any, out: Any, acts: Any, *, batch_sizes: Shape,
    reverse: bool,
) -> Any:  # fmt: skip
    """Back through time, a time's cells in one pass before its product."""
    from ..backends.cpu.loops import recurrent

    g = None if g is None else np.ascontiguousarray(g)
    state, out, acts = (np.ascontiguousarray(a) for a in (state, out, acts))
    dh, times = started(g_last, state, np), times_of(batch_sizes, reverse)
    return recurrent.gru_gradient(g, dh, state, weight, out, acts, times)
