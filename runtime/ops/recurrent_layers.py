"""Recurrent networks of several layers and directions, and single steps, as functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..core.tensor import Tensor
from ..errors import ShapeError
from .dropout import dropout as dropped
from .joins import cat, stack, unbind
from .linalg import linear
from .recurrent import gru_steps, lstm_steps, rnn_steps
from .shapes import Shape

__all__ = [
    "gru",
    "gru_cell",
    "lstm",
    "lstm_cell",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
]

Step = Callable[..., tuple[Tensor, list[Tensor]]]
"""(data, states, parameters, batch_sizes, reverse) -> all outputs, last states."""


# -- one layer in one direction --------------------------------------------------------------------


def _biased(data: Tensor, w_ih: Tensor, biases: Sequence[Tensor | None]) -> Tensor:
    """The input's part of the gates, with both biases."""
    b_ih, b_hh = biases if biases else (None, None)
    return linear(data, w_ih, b_ih + b_hh if b_ih is not None and b_hh is not None else b_ih)


def _rnn(nonlinearity: str) -> Step:
    def walk(data: Tensor, states: Any, parameters: Any, **times: Any) -> Any:
        w_ih, w_hh, *biases = parameters
        gates = _biased(data, w_ih, biases)
        out, last = rnn_steps(gates, states[0], w_hh, nonlinearity=nonlinearity, **times)
        return out, [last]

    return walk


def _lstm(data: Tensor, states: Any, parameters: Any, **times: Any) -> Any:
    w_ih, w_hh, *rest = parameters
    biases, projection = (rest[:2], rest[2:]) if len(rest) > 1 else ([], rest)
    gates = _biased(data, w_ih, biases)
    out, h, c, _, _ = lstm_steps(gates, *states, w_hh, *projection, **times)
    return out, [h, c]


def _gru(data: Tensor, states: Any, parameters: Any, **times: Any) -> Any:
    w_ih, w_hh, *biases = parameters
    b_ih, b_hh = biases if biases else (None, None)
    out, h, _ = gru_steps(linear(data, w_ih, b_ih), states[0], w_hh, b_hh, **times)
    return out, [h]


# -- layers ----------------------------------------------------------------------------------------


