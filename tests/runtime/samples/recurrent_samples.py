"""Samples of recurrent steps, with references written as loops over times and sequences."""

# ruff: noqa: E501 - a table reads best with a sample a line

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from flambeau.ops import recurrent

from .kit import Sample, array

sigmoid = scipy.special.expit


def walked(gates: Any, states: Any, batch_sizes: Any, reverse: bool, step: Any) -> Any:
    """`step(gates, *states)` gives values and new states, for each row of each time by itself."""
    starts = np.concatenate([[0], np.cumsum(batch_sizes)])[:-1]
    kept: list[Any] = [None] * len(gates)
    states = [s.copy() for s in states]
    times = range(len(batch_sizes))
    for t in reversed(times) if reverse else times:
        for row in range(batch_sizes[t]):
            values, new = step(gates[starts[t] + row], *[s[row] for s in states])
            kept[starts[t] + row] = values
            for state, value in zip(states, new, strict=True):
                state[row] = value
    return [np.stack(column) for column in zip(*kept, strict=True)], states


def rnn(gates: Any, state: Any, weight: Any, *, nonlinearity: str, **times: Any) -> Any:
    def step(x: Any, h: Any) -> Any:
        total = x + weight @ h
        new = np.tanh(total) if nonlinearity == "tanh" else np.maximum(total, 0)
        return [new], [new]

    kept, last = walked(gates, [state], step=step, **times)
    return [*kept, *last]


def lstm(
    gates: Any, state: Any, cell: Any, weight: Any, projection: Any = None, **times: Any
) -> Any:
    def step(x: Any, h: Any, c: Any) -> Any:
        i, f, g, o = np.split(x + weight @ h, 4)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * np.tanh(c) if projection is None else projection @ (o * np.tanh(c))
        return [h, c, np.concatenate([i, f, g, o])], [h, c]

    kept, last = walked(gates, [state, cell], step=step, **times)
    return [kept[0], *last]


def gru(gates: Any, state: Any, weight: Any, bias: Any = 0.0, **times: Any) -> Any:
    def step(x: Any, h: Any) -> Any:
        (a, b, c), (d, e, q) = np.split(x, 3), np.split(weight @ h + bias, 3)
        r, z = sigmoid(a + d), sigmoid(b + e)
        n = np.tanh(c + r * q)
        h = (1 - z) * n + z * h
        return [h, np.concatenate([r, z, n, q])], [h]

    kept, last = walked(gates, [state], step=step, **times)
    return [kept[0], *last]


# Without what the steps give for their own gradient alone.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "lstm_results": lambda *args, **times: recurrent.lstm_steps(*args, **times)[:3],
    "gru_results": lambda *args, **times: recurrent.gru_steps(*args, **times)[:2],
}

TIMES = [
    {"batch_sizes": (2, 2, 2), "reverse": False},
    {"batch_sizes": (3, 2, 1), "reverse": False},
    {"batch_sizes": (3, 2, 1), "reverse": True},
]
ROWS, B, H, P = 6, 3, 2, 3

SAMPLES: dict[str, list[Sample]] = {
    "rnn_steps": [
        Sample((array(ROWS, H), array(max(t["batch_sizes"]), H), array(H, H)), {**t, "nonlinearity": name}, rnn)
        for t, name in zip(TIMES, ("tanh", "relu", "tanh"), strict=True)
    ],
    "lstm_results": [
        *(
            Sample(
                (array(ROWS, 4 * H), array(max(t["batch_sizes"]), H), array(max(t["batch_sizes"]), H, seed=1),
                 array(4 * H, H)),
                t, lstm,
            )
            for t in TIMES
        ),
        Sample((array(ROWS, 4 * H), array(B, P), array(B, H), array(4 * H, P), array(P, H)), TIMES[1], lstm),
        Sample((array(ROWS, 4 * H), array(B, P), array(B, H), array(4 * H, P), array(P, H)), TIMES[2], lstm),
    ],
    "gru_results": [
        *(
            Sample((array(ROWS, 3 * H), array(max(t["batch_sizes"]), H), array(3 * H, H), array(3 * H)), t, gru)
            for t in TIMES
        ),
        Sample((array(ROWS, 3 * H), array(B, H), array(3 * H, H)), TIMES[1], gru),
    ],
}  # fmt: skip
