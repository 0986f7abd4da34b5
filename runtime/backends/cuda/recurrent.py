"""LSTM and GRU: for each time a product with the state, and one launch for the cells."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from . import products
from .launch import Template
from .movement import contiguous
from .reductions import reduced
from .registry import FLOATS, kernel
from .rows import empty, wide

THREADS = 256

LSTM = Template("recurrent", "lstm_cell", "PPPPPPPqq", T=FLOATS)
LSTM_GRADIENT = Template("recurrent", "lstm_cell_gradient", "PPPPPPPqq", T=FLOATS)
GRU = Template("recurrent", "gru_cell", "PPPPPPqq", T=FLOATS)
GRU_GRADIENT = Template("recurrent", "gru_cell_gradient", "PPPPPPqq", T=FLOATS)

Times = list[tuple[int, int]]
"""First row and number of rows of each time, in the order of the walk."""


def _times(batch_sizes: tuple[int, ...], reverse: bool) -> Times:
    from ...ops.recurrent import times_of  # which the operations themselves count by

    return times_of(batch_sizes, reverse)


def _is_fit(*arrays: Any) -> bool:
    """Whether all have one dtype, and there is something to compute."""
    given = [a for a in arrays if a is not None]
    return given[0].size > 0 and all(a.dtype == given[0].dtype for a in given)


def _launched(template: Template, width: int, count: int, *arrays: Any) -> None:
    dtype = arrays[0].dtype.name
    places = [0 if a is None else a.data.ptr for a in arrays]
    template[dtype](-(-count * width // THREADS), THREADS, *places, count * width, width)


def _matmul() -> Callable[..., Any]:
    return products.CuPyWithProducts(sys.modules["cupy"]).matmul


def _before(out: Any, first: Any, times: Times) -> Any:
    """The state before each row of `out`."""
    before = empty(out.shape, out.dtype)
    size = len(first)
    if all(count == size for _, count in times):  # then times follow each other in memory
        start = times[0][0]
        before[start : start + size] = first
        if start:
            before[:start] = out[size:]
        else:
            before[size:] = out[: len(out) - size]
        return before
    state = first.copy()
    for start, count in times:
        before[start : start + count] = state[:count]
        state[:count] = out[start : start + count]
    return before


def _carried(dh: Any, found: Any) -> Any:
    """`found` as the gradient of the first rows of a state; the other ones stay."""
    if len(found) == len(dh):
        return found
    dh[: len(found)] = found
    return dh


def _started(g: Any, like: Any, dtype: Any) -> Any:
    """A copy of the gradient of a last state; zeros where there is none."""
    cupy = sys.modules["cupy"]
    return cupy.zeros(like.shape, dtype) if g is None else cupy.array(g, dtype, order="C")


@kernel("lstm_steps")
def lstm_steps(
    gates: Any, state: Any, cell: Any, weight: Any, projection: Any = None, *,
    batch_sizes: tuple[int, ...], reverse: bool,
) -> Any:  # fmt: skip
    """The cell's state is carried in float32 or wider."""
    if not _is_fit(gates, state, cell, weight, projection):
        return None
    gates, width, matmul = contiguous(gates), cell.shape[1], _matmul()
    out = empty((len(gates), state.shape[1]), gates.dtype)
    cells, acts = empty((len(gates), width), gates.dtype), empty(gates.shape, gates.dtype)
    h, c = _started(state, state, state.dtype), _started(cell, cell, wide(cell))
    for start, count in _times(batch_sizes, reverse):
        rows = slice(start, start + count)
        product = matmul(h[:count], weight.T)
        hidden = out[rows] if projection is None else empty((count, width), gates.dtype)
        kept = h if projection is None else None
        _launched(
            LSTM, width, count, product, gates[rows], c, acts[rows], cells[rows], hidden, kept
        )
        if projection is not None:
            out[rows] = matmul(hidden, projection.T)
            h[:count] = out[rows]
    return out, h, c.astype(cell.dtype, copy=False), cells, acts