def _layers(
    step: Step,
    data: Tensor,
    batch_sizes: Shape,
    states: list[list[Tensor]],
    parameters: Iterator[list[Tensor]],
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> tuple[Tensor, list[Tensor]]:
    """The last layer's outputs, packed, and the last states, layers and directions stacked."""
    last = []
    directions = (False, True) if bidirectional else (False,)
    numbered = iter(zip(*states, strict=True))
    for layer in range(num_layers):
        if layer and train and dropout > 0:
            data = dropped(data, dropout, True)
        outs = []
        for reverse in directions:
            times = {"batch_sizes": batch_sizes, "reverse": reverse}
            out, found = step(data, next(numbered), next(parameters), **times)
            outs.append(out)
            last.append(found)
        data = cat(outs, -1) if bidirectional else outs[0]
    return data, [stack(list(kind), 0) for kind in zip(*last, strict=True)]


def _grouped(params: Sequence[Tensor], each: int) -> Iterator[list[Tensor]]:
    return (list(params[k : k + each]) for k in range(0, len(params), each))


def _network(
    step: Step, name: str, input: Tensor, args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[Tensor, ...]:
    """Both forms of PyTorch's functions: (hx, params, ..., batch_first) for (T, B, I), and
    (batch_sizes, hx, params, ...) for packed rows."""
    # The third of the packed form is the list of parameters, that of the other has_biases.
    packed = len(args) > 2 and isinstance(args[2], list | tuple)
    names = ["hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional"]
    names = ["batch_sizes", *names] if packed else [*names, "batch_first"]
    given = {**dict(zip(names, args, strict=False)), **options}
    states = list(given["hx"]) if name == "lstm" else [given["hx"]]
    params, layers = list(given["params"]), given["num_layers"]
    count = layers * (2 if given["bidirectional"] else 1)
    if not params or len(params) % count:
        raise ShapeError(
            f"{name}: expected the same number of parameters for each of {count} layers and "
            f"directions. Got {len(params)}."
        )
    first = given.get("batch_first", False)
    if packed:
        sizes, data = tuple(given["batch_sizes"].tolist()), input
    else:
        steps = input.transpose(0, 1) if first else input
        sizes = (steps.shape[1],) * steps.shape[0]
        data = steps.reshape(-1, steps.shape[2])
    if not sizes:
        raise ShapeError(f"{name}: expected at least one time. Got input {tuple(input.shape)}.")
    out, last = _layers(
        step, data, sizes, [list(unbind(s, 0)) for s in states],
        _grouped(params, len(params) // count), layers, given["dropout"], given["train"],
        given["bidirectional"],
    )  # fmt: skip
    if not packed:
        out = out.reshape(len(sizes), sizes[0], out.shape[-1])
        out = out.transpose(0, 1) if first else out
    return (out, *last)


def lstm(input: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
    """(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first), or
    (data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional) for
    packed rows: the outputs, and the last h and c.

    input (T, B, I), or (B, T, I) if `batch_first`; hx is h (layers, B, P) and c (layers, B, H);
    params are for each layer and direction w_ih, w_hh, b_ih and b_hh if `has_biases`, and a
    projection if there is one. See `nn.LSTM`.
    """
    is_packed = bool(args) and isinstance(args[0], Tensor)
    return (packed_lstm if is_packed else padded_lstm)(input, *args, **options)


def padded_lstm(input: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
    """`lstm` of sequences of one length, which autocast runs in its dtype."""
    return _network(_lstm, "lstm", input, args, options)  # type: ignore[return-value]


def packed_lstm(data: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
    """`lstm` of packed rows, which autocast leaves alone on the CPU."""
    return _network(_lstm, "lstm", data, args, options)  # type: ignore[return-value]


def gru(input: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """Like `lstm`, with one state h (layers, B, H): the outputs, and the last h. See `nn.GRU`."""
    return _network(_gru, "gru", input, args, options)  # type: ignore[return-value]


def rnn_tanh(input: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """Like `gru`, of plain steps. See `nn.RNN`."""
    return _network(_rnn("tanh"), "rnn_tanh", input, args, options)  # type: ignore[return-value]


def rnn_relu(input: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """`rnn_tanh` with relu."""
    return _network(_rnn("relu"), "rnn_relu", input, args, options)  # type: ignore[return-value]


# -- single steps ----------------------------------------------------------------------------------


def _cell(
    step: Step, name: str, input: Tensor, states: list[Tensor], w_ih: Tensor, w_hh: Tensor,
    b_ih: Any, b_hh: Any,
) -> list[Tensor]:  # fmt: skip
    if input.ndim not in (1, 2) or any(s.ndim != input.ndim for s in states):
        raise ShapeError(
            f"{name}: expected input (B, I) or (I,) and states of as many dimensions. Got "
            f"{tuple(input.shape)} and {', '.join(str(tuple(s.shape)) for s in states)}."
        )
    rows = [x.unsqueeze(0) if input.ndim == 1 else x for x in (input, *states)]
    sizes = [(r.shape[0], r.shape[1]) for r in rows]
    wanted = (w_ih.shape[1], *(w_hh.shape[1] for _ in states))
    if any(s != (sizes[0][0], n) for s, n in zip(sizes, wanted, strict=True)):
        raise ShapeError(
            f"{name}: expected input (B, {wanted[0]}) and states (B, {wanted[1]}), as w_ih is "
            f"{tuple(w_ih.shape)} and w_hh {tuple(w_hh.shape)}. Got {tuple(input.shape)} and "
            f"{', '.join(str(tuple(s.shape)) for s in states)}."
        )
    biases = [] if b_ih is None else [b_ih, b_hh]
    times = {"batch_sizes": (rows[0].shape[0],), "reverse": False}
    _, last = step(rows[0], rows[1:], [w_ih, w_hh, *biases], **times)
    return [x.squeeze(0) for x in last] if input.ndim == 1 else last


def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One step of `lstm`: input (B, I), hx = (h, c), each (B, H) -> the next h and c.

    Raises: RuntimeError for shapes that do not fit.
    """
    return tuple(_cell(_lstm, "lstm_cell", input, list(hx), w_ih, w_hh, b_ih, b_hh))  # type: ignore[return-value]


def gru_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """One step of `gru`: input (B, I), hx (B, H) -> (B, H). Raises: RuntimeError for shapes that do
    not fit."""
    return _cell(_gru, "gru_cell", input, [hx], w_ih, w_hh, b_ih, b_hh)[0]


def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """One step of `rnn_tanh`: input (B, I), hx (B, H) -> (B, H). Raises: RuntimeError for shapes
    that do not fit."""
    return _cell(_rnn("tanh"), "rnn_tanh_cell", input, [hx], w_ih, w_hh, b_ih, b_hh)[0]


def rnn_relu_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """`rnn_tanh_cell` with relu."""
    return _cell(_rnn("relu"), "rnn_relu_cell", input, [hx], w_ih, w_hh, b_ih, b_hh)[0]
