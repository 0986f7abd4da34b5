"""Softmax and log-softmax along the last dimension, their gradients, and cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

from .language import Position, Value
from .rows import Passes, Row, RowLoop


def _softmax(p: Passes, index: Value, x: Row, out: Row) -> None:
    top = p.max(lambda at: x[at])

    def exponential(at: Position) -> Value:
        out[at] = value = p.m.exp(x[at] - top)
        return value

    share = 1 / p.sum(exponential)
    p.map(out, lambda at: out[at] * share)


def _log_softmax(p: Passes, index: Value, x: Row, out: Row) -> None:
    top = p.max(lambda at: x[at])
    total = p.m.log(p.sum(lambda at: p.m.exp(x[at] - top)))
    p.map(out, lambda at: x[at] - top - total, is_last=True)


def _softmax_gradient(p: Passes, index: Value, g: Row, y: Row, out: Row) -> None:
    along = p.sum(lambda at: g[at] * y[at])
    p.map(out, lambda at: y[at] * (g[at] - along), is_last=True)


def _log_softmax_gradient(p: Passes, index: Value, g: Row, y: Row, out: Row) -> None:
    total = p.sum(lambda at: g[at])
    p.map(out, lambda at: g[at] - p.m.exp(y[at]) * total, is_last=True)


def _cross_entropy(p: Passes, index: Value, x: Row, target: Row, loss: Row, out: Row) -> None:
    top = p.max(lambda at: x[at])

    def exponential(at: Position) -> Value:
        out[at] = value = p.m.exp(x[at] - top)
        return value

    total = p.sum(exponential)
    share = 1 / total
    picked = x.element(target.element(p.zero)) - top
    loss.set_element(p.zero, p.m.log(total) - picked)
    p.map(out, lambda at: out[at] * share)


def _by_logits(p: Passes, y: Row, target: Row, factor: Value, out: Row) -> None:
    p.map(out, lambda at: y[at] * factor)
    place = target.element(p.zero)
    out.set_element(place, (y.element(place) - 1) * factor)


def _cross_entropy_gradient(p: Passes, index: Value, y: Row, target: Row, g: Row, out: Row) -> None:
    _by_logits(p, y, target, g.element(p.zero), out)


def _mean_gradient(p: Passes, index: Value, y: Row, target: Row, out: Row, g: Value) -> None:
    _by_logits(p, y, target, g, out)


SOFTMAX = RowLoop(_softmax, "real", "real")
LOG_SOFTMAX = RowLoop(_log_softmax, "real", "real")
SOFTMAX_GRADIENT = RowLoop(_softmax_gradient, "real", "real", "real")
LOG_SOFTMAX_GRADIENT = RowLoop(_log_softmax_gradient, "real", "real", "real")
CROSS_ENTROPY = RowLoop(_cross_entropy, "real", "one int64", "one real", "real")
CROSS_ENTROPY_GRADIENT = RowLoop(_cross_entropy_gradient, "real", "one int64", "one real", "real")
MEAN_GRADIENT = RowLoop(_mean_gradient, "real", "one int64", "real", numbers=1)


def mapped(loop: RowLoop, *arrays: Any) -> Any:
    """The result of a loop whose last array it is, in the shape of the first one."""
    out = np.empty_like(arrays[0])
    columns = out.shape[-1]
    loop([*arrays, out], out.size // columns, columns)
    return out


def cross_entropy(x: Any, target: Any) -> tuple[Any, Any]:
    """The losses (n,) of logits (n, classes) and the probabilities (n, classes)."""
    losses, out = np.empty(len(x), x.dtype), np.empty_like(x)
    CROSS_ENTROPY([x, target, losses, out], *x.shape)
    return losses, out


def cross_entropy_gradient(probabilities: Any, target: Any, factors: Any) -> Any:
    """(probabilities - 1 at the target) * factors, those (n,)."""
    out = np.empty_like(probabilities)
    CROSS_ENTROPY_GRADIENT([probabilities, target, factors, out], *probabilities.shape)
    return out


def mean_gradient(probabilities: Any, target: Any, factor: float) -> Any:
    """`cross_entropy_gradient` with one factor for all rows."""
    out = np.empty_like(probabilities)
    MEAN_GRADIENT([probabilities, target, out], *probabilities.shape, factor)
    return out
