"""LSTM and GRU cells in one pass, forwards and backwards, and the walks over time around them.

A row of a loop is one sequence at one time: its gates, read and written where they lie among those
of all times. Products with the state are oneDNN's, with a weight arranged once for all times.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..onednn.products import matmul
from ..onednn.repeated import Multiplier
from .language import Position, Value
from .rows import Passes, Row, RowLoop

Times = list[tuple[int, int]]
"""First row and number of rows of each time, in the order of the walk."""


Product = Callable[[Any, Any], Any]
"""Writes the product of states with a weight, its first argument (rows, H), into its second."""


def _counts(times: Times) -> list[int]:
    """The number of rows of each time."""
    return [count for _, count in times]


def multiplier(weight: Any, times: Times) -> Product:
    """The product with the transposed weight for the rows of each time."""
    return Multiplier(weight.T, _counts(times))


def _before(kept: Any, first: Any, times: Times, k: int) -> Any:
    """The states before step k of the walk, of which `kept` has all and `first` the first ones."""
    count = times[k][1]
    if k == 0:
        return first[:count]
    start, size = times[k - 1]
    if size >= count:
        return kept[start : start + count]
    return np.concatenate([kept[start : start + size], first[size:count]])


def _all_before(kept: Any, first: Any, times: Times) -> Any:
    """`_before` of all times, in the order of memory."""
    out = np.empty((len(kept), first.shape[1]), kept.dtype)
    for k, (start, count) in enumerate(times):
        out[start : start + count] = _before(kept, first, times, k)
    return out


# -- long short-term memory ------------------------------------------------------------------------


def _lstm(
    p: Passes, index: Value, c: Row, gates: Row, acts: Row, cell: Row, h: Row, out: Row
) -> None:
    """acts holds the state's part of the gates' sums at first."""
    sums, parts = gates.parts(p.columns, 4), acts.parts(p.columns, 4)
    functions = p.m.sigmoid, p.m.sigmoid, p.m.tanh, p.m.sigmoid

    def body(at: Position) -> None:
        i, f, g, o = (
            function(part[at] + total[at])
            for function, part, total in zip(functions, parts, sums, strict=True)
        )
        for part, value in zip(parts, (i, f, g, o), strict=True):
            part[at] = value
        cell[at] = c[at] = new = p.m.fma(f, c[at], i * g)
        out[at] = h[at] = o * p.m.tanh(new)

    p.each(body)


@cache
def _lstm_gradient(has_g: bool) -> RowLoop:
    """The gradients by the gates' sums, `total`, and by the cell before, in place of dc."""

    def lstm_gradient(
        p: Passes, index: Value, dh: Row, dc: Row, acts: Row, cell: Row, before: Row, total: Row,
        *g: Row,
    ) -> None:  # fmt: skip
        parts, sums = acts.parts(p.columns, 4), total.parts(p.columns, 4)

        def body(at: Position) -> None:
            i, f, m, o = (part[at] for part in parts)
            hidden = dh[at] + g[0][at] if has_g else dh[at]
            squashed = p.m.tanh(cell[at])
            inner = p.m.fma(hidden * o, 1 - squashed * squashed, dc[at])
            sums[0][at] = inner * m * (i * (1 - i))
            sums[1][at] = inner * before[at] * (f * (1 - f))
            sums[2][at] = inner * i * (1 - m * m)
            sums[3][at] = hidden * squashed * (o * (1 - o))
            dc[at] = inner * f

        p.each(body)

    kinds = ["real", "real", "four real", "real", "real", "four real", *["real"] * has_g]
    return RowLoop(lstm_gradient, *kinds)


LSTM = RowLoop(_lstm, "real", "four real", "four real", "real", "real", "real")


def lstm(
    gates: Any, state: Any, cell: Any, by_weight: Product, projection: Any, times: Times
) -> Any:
    """What `ops.recurrent.lstm_steps` returns."""
    width = cell.shape[1]
    h, c = state.copy(), cell.copy()
    out = np.empty((len(gates), state.shape[1]), gates.dtype)
    cells, acts = np.empty((len(gates), width), gates.dtype), np.empty_like(gates)
    narrow = None if projection is None else multiplier(projection, times)
    inner = h if narrow is None else np.empty_like(c)  # the states before projection
    shown = out if narrow is None else np.empty_like(cells)
    for start, count in times:
        rows = slice(start, start + count)
        act = acts[rows]
        by_weight(h[:count], act)
        LSTM([c, gates[rows], act, cells[rows], inner, shown[rows]], count, width)
        if narrow is not None:
            narrow(inner[:count], out[rows])
            h[:count] = out[rows]
    return out, h, c, cells, acts


