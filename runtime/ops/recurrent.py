"""Recurrent steps: one layer in one direction over all times, as one operation.

Sequences lie packed, time after time: `batch_sizes[t]` rows at time t, for the sequences, sorted by
falling length, that still last. Each operation has a loop of small operations as its body and a
fused kernel beside it. Gates come with the input's part already in them, so that this part is one
product for all times; only the state's part is added step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..autograd.engine import grad
from ..autograd.record import TAPE
from ..backends.cpu.onednn.products import numpy_with_products
from .copies import clone
from .declare import Spec, composite, kernel, primitive
from .shapes import Shape

# -- time ------------------------------------------------------------------------------------------


def times_of(batch_sizes: Shape, reverse: bool) -> list[tuple[int, int]]:
    """First row and number of rows of each time, in the order of the walk."""
    found, start = [], 0
    for count in batch_sizes:
        found.append((start, count))
        start += count
    return found[::-1] if reverse else found


def _walk(
    F: Any, gates: Any, states: list[Any], times: list[tuple[int, int]], step: Callable[..., Any]
) -> tuple[list[Any], list[Any]]:
    """`step(gates, *states)` gives values to keep and new states; over all times the kept values in
    the order of memory, and the last states. The loop of the bodies."""
    kept = []
    for start, count in times:
        rows = F.narrow(gates, dim=0, start=start, length=count)
        whole = states[0].shape[0]
        now = [F.narrow(s, dim=0, start=0, length=count) if count < whole else s for s in states]
        values, new = step(rows, *now)
        if count < whole:
            rest = [F.narrow(s, dim=0, start=count, length=whole - count) for s in states]
            new = [F.cat([a, b], dim=0) for a, b in zip(new, rest, strict=True)]
        kept.append((start, values))
        states = new
    kept.sort(key=lambda pair: pair[0])
    joined = [F.cat([v[k] for _, v in kept], dim=0) for k in range(len(kept[0][1]))]
    return joined, states


def _by_body(steps: Any, inputs: tuple[Any, ...], g: Any, needs: Any, how: Any) -> list[Any]:
    """The inputs' gradients by the recorded body, which can be differentiated again."""
    # Clones, as one input may come from another, and gradients must end at each.
    apart = [clone(x) if need else x for x, need in zip(inputs, needs, strict=True)]
    results = steps.operation.body(TAPE, *apart, **how)
    outs, weights = zip(*[p for p in zip(results, g, strict=True) if p[1] is not None], strict=True)
    wanted = [x for x, need in zip(apart, needs, strict=True) if need]
    found = iter(grad(outs, wanted, weights, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in needs]


def _previous(xp: Any, out: Any, first: Any, times: list[tuple[int, int]]) -> Any:
    """The state before each row of `out`."""
    before = xp.empty_like(out)
    state = first.copy()
    for start, count in times:
        rows = slice(start, start + count)
        before[rows] = state[:count]
        state[:count] = out[rows]
    return before


def _sigmoid(xp: Any, x: Any) -> Any:
    """In place, by tanh, which overflows nowhere."""
    x *= 0.5
    xp.tanh(x, out=x)
    x *= 0.5
    x += 0.5
    return x


def _quarters(F: Any, gates: Any, count: int) -> list[Any]:
    """`count` equal parts of the columns."""
    width = gates.shape[-1] // count
    return [F.narrow(gates, dim=-1, start=k * width, length=width) for k in range(count)]


def started(g: Any, like: Any, xp: Any) -> Any:
    """A copy of the gradient g of a last state; zeros where there is none."""
    return xp.zeros_like(like) if g is None else g.copy()


# -- plain -----------------------------------------------------------------------------------------


@composite(node_name="Rnn")
def rnn_steps(
    F: Any,
    gates: Spec,
    state: Spec,
    weight: Spec,
    *,
    batch_sizes: Shape,
    reverse: bool,
    nonlinearity: str,
) -> tuple[Spec, Spec]:
    """h = tanh or relu of (gates + h @ weight.mT) at each time: all h (rows, H), the last (B, H).

    `gates` (rows, H), `state` (B, H), `weight` (H, H). Source: Elman 1990,
    doi:10.1207/s15516709cog1402_1.
    """
    turned = F.transpose(weight, dim0=0, dim1=1)

    def step(rows: Any, h: Any) -> Any:
        total = F.plus(rows, F.matmul(h, turned))
        new = F.tanh(total) if nonlinearity == "tanh" else F.relu(total)
        return [new], [new]

    kept, last = _walk(F, gates, [state], times_of(batch_sizes, reverse), step)
    return kept[0], last[0]


@rnn_steps.array
def rnn_array(
    xp: Any, gates: Any, state: Any, weight: Any, batch_sizes: Shape, reverse: bool,
    nonlinearity: str,
) -> tuple[Any, Any]:  # fmt: skip
    """Each step written into the output's rows."""
    out, last, turned = xp.empty_like(gates), state.copy(), weight.T
    for start, count in times_of(batch_sizes, reverse):
        rows = slice(start, start + count)
        total = xp.matmul(last[:count], turned)
        total += gates[rows]
        out[rows] = xp.tanh(total) if nonlinearity == "tanh" else xp.maximum(total, 0)
        last[:count] = out[rows]
    return out, last


@rnn_steps.vjp(saves="gates state weight out", static="nonlinearity")
def rnn_vjp(
    F: Any, g: Any, needs: Any, gates: Any, state: Any, weight: Any, out: Any, batch_sizes: Any,
    reverse: Any, nonlinearity: Any,
) -> Any:  # fmt: skip
    """By `rnn_gradient`; derivatives of it by the body's."""
    how = {"batch_sizes": batch_sizes, "reverse": reverse, "nonlinearity": nonlinearity}
    if F is TAPE:
        return _by_body(rnn_steps, (gates, state, weight), g, needs, how)
    return F.rnn_gradient(g[0], g[1], state, weight, out[0], **how)


@primitive
def rnn_gradient(
    g: Spec | None, g_last: Spec | None, state: Spec, weight: Spec, out: Spec, *,
    batch_sizes: Shape, reverse: bool, nonlinearity: str,
) -> tuple[Spec, Spec, Spec]:  # fmt: skip
    """Gradients of gates, state and weight."""
    return tuple(Spec(x.shape, x.dtype) for x in (out, state, weight))  # type: ignore[return-value]


@rnn_gradient.array
def rnn_gradient_array(
    xp: Any, g: Any, g_last: Any, state: Any, weight: Any, out: Any, batch_sizes: Shape,
    reverse: bool, nonlinearity: str,
) -> Any:  # fmt: skip
    """Back through time; the weight's gradient is one product at the end."""
    times = times_of(batch_sizes, reverse)
    total = 1 - out * out if nonlinearity == "tanh" else (out > 0).astype(out.dtype)
    carry = started(g_last, state, xp)
    for start, count in reversed(times):
        rows, now = slice(start, start + count), carry[:count]
        if g is not None:
            now += g[rows]
        total[rows] *= now
        carry[:count] = xp.matmul(total[rows], weight)
    return total, carry, xp.matmul(total.T, _previous(xp, out, state, times))


# -- long short-term memory ------------------------------------------------------------------------


@composite(node_name="Lstm")
def lstm_steps(
    F: Any,
    gates: Spec,
    state: Spec,
    cell: Spec,
    weight: Spec,
    projection: Spec | None = None,
    *,
    batch_sizes: Shape,
    reverse: bool,
) -> tuple[Spec, Spec, Spec, Spec, Spec]:
    """i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (gates + h @ weight.mT); c = f * c + i * g;
    h = o * tanh(c), times projection.mT if there is one.

    `gates` (rows, 4 H), `state` (B, P), `cell` (B, H), `weight` (4 H, P), `projection` (P, H).
    Returns all h (rows, P), the last h and c, and what the gradient reads: all c (rows, H) and
    i, f, g, o (rows, 4 H). Source: Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735,
    with forget gates; projections: arXiv:1402.1128.
    """
    turned = F.transpose(weight, dim0=0, dim1=1)
    narrowed = None if projection is None else F.transpose(projection, dim0=0, dim1=1)

    def step(rows: Any, h: Any, c: Any) -> Any:
        i, f, g, o = _quarters(F, F.plus(rows, F.matmul(h, turned)), 4)
        i, f, g, o = F.sigmoid(i), F.sigmoid(f), F.tanh(g), F.sigmoid(o)
        c = F.plus(F.mul(f, c), F.mul(i, g))
        h = F.mul(o, F.tanh(c))
        h = h if narrowed is None else F.matmul(h, narrowed)
        return [h, c, F.cat([i, f, g, o], dim=-1)], [h, c]

    kept, last = _walk(F, gates, [state, cell], times_of(batch_sizes, reverse), step)
    return kept[0], last[0], last[1], kept[1], kept[2]


@lstm_steps.array
def lstm_array(
    xp: Any, gates: Any, state: Any, cell: Any, weight: Any, projection: Any = None, *,
    batch_sizes: Shape, reverse: bool,
) -> Any:  # fmt: skip
    """The four gates as columns of one array."""
    width = cell.shape[1]
    out = xp.empty((len(gates), state.shape[1]), gates.dtype)
    cells = xp.empty((len(gates), width), gates.dtype)
    acts = xp.empty_like(gates)
    h, c, turned = state.copy(), cell.copy(), weight.T
    for start, count in times_of(batch_sizes, reverse):
        rows = slice(start, start + count)
        act = xp.matmul(h[:count], turned)
        act += gates[rows]
        _sigmoid(xp, act[:, : 2 * width])
        middle = act[:, 2 * width : 3 * width]
        xp.tanh(middle, out=middle)
        _sigmoid(xp, act[:, 3 * width :])
        new = act[:, width : 2 * width] * c[:count]
        new += act[:, :width] * middle
        hidden = act[:, 3 * width :] * xp.tanh(new)
        out[rows] = hidden if projection is None else xp.matmul(hidden, projection.T)
        acts[rows], cells[rows] = act, new
        h[:count], c[:count] = out[rows], new
    return out, h, c, cells, acts


@lstm_steps.vjp(saves="gates state cell weight projection out")
def lstm_vjp(
    F: Any, g: Any, needs: Any, gates: Any, state: Any, cell: Any, weight: Any, projection: Any,
    out: Any, batch_sizes: Any, reverse: Any,
) -> Any:  # fmt: skip
    """By `lstm_gradient`; derivatives of it by the body's."""
    how = {"batch_sizes": batch_sizes, "reverse": reverse}
    if F is TAPE:
        inputs = (gates, state, cell, weight, projection)
        return _by_body(lstm_steps, inputs, g, needs, how)
    steps = (state, cell, weight, projection, out[0], out[3], out[4])
    found = F.lstm_gradient(g[0], g[1], g[2], *steps, **how)
    return found if projection is not None else (*found[:4], None)


@primitive
def lstm_gradient(
    g: Spec | None, g_last: Spec | None, g_cell: Spec | None, state: Spec, cell: Spec,
    weight: Spec, projection: Spec | None, out: Spec, cells: Spec, acts: Spec, *,
    batch_sizes: Shape, reverse: bool,
) -> tuple[Spec, Spec, Spec, Spec, Spec]:  # fmt: skip
    """Gradients of gates, state, cell, weight and projection; an empty one without a projection."""
    shapes: list[Shape] = [tuple(x.shape) for x in (acts, state, cell, weight)]
    shapes.append((0,) if projection is None else tuple(projection.shape))
    return tuple(Spec(s, acts.dtype) for s in shapes)  # type: ignore[return-value]


@lstm_gradient.array
def lstm_gradient_array(
    xp: Any, g: Any, g_last: Any, g_cell: Any, state: Any, cell: Any, weight: Any,
    projection: Any, out: Any, cells: Any, acts: Any, batch_sizes: Shape, reverse: bool,
) -> Any:  # fmt: skip
    """Time after time, as the arrays of one time stay in cache."""
    width = cell.shape[1]
    times = times_of(batch_sizes, reverse)
    before = _previous(xp, cells, cell, times)
    total, arrived = xp.empty_like(acts), xp.empty_like(out)
    dh, dc = started(g_last, state, xp), started(g_cell, cell, xp)
    for start, count in reversed(times):
        rows = slice(start, start + count)
        now, inner, act = dh[:count], dc[:count], acts[rows]
        if g is not None:
            now += g[rows]
        arrived[rows] = now
        hidden = now if projection is None else xp.matmul(now, projection)
        i, f, m, o = (act[:, k * width : (k + 1) * width] for k in range(4))
        squashed = xp.tanh(cells[rows])
        inner += hidden * o * (1 - squashed * squashed)
        # How each gate's sum moves the cell, the output gate's how it moves the state.
        step = total[rows]
        xp.subtract(1, act, out=step)
        step *= act
        step[:, :width] *= m * inner
        step[:, width : 2 * width] *= before[rows] * inner
        step[:, 2 * width : 3 * width] = (1 - m * m) * i * inner
        step[:, 3 * width :] *= squashed * hidden
        inner *= f
        dh[:count] = xp.matmul(step, weight)
    d_weight = xp.matmul(total.T, _previous(xp, out, state, times))
    if projection is None:
        return total, dh, dc, d_weight, xp.zeros((0,), acts.dtype)
    shown = acts[:, 3 * width :] * xp.tanh(cells)
    return total, dh, dc, d_weight, xp.matmul(arrived.T, shown)


@composite(node_name="Gru")
def gru_steps(
    F: Any,
    gates: Spec,
    state: Spec,
    weight: Spec,
    bias: Spec | None = None,
    *,
    batch_sizes: Shape,
    reverse: bool,
) -> tuple[Spec, Spec, Spec]:
    """r, z = sigmoid of their gates + (h @ weight.mT + bias); n = tanh(gate + r * (the same));
    h = (1 - z) * n + z * h.

    `gates` (rows, 3 H), `state` (B, H), `weight` (3 H, H), `bias` (3 H,). Returns all h (rows, H),
    the last (B, H), and r, z, n and the state's part of n (rows, 4 H), which the gradient reads.
    Source: arXiv:1406.1078, with r applied after the product.
    """
    turned = F.transpose(weight, dim0=0, dim1=1)

    def step(rows: Any, h: Any) -> Any:
        product = F.matmul(h, turned)
        product = product if bias is None else F.plus(product, bias)
        (a, b, c), (d, e, q) = _quarters(F, rows, 3), _quarters(F, product, 3)
        r, z = F.sigmoid(F.plus(a, d)), F.sigmoid(F.plus(b, e))
        n = F.tanh(F.plus(c, F.mul(r, q)))
        new = F.plus(n, F.mul(z, F.minus(h, n)))
        return [new, F.cat([r, z, n, q], dim=-1)], [new]

    kept, last = _walk(F, gates, [state], times_of(batch_sizes, reverse), step)
    return kept[0], last[0], kept[1]


@gru_steps.array
def gru_array(
    xp: Any, gates: Any, state: Any, weight: Any, bias: Any = None, *, batch_sizes: Shape,
    reverse: bool,
) -> Any:  # fmt: skip
    """The gates as columns of one array."""
    width = state.shape[1]
    out = xp.empty((len(gates), width), gates.dtype)
    acts = xp.empty((len(gates), 4 * width), gates.dtype)
    h, turned = state.copy(), weight.T
    for start, count in times_of(batch_sizes, reverse):
        rows = slice(start, start + count)
        act = acts[rows]
        product = xp.matmul(h[:count], turned)
        if bias is not None:
            product += bias
        act[:, : 2 * width] = product[:, : 2 * width] + gates[rows, : 2 * width]
        _sigmoid(xp, act[:, : 2 * width])
        act[:, 3 * width :] = product[:, 2 * width :]
        new = act[:, :width] * act[:, 3 * width :]
        new += gates[rows, 2 * width :]
        n = act[:, 2 * width : 3 * width]
        xp.tanh(new, out=n)
        out[rows] = n + act[:, width : 2 * width] * (h[:count] - n)
        h[:count] = out[rows]
    return out, h, acts


@gru_steps.vjp(saves="gates state weight bias out")
def gru_vjp(
    F: Any, g: Any, needs: Any, gates: Any, state: Any, weight: Any, bias: Any, out: Any,
    batch_sizes: Any, reverse: Any,
) -> Any:  # fmt: skip
    """By `gru_gradient`; derivatives of it by the body's."""
    how = {"batch_sizes": batch_sizes, "reverse": reverse}
    if F is TAPE:
        return _by_body(gru_steps, (gates, state, weight, bias), g, needs, how)
    found = F.gru_gradient(g[0], g[1], state, weight, out[0], out[2], **how)
    return found if bias is not None else (*found[:3], None)


@primitive
def gru_gradient(
    g: Spec | None, g_last: Spec | None, state: Spec, weight: Spec, out: Spec, acts: Spec, *,
    batch_sizes: Shape, reverse: bool,
) -> tuple[Spec, Spec, Spec, Spec]:  # fmt: skip
    """Gradients of gates, state, weight and bias."""
    rows, width = out.shape
    shapes = [(rows, 3 * width), state.shape, weight.shape, (3 * width,)]
    return tuple(Spec(s, out.dtype) for s in shapes)  # type: ignore[return-value]


@gru_gradient.array
def gru_gradient_array(
    xp: Any, g: Any, g_last: Any, state: Any, weight: Any, out: Any, acts: Any,
    batch_sizes: Shape, reverse: bool,
) -> Any:  # fmt: skip
    """What does not depend on later times is computed for all times at once."""
    width = state.shape[1]
    times = times_of(batch_sizes, reverse)
    r, z, n, q = (acts[:, k * width : (k + 1) * width] for k in range(4))
    before = _previous(xp, out, state, times)
    total = xp.empty((len(out), 3 * width), out.dtype)  # of the sums of each gate
    total[:, width : 2 * width] = (before - n) * z * (1 - z)
    total[:, 2 * width :] = (1 - z) * (1 - n * n)
    total[:, :width] = total[:, 2 * width :] * q * r * (1 - r)
    product = total.copy()  # of the state's product
    product[:, 2 * width :] *= r
    dh = started(g_last, state, xp)
    for start, count in reversed(times):
        rows, now = slice(start, start + count), dh[:count]
        if g is not None:
            now += g[rows]
        for sums in (total, product):
            step = sums[rows].reshape(count, 3, width)
            step *= now[:, None]
        dh[:count] = now * z[rows] + xp.matmul(product[rows], weight)
    return total, dh, xp.matmul(product.T, before), product.sum(0)


for steps in (rnn_steps, rnn_gradient, lstm_steps, lstm_gradient, gru_steps, gru_gradient):
    kernel(steps, "cpu")(partial(steps.operation.array, numpy_with_products))
