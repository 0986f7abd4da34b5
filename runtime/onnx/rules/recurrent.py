"""Recurrent layers: one ONNX operator for each layer and direction."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import fx
from ..builder import Builder, OnnxExporterError, Value
from .quantized import by_codes
from .registry import rule


def _times(b: Builder, batch_sizes: Any) -> tuple[Any, Any]:
    """The number of steps and of sequences."""
    if isinstance(batch_sizes, tuple) and len(set(batch_sizes)) == 1:
        return len(batch_sizes), batch_sizes[0]
    made = b.node.kwargs["batch_sizes"]
    if isinstance(made, fx.Node) and made.target is operator.mul:
        (batch,), steps = made.args
        known = [b.values[n] if isinstance(n, fx.Node) else n for n in (steps, batch)]
        return known[0], known[1]
    raise OnnxExporterError(
        "ONNX: sequences of several lengths, as packed ones, cannot be exported. Pad them, and "
        "mask what is behind the end."
    )


def _input(b: Builder, gates: Value) -> tuple[Value, Any, Any]:
    """Input, weight and bias of the product that made the gates, which ONNX does itself."""
    node = b.node.args[0]
    name = getattr(node.meta.get("operation"), "name", "")
    if name == "linear" and len(node.users) == 1:
        x, weight, *bias = [None if a is None else b.values[a] for a in node.args]
        return x, weight, bias[0] if bias else None
    width = gates.size(-1)
    identity = b.constant(np.eye(width, dtype=gates.dtype.numpy))
    return gates, identity, None


def _reordered(b: Builder, x: Value | None, order: Sequence[int], rows: int) -> Value | None:
    """The blocks of gates along the first dimension, as ONNX orders them, with a direction."""
    if x is None:
        return None
    if list(order) != list(range(len(order))):
        parts = [b.slice(x, k * rows, (k + 1) * rows, 0) for k in order]
        if x.array is not None:
            found = np.concatenate([x.array[k * rows : (k + 1) * rows] for k in order])
            reordered = b.tensor(found, x.dtype, f"{x.name}.reordered")
        else:
            reordered = b.Concat(*parts, axis=0)
    else:
        reordered = x
    return b.unsqueeze(reordered, 0)


def _network(
    b: Builder, kind: str, gates: Value, states: list[Value], weight: Value, bias: Value | None,
    batch_sizes: Any, reverse: bool, order: Sequence[int], **options: Any,
) -> Any:  # fmt: skip
    steps, batch = _times(b, batch_sizes)
    x, w_in, b_in = _input(b, gates)
    width = weight.size(0) // len(order)
    columns = w_in.size(1)
    data = b.Reshape(x, b.ints([steps, batch, columns]))
    both = None
    if b_in is not None or bias is not None:
        zeros = b.constant(np.zeros(weight.size(0), gates.dtype.numpy))
        halves = [_reordered(b, h if h is not None else zeros, order, width) for h in (b_in, bias)]
        both = b.Concat(*halves, axis=1)
    weights = [_reordered(b, w, order, width) for w in (w_in, weight)]
    initial = [b.unsqueeze(s, 0) for s in states]
    count = 1 + len(states)
    out, *last = b.add(
        kind, data, *weights, both, None, *initial, outputs=count, hidden_size=width,
        direction="reverse" if reverse else "forward", **options,
    )  # fmt: skip
    rows = b.Reshape(out, b.ints([-1, width]))
    return rows, *[b.squeeze(s, 0) for s in last]


@rule("rnn_steps")
def rnn(
    b: Builder, gates: Value, state: Value, weight: Value, *, batch_sizes: Any, reverse: bool,
    nonlinearity: str,
) -> Any:  # fmt: skip
    """RNN."""
    kind = ["Tanh" if nonlinearity == "tanh" else "Relu"]
    return _network(
        b, "RNN", gates, [state], weight, None, batch_sizes, reverse, [0], activations=kind
    )


@rule("lstm_steps")
def lstm(
    b: Builder, gates: Value, state: Value, cell: Value, weight: Value,
    projection: Value | None = None, *, batch_sizes: Any, reverse: bool,
) -> Any:  # fmt: skip
    """LSTM: the gates i, f, g, o are i, o, f, c there."""
    if projection is not None:
        raise OnnxExporterError("ONNX: an LSTM with proj_size cannot be exported: ONNX has none.")
    out, h, c = _network(
        b, "LSTM", gates, [state, cell], weight, None, batch_sizes, reverse, [0, 3, 1, 2]
    )
    return out, h, c, None, None


@rule("gru_steps")
def gru(
    b: Builder, gates: Value, state: Value, weight: Value, bias: Value | None = None, *,
    batch_sizes: Any, reverse: bool,
) -> Any:  # fmt: skip
    """GRU, with the reset gate applied after the product: the gates r, z, n are z, r, h there."""
    out, h = _network(
        b, "GRU", gates, [state], weight, bias, batch_sizes, reverse, [1, 0, 2],
        linear_before_reset=1,
    )  # fmt: skip
    return out, h, None


@rule("int8_lstm_steps")
def int8_lstm(
    b: Builder, gates: Value, state: Value, cell: Value, weight: Value, scale: Value,
    bias: Value | None = None, *, batch_sizes: Any, reverse: bool,
) -> Any:  # fmt: skip
    """LSTM with a weight that stays int8 in the file."""
    wide = by_codes(b, weight, scale)
    states = [state, cell]
    return _network(b, "LSTM", gates, states, wide, bias, batch_sizes, reverse, [0, 3, 1, 2])


@rule("int8_gru_steps")
def int8_gru(
    b: Builder, gates: Value, state: Value, weight: Value, scale: Value, bias: Value | None = None,
    *, batch_sizes: Any, reverse: bool,
) -> Any:  # fmt: skip
    """GRU likewise."""
    wide = by_codes(b, weight, scale)
    return _network(
        b, "GRU", gates, [state], wide, bias, batch_sizes, reverse, [1, 0, 2],
        linear_before_reset=1,
    )  # fmt: skip
