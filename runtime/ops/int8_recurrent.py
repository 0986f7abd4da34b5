"""Recurrent steps by 8-bit codes of the state's weight: one layer in one direction over all times.

As in `ops.recurrent`, sequences lie packed and gates come with the input's part in them. At each
time the state is quantized by its own range, as `ao.nn.quantized.dynamic` has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends.cpu import loops
from ..backends.cpu.onednn import int8
from ..core import dtypes
from .declare import Index, Spec, kernel, primitive
from .int8 import int8_linear_array, quantize_codes_array, range_parameters
from .recurrent import times_of
from .shapes import Shape

SINGLE = np.dtype(np.float32)
CODES = 0, 127
"""The codes of a state: 7 bits, as of all inputs that are quantized as they come."""


def _by_codes(
    xp: Any, linear: Callable[..., Any], weight: Any, scale: Any, bias: Any
) -> Callable[[Any, Any], None]:
    """What writes h @ weight.T + bias, for states h, into its second argument."""

    def product(h: Any, out: Any) -> None:
        step, zero_point = range_parameters(float(h.min()), float(h.max()), *CODES)
        codes = quantize_codes_array(xp, h, step, zero_point, dtypes.uint8)
        out[...] = linear(codes, weight, scale * SINGLE.type(step), bias, zero_point=zero_point)

    return product


def _parts(x: Any, count: int) -> list[Any]:
    """The columns of `x` as those of `count` gates."""
    width = x.shape[1] // count
    return [x[:, k * width : (k + 1) * width] for k in range(count)]


def _sigmoid(xp: Any, x: Any) -> Any:
    return 0.5 * xp.tanh(0.5 * x) + 0.5


# -- long short-term memory ------------------------------------------------------------------------


@primitive
def int8_lstm_steps(
    gates: Index,
    state: Index,
    cell: Index,
    weight: Index,
    scale: Index,
    bias: Index | None = None,
    *,
    batch_sizes: Shape,
    reverse: bool,
) -> tuple[Spec, Spec, Spec]:
    """`ops.recurrent.lstm_steps` with a weight of codes (4 H, H), int8, times scale (4 H,), and the
    bias (4 H,) of its products: all h (rows, H), and the last h and c (B, H). No gradient."""
    out = Spec((gates.shape[0], state.shape[1]), gates.dtype)
    return out, Spec(state.shape, gates.dtype), Spec(cell.shape, gates.dtype)


@int8_lstm_steps.array
def int8_lstm_array(
    xp: Any, gates: Any, state: Any, cell: Any, weight: Any, scale: Any, bias: Any = None, *,
    batch_sizes: Shape, reverse: bool,
) -> Any:  # fmt: skip
    """Time after time."""
    product = _by_codes(xp, _linear_on(xp), weight, scale, bias)
    h, c = state.astype(gates.dtype), cell.astype(gates.dtype)
    out = xp.empty((len(gates), h.shape[1]), gates.dtype)
    act = xp.empty((len(h), gates.shape[1]), gates.dtype)
    for start, count in times_of(batch_sizes, reverse):
        rows, now = slice(start, start + count), act[:count]
        product(h[:count], now)
        now += gates[rows]
        i, f, g, o = _parts(now, 4)
        c[:count] = _sigmoid(xp, f) * c[:count] + _sigmoid(xp, i) * xp.tanh(g)
        h[:count] = out[rows] = _sigmoid(xp, o) * xp.tanh(c[:count])
    return out, h, c


def _linear_on(xp: Any) -> Callable[..., Any]:
    def linear(*args: Any, **options: Any) -> Any:
        return int8_linear_array(xp, *args, **options)

    return linear


def _has_loops(state: Any, weight: Any, *others: Any) -> bool:
    """Whether products with the state are worth oneDNN's, and all arrays are of the types loops
    take."""
    is_single = all(x.dtype == SINGLE for x in (state, *others))
    is_large = state.size * len(weight) >= int8.LEAST
    return is_single and is_large and int8.library() is not None and loops.is_available()


@kernel(
    int8_lstm_steps, "cpu",
    when=lambda gates, state, cell, weight, *o, **how: _has_loops(state, weight, gates, cell),
)  # fmt: skip
def int8_lstm(
    gates: Any, state: Any, cell: Any, weight: Any, scale: Any, bias: Any = None, *,
    batch_sizes: Shape, reverse: bool,
) -> Any:  # fmt: skip
    """A time's cells in one pass after its product."""
    from ..backends.cpu.loops import recurrent

    product = _by_codes(np, int8.linear, weight, scale, bias)
    gates, times = np.ascontiguousarray(gates), times_of(batch_sizes, reverse)
    return recurrent.lstm(gates, state, cell, product, None, times)[:3]


# -- gated recurrent units -------------------------------------------------------------------------


@primitive
def int8_gru_steps(
    gates: Index,
    state: Index,
    weight: Index,
    scale: Index,
    bias: Index | None = None,
    *,
    batch_sizes: Shape,
    reverse: bool,
) -> tuple[Spec, Spec]:
    """`ops.recurrent.gru_steps` with a weight of codes (3 H, H), int8, times scale (3 H,), and the
    bias (3 H,) of its products: all h (rows, H), and the last h (B, H). No gradient."""
    out = Spec((gates.shape[0], state.shape[1]), gates.dtype)
    return out, Spec(state.shape, gates.dtype)


@int8_gru_steps.array
def int8_gru_array(
    xp: Any, gates: Any, state: Any, weight: Any, scale: Any, bias: Any = None, *,
    batch_sizes: Shape, reverse: bool,
) -> Any:  # fmt: skip
    """Time after time."""
    product = _by_codes(xp, _linear_on(xp), weight, scale, bias)
    h = state.astype(gates.dtype)
    out = xp.empty((len(gates), h.shape[1]), gates.dtype)
    part = xp.empty((len(h), gates.shape[1]), gates.dtype)
    for start, count in times_of(batch_sizes, reverse):
        rows = slice(start, start + count)
        product(h[:count], part[:count])
        (a, b, c), (d, e, f) = _parts(gates[rows], 3), _parts(part[:count], 3)
        n, z = xp.tanh(c + _sigmoid(xp, a + d) * f), _sigmoid(xp, b + e)
        h[:count] = out[rows] = n + z * (h[:count] - n)
    return out, h


@kernel(
    int8_gru_steps, "cpu",
    when=lambda gates, state, weight, *others, **how: _has_loops(state, weight, gates),
)  # fmt: skip
def int8_gru(
    gates: Any, state: Any, weight: Any, scale: Any, bias: Any = None, *, batch_sizes: Shape,
    reverse: bool,
) -> Any:  # fmt: skip
    """A time's cells in one pass after its product."""
    from ..backends.cpu.loops import recurrent

    product = _by_codes(np, int8.linear, weight, scale, bias)
    gates, times = np.ascontiguousarray(gates), times_of(batch_sizes, reverse)
    return recurrent.gru(gates, state, product, None, times)[:2]
