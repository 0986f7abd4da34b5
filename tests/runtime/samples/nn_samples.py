"""Samples of the operations that networks are made of.

References are written from the definitions, with loops where the definition has sums.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from .kit import Sample, apart, array, integers

# -- references ------------------------------------------------------------------------------------


def _tuple(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def positions(sizes: Any) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, sizes))


def convolution(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """The sum of products, element by element."""
    rank = weight.ndim - 2
    stride, padding, dilation = (_tuple(v, rank) for v in (stride, padding, dilation))
    padded = np.pad(input, [(0, 0), (0, 0), *((p, p) for p in padding)])
    sizes = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(padded.shape[2:], weight.shape[2:], stride, dilation, strict=True)
    ]
    out = np.zeros((input.shape[0], weight.shape[0], *sizes))
    each = weight.shape[0] // groups
    for n, o in positions(out.shape[:2]):
        channels = slice(o // each * weight.shape[1], (o // each + 1) * weight.shape[1])
        for place in positions(sizes):
            window = tuple(
                slice(p * s, p * s + d * (k - 1) + 1, d)
                for p, s, d, k in zip(place, stride, dilation, weight.shape[2:], strict=True)
            )
            out[(n, o, *place)] = (padded[(n, channels, *window)] * weight[o]).sum()
    return out if bias is None else out + bias.reshape(-1, *[1] * rank)


def pooled(input: Any, kernel: Any, stride: Any, padding: Any, outside: float, reduce: Any) -> Any:
    """`reduce` of each window, `outside` standing around the input."""
    rank = input.ndim - 2
    kernel, padding = _tuple(kernel, rank), _tuple(padding, rank)
    stride = kernel if stride is None else _tuple(stride, rank)
    padded = np.pad(input, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=outside)
    sizes = [(n - k) // s + 1 for n, k, s in zip(padded.shape[2:], kernel, stride, strict=True)]
    out = np.zeros((*input.shape[:2], *sizes))
    for place in positions(sizes):
        window = tuple(
            slice(p * s, p * s + k) for p, s, k in zip(place, stride, kernel, strict=True)
        )
        out[(..., *place)] = reduce(padded[(..., *window)], axis=tuple(range(2, 2 + rank)))
    return out


def max_pool(input: Any, kernel: Any, stride: Any = None, padding: Any = 0) -> Any:
    return pooled(input, kernel, stride, padding, -np.inf, np.max)


def avg_pool(input: Any, kernel: Any, stride: Any = None, padding: Any = 0) -> Any:
    return pooled(input, kernel, stride, padding, 0.0, np.mean)


def adaptive(input: Any, sizes: Any) -> Any:
    """Means of windows from floor(k n / m) to ceil((k + 1) n / m)."""
    rank = input.ndim - 2
    sizes = _tuple(sizes, rank)
    out = np.zeros((*input.shape[:2], *sizes))
    for place in positions(sizes):
        window = tuple(
            slice(p * n // m, -(-(p + 1) * n // m))
            for p, n, m in zip(place, input.shape[2:], sizes, strict=True)
        )
        out[(..., *place)] = input[(..., *window)].mean(axis=tuple(range(2, 2 + rank)))
    return out


def padded_around(input: Any, pad: Any, mode: str) -> Any:
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    return np.pad(input, ((0, 0), (pad[2], pad[3]), (pad[0], pad[1])), names[mode])


def layer_norm(
    input: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    axes = tuple(range(-len(shape), 0))
    out = (input - input.mean(axes, keepdims=True)) / np.sqrt(input.var(axes, keepdims=True) + eps)
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


def groups_normalized(input: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
    rows = input.reshape(input.shape[0], groups, -1)
    out = normalized(rows, (2,), eps)[0].reshape(input.shape)
    column = (-1, *[1] * (input.ndim - 2))
    out = out if weight is None else out * weight.reshape(column)
    return out if bias is None else out + bias.reshape(column)


def root_means(input: Any, weight: Any, dims: Any, eps: float) -> Any:
    out = input / np.sqrt(np.square(input).mean(dims, keepdims=True) + eps)
    return out if weight is None else out * weight


def normalized(input: Any, dims: Any, eps: float) -> Any:
    mean, var = input.mean(dims, keepdims=True), input.var(dims, keepdims=True)
    return [(input - mean) / np.sqrt(var + eps), mean, var]


def normalized_by(
    x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, *, eps: float
) -> Any:
    mean, var, weight, bias = (
        v if v is None else v.reshape(-1, *[1] * (x.ndim - 2)) for v in (mean, var, weight, bias)
    )
    out = (x - mean) / np.sqrt(var + eps)
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


def batch_normalized(
    input: Any, weight: Any = None, bias: Any = None, *, dims: Any, eps: float
) -> Any:
    column = (-1, *[1] * (input.ndim - 2))
    mean, var = input.mean(dims), input.var(dims)
    out = (input - mean.reshape(column)) / np.sqrt(var.reshape(column) + eps)
    out = out if weight is None else out * weight.reshape(column)
    return [out if bias is None else out + bias.reshape(column), mean, var]


def log_softmax(input: Any, axis: int) -> Any:
    return input - np.log(np.exp(input).sum(axis, keepdims=True))


def reduced(values: Any, reduction: str, weights: Any = None) -> Any:
    if reduction == "mean":
        return values.sum() / (values.size if weights is None else weights.sum())
    return values.sum() if reduction == "sum" else values


def nll(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    weights = np.where(
        target == ignore_index,
        0.0,
        1.0
        if weight is None
        else np.append(weight, 0)[np.where(target == ignore_index, -1, target)],
    )
    safe = np.where(target == ignore_index, 0, target)
    values = -np.take_along_axis(input, np.expand_dims(safe, 1), 1).squeeze(1) * weights
    return reduced(values, reduction, weights)


def of_logits(
    input: Any, target: Any, ignore_index: int, reduction: str, is_wide: bool
) -> list[Any]:
    log_sums = np.log(np.exp(input).sum(1))
    kept = target != ignore_index
    losses = np.where(kept, log_sums - input[np.arange(len(target)), target], 0)
    return [reduced(losses, reduction, kept), log_sums, kept.sum().astype(input.dtype)]


def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    return nll(log_softmax(input, 1), target, weight, ignore_index, reduction)


def smoothed(input: Any, target: Any, label_smoothing: float) -> Any:
    """Cross entropy with (1 - e) of the class and e / C of all."""
    logs = log_softmax(input, 1)
    spread = np.full(input.shape, label_smoothing / input.shape[1])
    spread[np.arange(len(target)), target] += 1 - label_smoothing
    return -(spread * logs).sum(1).mean()


def bce(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    values = -target * np.log(input) - (1 - target) * np.log(1 - input)
    return reduced(values if weight is None else values * weight, reduction)


def bce_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = 1.0
) -> Any:
    p = 1 / (1 + np.exp(-input))
    values = -pos_weight * target * np.log(p) - (1 - target) * np.log(1 - p)
    return reduced(values if weight is None else values * weight, reduction)


def huber(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    d = np.abs(input - target)
    return reduced(np.where(d <= delta, d * d / 2, delta * (d - delta / 2)), reduction)


def kl(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    values = np.exp(target) * (target - input) if log_target else target * (np.log(target) - input)
    return values.sum() / len(values) if reduction == "batchmean" else reduced(values, reduction)


# -- the table -------------------------------------------------------------------------------------

PROBABILITIES = array(4, 3, low=0.1, high=0.9)
DISTRIBUTIONS = PROBABILITIES / PROBABILITIES.sum(1, keepdims=True)
TARGETS = integers(4, high=3)


def _convolutions() -> list[Sample]:
    image, weight, bias = array(2, 4, 5, 6), array(6, 4, 3, 2, seed=2), array(6, seed=3)
    return [
        Sample((image, weight, bias), {}, convolution),
        Sample((image, weight), {"stride": 2, "padding": 1}, convolution),
        Sample(
            (image, weight, bias),
            {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)},
            convolution,
        ),
        Sample((image, array(6, 2, 3, 2, seed=2), bias), {"groups": 2}, convolution),
        Sample((image, array(4, 1, 2, 2, seed=2)), {"groups": 4, "stride": 2}, convolution),
        Sample((image, array(3, 4, 1, 1, seed=2)), {}, convolution),
        Sample((array(1, 6, 5, 5), array(2, 6, 3, 3, seed=2)), {"padding": 1}, convolution),
        Sample((array(0, 4, 5, 6), weight, bias), {}, convolution),
        Sample((image[0], weight, bias), {}, lambda x, w, b: convolution(x[None], w, b)[0]),
        Sample(
            (image, weight, bias),
            {"padding": "same"},
            lambda x, w, b, padding: convolution(np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 1)]), w, b),
        ),
    ]


SAMPLES: dict[str, list[Sample]] = {
    "conv2d": _convolutions(),
    "conv1d": [
        Sample(
            (array(2, 3, 7), array(4, 3, 3, seed=1), array(4)),
            {"stride": 2, "padding": 1},
            convolution,
        )
    ],
    "conv3d": [Sample((array(1, 2, 3, 4, 3), array(2, 2, 2, 2, 2, seed=1)), {}, convolution)],
    "max_pool2d": [
        Sample((apart(2, 2, 4, 6), 2), {}, max_pool),
        Sample((apart(1, 2, 5, 5), 3), {"stride": 2, "padding": 1}, max_pool),
        Sample((apart(2, 4, 4), 2), {}, lambda x, k: max_pool(x[None], k)[0]),
        Sample(
            (apart(1, 1, 5, 5), 2),
            {"ceil_mode": True},
            lambda x, k, ceil_mode: max_pool(
                np.pad(x, [(0, 0), (0, 0), (0, 1), (0, 1)], constant_values=-np.inf), k
            ),
        ),
        Sample((apart(1, 1, 4, 4), 2), {"return_indices": True}, None),
    ],
    "max_pool1d": [Sample((apart(2, 2, 6), 3), {"stride": 1}, max_pool)],
    "max_pool3d": [Sample((apart(1, 1, 4, 4, 2), 2), {}, max_pool)],
    "avg_pool2d": [
        Sample((array(2, 2, 4, 6), 2), {}, avg_pool),
        Sample((array(1, 2, 5, 5), 3), {"stride": 2, "padding": 1}, avg_pool),
        Sample(
            (array(1, 1, 4, 4), 2),
            {"divisor_override": 3},
            lambda x, k, divisor_override: avg_pool(x, k) * 4 / 3,
        ),
        Sample(
            (array(1, 1, 4, 4), 3), {"stride": 3, "padding": 1, "count_include_pad": False}, None
        ),
    ],
    "avg_pool1d": [Sample((array(2, 2, 6), 3), {"stride": 2}, avg_pool)],
    "avg_pool3d": [Sample((array(1, 1, 4, 4, 2), 2), {}, avg_pool)],
    "adaptive_avg_pool2d": [
        Sample((array(2, 2, 5, 6), s), {}, adaptive) for s in (1, (2, 3), (5, 4))
    ],
    "adaptive_avg_pool1d": [Sample((array(2, 2, 5), 2), {}, adaptive)],
    "adaptive_avg_pool3d": [Sample((array(1, 2, 3, 4, 2), (2, 2, 1)), {}, adaptive)],
    "pad_around": [
        Sample((array(2, 4, 3),), {"pad": (1, 2, 3, 0), "mode": mode}, padded_around)
        for mode in ("reflect", "replicate", "circular")
    ],
    "resample": [
        Sample(
            (array(1, 2, 4, 3),),
            {"sizes": (5, 5), "factors": (None, 1.7), "mode": mode, "align_corners": False},
            None,
        )
        for mode in ("nearest", "bilinear", "bicubic")
    ],
    "layer_norm": [
        Sample((array(4, 3, 5), (5,), array(5, seed=1), array(5, seed=2)), {}, layer_norm),
        Sample((array(4, 3, 5), (3, 5)), {"eps": 1e-3}, layer_norm),
        Sample((array(4, 5), (5,), array(5, seed=1)), {}, layer_norm),
    ],
    "rms_norm_over": [
        Sample((array(4, 3, 5), array(3, 5, seed=1)), {"dims": (-2, -1), "eps": 1e-3}, root_means),
        Sample((array(4, 5), None), {"dims": (-1,), "eps": 1e-3}, root_means),
    ],
    "group_norm_over": [
        Sample(
            (array(2, 4, 3), array(4, seed=1), array(4, seed=2)),
            {"groups": 2, "eps": 1e-3},
            groups_normalized,
        ),
        Sample((array(2, 4, 3, 2), None, None), {"groups": 4, "eps": 1e-3}, groups_normalized),
    ],
    "normalize_over": [
        Sample((array(4, 3, 5),), {"dims": d, "eps": 1e-3}, normalized) for d in ((0, 2), (-1,))
    ],
    **{
        name: [
            Sample(
                (array(4, 3, 5), array(3, seed=1), array(3, seed=2)),
                {"dims": (0, 2), "eps": 1e-3},
                batch_normalized,
            ),
            Sample((array(4, 3),), {"dims": (0,), "eps": 1e-3}, batch_normalized),
        ]
        for name in ("batch_normalize", "mixed_batch_normalize")
    },
    "normalize_by": [
        Sample(
            (array(2, 3, 4), array(3), array(3, low=0.5), array(3, seed=1), array(3, seed=2)),
            {"eps": 1e-3},
            normalized_by,
        ),
        Sample((array(2, 3), array(3), array(3, low=0.5)), {"eps": 1e-3}, normalized_by),
    ],
    "scale_shift_channels": [
        Sample(
            (array(2, 3, 4), array(3), array(3, seed=1)),
            {},
            lambda x, w, b: x * w[:, None] + b[:, None],
        ),
        Sample((array(2, 3), array(3)), {}, lambda x, w: x * w),
    ],
    "cross_entropy_of_logits": [
        Sample((array(4, 3), TARGETS), {"ignore_index": i, "reduction": r, "is_wide": w}, of_logits)
        for r, i, w in (("mean", -100, True), ("sum", 1, False), ("none", -100, False))
    ],
    "cross_entropy": [
        Sample((array(4, 3), TARGETS), {}, cross_entropy),
        *(
            Sample(
                (array(4, 3), TARGETS), {"weight": array(3, low=0.5), "reduction": r}, cross_entropy
            )
            for r in ("mean", "sum", "none")
        ),
        Sample((array(4, 3), TARGETS), {"ignore_index": 1}, cross_entropy),
        Sample((array(4, 3, 2), integers(4, 2, high=3)), {"reduction": "none"}, cross_entropy),
        Sample((array(4, 3), TARGETS), {"label_smoothing": 0.2}, smoothed),
        Sample(
            (array(4, 3), DISTRIBUTIONS), {}, lambda x, t: -(t * log_softmax(x, 1)).sum(1).mean()
        ),
        Sample((array(3), np.asarray(2)), {}, lambda x, t: -log_softmax(x, 0)[2]),
    ],
    "class_log_softmax_gradient": [
        Sample((array(4, 3), array(4, 3, seed=1)), {}, lambda g, p: g - p * g.sum(1, keepdims=True))
    ],
    "nll_loss": [
        *(Sample((array(4, 3), TARGETS), {"reduction": r}, nll) for r in ("mean", "sum", "none")),
        Sample((array(4, 3), TARGETS), {"weight": array(3, low=0.5), "ignore_index": 0}, nll),
        Sample((array(2, 3, 2), integers(2, 2, high=3)), {}, nll),
    ],
    "mse_loss": [
        Sample(
            (array(4, 3), array(4, 3, seed=1)),
            {"reduction": r},
            lambda a, b, reduction: reduced((a - b) ** 2, reduction),
        )
        for r in ("mean", "sum", "none")
    ],
    "l1_loss": [Sample((array(4, 3), array(4, 3, seed=1)), {}, lambda a, b: np.abs(a - b).mean())],
    "huber_loss": [Sample((array(4, 3), array(4, 3, seed=1)), {"delta": 0.7}, huber)],
    "smooth_l1_loss": [
        Sample(
            (array(4, 3), array(4, 3, seed=1)),
            {"beta": 0.5},
            lambda a, b, beta: huber(a, b, delta=beta) / beta,
        ),
        Sample(
            (array(4, 3), array(4, 3, seed=1)),
            {"beta": 0.0},
            lambda a, b, beta: np.abs(a - b).mean(),
        ),
    ],
    "binary_cross_entropy": [
        Sample((PROBABILITIES, array(4, 3, low=0.0, high=1.0, seed=1)), {"reduction": r}, bce)
        for r in ("mean", "none")
    ],
    "binary_cross_entropy_with_logits": [
        Sample((array(4, 3), array(4, 3, low=0.0, high=1.0, seed=1)), {}, bce_logits),
        Sample(
            (array(4, 3), array(4, 3, low=0.0, high=1.0, seed=1), array(3, low=0.5)),
            {"reduction": "sum"},
            bce_logits,
        ),
    ],
    "weighted_logit_entropy": [
        Sample(
            (array(4, 3), array(4, 3, low=0.0, high=1.0, seed=1), array(3, low=0.5, seed=2)),
            {},
            lambda x, t, w: bce_logits(x, t, None, "none", w),
        )
    ],
    "kl_div": [
        *(
            Sample((array(4, 3), DISTRIBUTIONS), {"reduction": r}, kl)
            for r in ("mean", "batchmean", "none")
        ),
        Sample((array(4, 3), array(4, 3, seed=1)), {"log_target": True}, kl),
    ],
}