@kernel("lstm_gradient")
def lstm_gradient(
    g: Any, g_last: Any, g_cell: Any, state: Any, cell: Any, weight: Any, projection: Any,
    out: Any, cells: Any, acts: Any, batch_sizes: tuple[int, ...], reverse: bool,
) -> Any:  # fmt: skip
    """Back through time, cells first; the gradient by the cell in float32 or wider."""
    if not _is_fit(acts, g, g_last, g_cell, state, cell, weight, projection, out, cells):
        return None
    cupy, width, matmul = sys.modules["cupy"], cell.shape[1], _matmul()
    cells, acts, g = contiguous(cells), contiguous(acts), None if g is None else contiguous(g)
    times = _times(batch_sizes, reverse)
    before, total = _before(cells, cell, times), empty(acts.shape, acts.dtype)
    arrived = None if projection is None else empty(out.shape, out.dtype)
    dh, dc = _started(g_last, state, state.dtype), _started(g_cell, cell, wide(cell))
    for start, count in reversed(times):
        rows = slice(start, start + count)
        by_h, more = dh, None if g is None else g[rows]
        if arrived is not None:
            arrived[rows] = dh[:count] if more is None else dh[:count] + more
            by_h, more = contiguous(matmul(arrived[rows], projection)), None
        _launched(
            LSTM_GRADIENT, width, count, by_h, more, dc, acts[rows], cells[rows], before[rows],
            total[rows],
        )  # fmt: skip
        dh = _carried(dh, matmul(total[rows], weight))
    by_weight = matmul(total.T, _before(out, state, times))
    by_cell = dc.astype(cell.dtype, copy=False)
    if projection is None:
        return total, dh, by_cell, by_weight, cupy.zeros((0,), acts.dtype)
    shown = acts[:, 3 * width :] * cupy.tanh(cells)
    return total, dh, by_cell, by_weight, matmul(arrived.T, shown)


@kernel("gru_steps")
def gru_steps(
    gates: Any, state: Any, weight: Any, bias: Any = None, *, batch_sizes: tuple[int, ...],
    reverse: bool,
) -> Any:  # fmt: skip
    """The state's part of the gates comes from one product."""
    if not _is_fit(gates, state, weight, bias):
        return None
    gates, width, matmul = contiguous(gates), state.shape[1], _matmul()
    bias = None if bias is None else contiguous(bias)
    out = empty((len(gates), width), gates.dtype)
    acts = empty((len(gates), 4 * width), gates.dtype)
    h = _started(state, state, state.dtype)
    for start, count in _times(batch_sizes, reverse):
        rows = slice(start, start + count)
        product = matmul(h[:count], weight.T)
        _launched(GRU, width, count, product, gates[rows], bias, h, acts[rows], out[rows])
    return out, h, acts


@kernel("gru_gradient")
def gru_gradient(
    g: Any, g_last: Any, state: Any, weight: Any, out: Any, acts: Any,
    batch_sizes: tuple[int, ...], reverse: bool,
) -> Any:  # fmt: skip
    """Back through time, cells first."""
    if not _is_fit(acts, g, g_last, state, weight, out):
        return None
    cupy, width, matmul = sys.modules["cupy"], state.shape[1], _matmul()
    acts, g = contiguous(acts), None if g is None else contiguous(g)
    times = _times(batch_sizes, reverse)
    before = _before(out, state, times)
    total, product = (empty((len(out), 3 * width), out.dtype) for _ in range(2))
    dh = _started(g_last, state, state.dtype)
    for start, count in reversed(times):
        rows = slice(start, start + count)
        more = None if g is None else g[rows]
        _launched(
            GRU_GRADIENT, width, count, dh, more, acts[rows], before[rows], total[rows],
            product[rows],
        )  # fmt: skip
        found = products.product_sum(cupy, dh[:count], product[rows], weight)
        if found is None:
            found = dh[:count] + matmul(product[rows], weight)
        dh = _carried(dh, found)
    by_bias = reduced("SumOf", product, (0,), product.dtype)
    return total, dh, matmul(product.T, before), by_bias
