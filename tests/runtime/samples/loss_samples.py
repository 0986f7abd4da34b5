"""Samples of losses of sequences, bags of embeddings and dropout's kernels."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

import flambeau as torch
import flambeau.nn.functional as F

from .kit import Sample, array, integers


def collapsed(path: Any, blank: int) -> list[int]:
    """The labels of a path: runs taken once, blanks left out."""
    return [label for label, _ in itertools.groupby(path) if label != blank]


def ctc(logits: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0) -> Any:
    """Minus the logarithm of the summed probabilities of all paths that collapse to the target."""
    probabilities = scipy.special.softmax(logits, 2)
    _, count, classes = logits.shape
    losses = []
    for n in range(count):
        wanted = list(targets[n, : target_lengths[n]])
        total = sum(
            np.prod([probabilities[t, n, c] for t, c in enumerate(path)])
            for path in itertools.product(range(classes), repeat=input_lengths[n])
            if collapsed(path, blank) == wanted
        )
        losses.append(-np.log(total))
    return np.array(losses)


def bags(weight: Any, indices: Any, offsets: Any, mode: str, padding_idx: Any = None) -> Any:
    """Each bag's rows reduced."""
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    parts = np.split(indices, offsets[1:])
    kept = [part if padding_idx is None else part[part != padding_idx] for part in parts]
    return np.stack(
        [reduce(weight[k], axis=0) if k.size else np.zeros(weight.shape[1]) for k in kept]
    )


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ctc_of_logits": lambda x, t, **how: F.ctc_loss(x.log_softmax(2), t, reduction="none", **how),
    "bag_of_rows": lambda w, i, o, **how: F.embedding_bag(i, w, o, **how),
    "weighted_bag": lambda w, i, o, p: F.embedding_bag(i, w, o, mode="sum", per_sample_weights=p),
    "bag_of_matrix": lambda w, i, mode: F.embedding_bag(i, w, mode=mode),
    "softmax_gradient": lambda g, out: torch._softmax_backward_data(g, out, 1, g.dtype),
    "log_softmax_gradient": lambda g, out: torch._log_softmax_backward_data(g, out, 1, g.dtype),
    "padded_rows": lambda w, i: F.embedding(i, w, 2),
}

_LABELS = np.array([[1, 2], [2, 2], [1, 0]])
_LENGTHS = {"input_lengths": (4, 4, 3), "target_lengths": (2, 2, 1)}
_INDICES, _OFFSETS = integers(7, high=4), np.array([0, 3, 3, 5])

SAMPLES: dict[str, list[Sample]] = {
    "ctc_of_logits": [
        Sample((array(4, 3, 3), _LABELS), _LENGTHS, ctc, second_order=False),
        Sample(
            (array(4, 3, 3), _LABELS[:, ::-1] % 2),
            {**_LENGTHS, "target_lengths": (1, 0, 1), "blank": 2},
            ctc,
            second_order=False,
        ),
    ],
    "relative_entropy": [
        Sample(
            (array(2, 3), array(2, 3, seed=1)),
            {},
            lambda p, q: scipy.special.rel_entr(np.exp(p), np.exp(q)),
        )
    ],
    "bag_of_rows": [
        *(
            Sample((array(4, 3), _INDICES, _OFFSETS), {"mode": mode}, bags)
            for mode in ("sum", "mean", "max")
        ),
        *(
            Sample((array(4, 3), _INDICES, _OFFSETS), {"mode": mode, "padding_idx": 3}, bags)
            for mode in ("sum", "mean", "max")
        ),
    ],
    "weighted_bag": [
        Sample(
            (array(4, 3), _INDICES, _OFFSETS, array(7)),
            {},
            lambda w, i, o, p: bags(w[i] * p[:, None], np.arange(7), o, "sum"),
        )
    ],
    "bag_of_matrix": [
        Sample(
            (array(4, 3), integers(2, 5, high=4), mode),
            {},
            lambda w, i, m: getattr(w[i], m)(1),
        )
        for mode in ("sum", "mean", "max")
    ],
    "bag_numbers": [
        Sample((_OFFSETS,), {"count": 7}, lambda o, count: np.array([0, 0, 0, 2, 2, 3, 3]), False)
    ],
    "padded_rows": [Sample((array(4, 3), integers(6, high=2)), {}, lambda w, i: w[i])],
    "masked_scaled": [
        Sample(
            (array(2, 3), np.array([[True, False, True], [False, True, True]])),
            {"scale": 2.0},
            lambda x, m, scale: x * m * scale,
        )
    ],
    "native_dropout_backward": [
        Sample((array(3), np.array([True, False, True]), 2.0), {}, lambda x, m, s: x * m * s)
    ],
    "softmax_gradient": [
        Sample(
            (array(2, 3), array(2, 3, seed=1)),
            {},
            lambda g, out: out * (g - (g * out).sum(1, keepdims=True)),
        )
    ],
    "log_softmax_gradient": [
        Sample(
            (array(2, 3), array(2, 3, seed=1)),
            {},
            lambda g, out: g - np.exp(out) * g.sum(1, keepdims=True),
        )
    ],
    "linear_cross_entropy": [
        Sample(
            (array(4, 3), array(5, 3), integers(4)),
            {"reduction": "sum"},
            lambda x, w, t, reduction: -scipy.special.log_softmax(x @ w.T, 1)[range(4), t].sum(),
        )
    ],
}