def lstm_gradient(
    g: Any, dh: Any, dc: Any, state: Any, cell: Any, weight: Any, projection: Any, out: Any,
    cells: Any, acts: Any, times: Times,
) -> Any:  # fmt: skip
    """What `ops.recurrent.lstm_gradient` returns; dh and dc begin as the gradients of the last
    states and are overwritten."""
    width = cell.shape[1]
    total = np.empty_like(acts)
    counts = _counts(times)
    by_weight = Multiplier(weight, counts)
    arrived = None if projection is None else np.empty_like(out)
    widen = None if projection is None else Multiplier(projection, counts)
    inner = dh if widen is None else np.empty_like(dc)
    in_loop = g is not None and widen is None
    loop = _lstm_gradient(in_loop)
    for k in reversed(range(len(times))):
        start, count = times[k]
        rows = slice(start, start + count)
        if widen is not None:
            if g is not None:
                dh[:count] += g[rows]
            arrived[rows] = dh[:count]
            widen(dh[:count], inner[:count])
        before = _before(cells, cell, times, k)
        given = [inner, dc, acts[rows], cells[rows], before, total[rows]]
        loop([*given, g[rows]] if in_loop else given, count, width)
        by_weight(total[rows], dh[:count])
    d_weight = matmul(total.T, _all_before(out, state, times))
    if projection is None:
        return total, dh, dc, d_weight, np.zeros((0,), acts.dtype)
    shown = acts[:, 3 * width :] * np.tanh(cells)
    return total, dh, dc, d_weight, matmul(arrived.T, shown)


# -- gated recurrent unit --------------------------------------------------------------------------


@cache
def _gru(has_bias: bool) -> RowLoop:
    def gru(
        p: Passes, index: Value, h: Row, gates: Row, product: Row, acts: Row, out: Row, *bias: Row
    ) -> None:
        sums, parts = gates.parts(p.columns, 3), product.parts(p.columns, 3)
        kept = acts.parts(p.columns, 4)
        more = bias[0].parts(p.columns, 3) if has_bias else []

        def body(at: Position) -> None:
            d, e, q = (part[at] for part in parts)
            if has_bias:
                d, e, q = (x + b[at] for x, b in zip((d, e, q), more, strict=True))
            r, z = p.m.sigmoid(sums[0][at] + d), p.m.sigmoid(sums[1][at] + e)
            n = p.m.tanh(p.m.fma(r, q, sums[2][at]))
            for place, value in zip(kept, (r, z, n, q), strict=True):
                place[at] = value
            out[at] = h[at] = p.m.fma(z, h[at] - n, n)

        p.each(body)

    kinds = ["real", "three real", "three real", "four real", "real"]
    return RowLoop(gru, *kinds, *["shared real"] * has_bias)


@cache
def _gru_gradient(has_g: bool) -> RowLoop:
    """The gradients by the gates' sums, `total`, by the state's `product`, and by the state before
    without that which comes by the product, in place of dh; `back` is what came by the product."""

    def gru_gradient(
        p: Passes, index: Value, dh: Row, back: Row, acts: Row, before: Row, total: Row,
        product: Row, *g: Row,
    ) -> None:  # fmt: skip
        parts = acts.parts(p.columns, 4)
        sums, products = total.parts(p.columns, 3), product.parts(p.columns, 3)

        def body(at: Position) -> None:
            r, z, n, q = (part[at] for part in parts)
            now = dh[at] + back[at]
            now = now + g[0][at] if has_g else now
            by_n = now * (1 - z) * (1 - n * n)
            by_z = now * (before[at] - n) * (z * (1 - z))
            by_r = by_n * q * (r * (1 - r))
            for places, third in ((sums, by_n), (products, by_n * r)):
                for place, value in zip(places, (by_r, by_z, third), strict=True):
                    place[at] = value
            dh[at] = now * z

        p.each(body)

    kinds = ["real", "real", "four real", "real", "three real", "three real"]
    return RowLoop(gru_gradient, *kinds, *["real"] * has_g)


def gru(gates: Any, state: Any, by_weight: Product, bias: Any, times: Times) -> Any:
    """What `ops.recurrent.gru_steps` returns."""
    width = state.shape[1]
    h, out = state.copy(), np.empty((len(gates), width), gates.dtype)
    acts = np.empty((len(gates), 4 * width), gates.dtype)
    product = np.empty((len(state), 3 * width), gates.dtype)
    loop = _gru(bias is not None)
    more = [] if bias is None else [bias]
    for start, count in times:
        rows = slice(start, start + count)
        by_weight(h[:count], product[:count])
        loop([h, gates[rows], product, acts[rows], out[rows], *more], count, width)
    return out, h, acts


def gru_gradient(
    g: Any, dh: Any, state: Any, weight: Any, out: Any, acts: Any, times: Times
) -> Any:
    """What `ops.recurrent.gru_gradient` returns; dh begins as the gradient of the last state and is
    overwritten."""
    width = state.shape[1]
    total, product = (np.empty((len(out), 3 * width), out.dtype) for _ in range(2))
    back = np.zeros_like(dh)
    by_weight, loop = Multiplier(weight, _counts(times)), _gru_gradient(g is not None)
    for k in reversed(range(len(times))):
        start, count = times[k]
        rows = slice(start, start + count)
        before = _before(out, state, times, k)
        given = [dh, back, acts[rows], before, total[rows], product[rows]]
        loop(given if g is None else [*given, g[rows]], count, width)
        by_weight(product[rows], back[:count])
    dh += back
    return total, dh, matmul(product.T, _all_before(out, state, times)), product.sum(0)
