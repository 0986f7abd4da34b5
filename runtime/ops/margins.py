"""Losses that ask for a margin, and those of counts and of Gaussian variables."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..autograd.record import TAPE
from ..core import dtypes
from ..core.batched import anywhere
from ..errors import ShapeError
from .declare import Spec
from .losses import reduced, reduction_of
from .similarity import pairwise_distance


def _reduced(values: Any, reduction: Any, size_average: Any = None, reduce: Any = None) -> Any:
    return reduced(TAPE, values, reduction_of(reduction, size_average, reduce))


def margin_ranking_loss(
    input1: Spec, input2: Spec, target: Spec, margin: float = 0.0, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Spec:  # fmt: skip
    """max(0, -target * (input1 - input2) + margin): target 1 asks for the first to be larger."""
    if not input1.ndim == input2.ndim == target.ndim:
        raise ShapeError(
            "margin_ranking_loss: expected equal numbers of dimensions. Got "
            f"{tuple(input1.shape)}, {tuple(input2.shape)} and {tuple(target.shape)}."
        )
    losses = (-target * (input1 - input2) + margin).clamp(min=0)
    return _reduced(losses, reduction, size_average, reduce)


def hinge_embedding_loss(
    input: Spec, target: Spec, margin: float = 1.0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Spec:  # fmt: skip
    """input where target is 1, max(0, margin - input) where it is -1."""
    far = (margin - input).clamp(min=0)
    zeros = input * 0
    losses = zeros.where(target == 1, far) + zeros.where(target == -1, input)
    return _reduced(losses, reduction, size_average, reduce)


COSINE_EPS = 1e-12
"""What PyTorch adds to squared lengths in this loss, unlike in `cosine_similarity`."""


def cosine_embedding_loss(
    input1: Spec, input2: Spec, target: Spec, margin: float = 0, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Spec:  # fmt: skip
    """1 - cos where target is 1, max(0, cos - margin) where it is -1."""
    if target.ndim + 1 != input1.ndim or target.ndim + 1 != input2.ndim:
        raise ShapeError(
            f"cosine_embedding_loss: expected a target for each row. Got {tuple(input1.shape)}, "
            f"{tuple(input2.shape)} and {tuple(target.shape)}."
        )
    squares = ((input1 * input1).sum(-1) + COSINE_EPS) * ((input2 * input2).sum(-1) + COSINE_EPS)
    cosine = (input1 * input2).sum(-1) / squares.sqrt()
    zeros = cosine * 0
    losses = (1 - cosine).where(target == 1, zeros)
    losses = losses + (cosine - margin).clamp(min=0).where(target == -1, zeros)
    return _reduced(losses, reduction, size_average, reduce)


def soft_margin_loss(
    input: Spec, target: Spec, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Spec:  # fmt: skip
    """log(1 + exp(-target * input))."""
    from .activations import softplus

    return _reduced(softplus(-target * input), reduction, size_average, reduce)


def multi_margin_loss(
    input: Spec, target: Spec, p: int = 1, margin: float = 1.0, weight: Any = None,
    size_average: Any = None, reduce: Any = None, reduction: str = "mean",
) -> Spec:  # fmt: skip
    """The mean over the other classes of max(0, margin - x[target] + x[class])**p, weighted by the
    target's weight; input is (N, C) or (C,)."""
    classes = input.shape[-1] if input.ndim else 1
    if p not in (1, 2) or input.ndim > 2 or target.numel() * classes != input.numel():
        raise ShapeError(
            f"multi_margin_loss: expected p 1 or 2, input (N, C) and target (N,). Got {p}, "
            f"{tuple(input.shape)} and {tuple(target.shape)}."
        )
    rows, index = input.reshape(-1, classes), target.reshape(-1, 1)
    losses = (margin - rows.gather(1, index) + rows).clamp(min=0) ** p
    if weight is not None:
        losses = losses * weight[index]
    others = rows.detach() * 0 + 1
    losses = (losses * others.scatter(1, index, 0.0)).sum(1) / classes
    return _reduced(losses.reshape(target.shape), reduction, size_average, reduce)


def multilabel_margin_loss(
    input: Spec, target: Spec, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Spec:  # fmt: skip
    """The mean over classes of max(0, 1 - x[label] + x[other]) for all labels of a row, which stand
    in target before its first -1."""
    if tuple(input.shape) != tuple(target.shape) or input.ndim > 2:
        raise ShapeError(
            f"multilabel_margin_loss: expected input and target of one shape (N, C). Got "
            f"{tuple(input.shape)} and {tuple(target.shape)}."
        )
    n = input.shape[-1] if input.ndim else 1
    rows, labels = input.reshape(-1, n), target.reshape(-1, n)
    valid = (labels >= 0).to(dtypes.int64).cumprod(1).to(dtypes.bool_)
    index = labels.where(valid, labels * 0)
    marks = (rows.detach() * 0).scatter_add(1, index, valid.to(rows.dtype)) > 0
    difference = 1 - rows.gather(1, index).unsqueeze(2) + rows.unsqueeze(1)
    counted = valid.unsqueeze(2) & marks.logical_not().unsqueeze(1)
    losses = (difference.clamp(min=0) * counted.to(rows.dtype)).sum((1, 2)) / n
    return _reduced(losses.reshape(input.shape[:-1]), reduction, size_average, reduce)


def multilabel_soft_margin_loss(
    input: Spec, target: Spec, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Spec:  # fmt: skip
    """The mean over classes of the binary cross entropy of logits."""
    from .activations import logsigmoid

    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        losses = losses * weight
    return _reduced(losses.mean(-1), reduction, size_average, reduce)


def triplet_margin_loss(
    anchor: Spec, positive: Spec, negative: Spec, margin: float = 1.0, p: float = 2,
    eps: float = 1e-6, swap: bool = False, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Spec:  # fmt: skip
    """max(0, d(anchor, positive) - d(anchor, negative) + margin); with `swap` the nearer of anchor
    and positive counts. Source: arXiv:1503.03832."""
    if margin <= 0 or not anchor.ndim == positive.ndim == negative.ndim:
        raise ValueError(
            f"triplet_margin_loss: expected a positive margin and equal numbers of dimensions. Got "
            f"{margin}, {tuple(anchor.shape)}, {tuple(positive.shape)}, {tuple(negative.shape)}."
        )

    def measure(a: Any, b: Any) -> Any:
        return pairwise_distance(a, b, p, eps)

    losses = _triplets(anchor, positive, negative, measure, margin, swap)
    return _reduced(losses, reduction, size_average, reduce)


def triplet_margin_with_distance_loss(
    anchor: Spec, positive: Spec, negative: Spec, *, distance_function: Any = None,
    margin: float = 1.0, swap: bool = False, reduction: str = "mean",
) -> Spec:  # fmt: skip
    """`triplet_margin_loss` with a distance of your own."""
    if margin <= 0 or not anchor.ndim == positive.ndim == negative.ndim:
        raise ValueError(
            "triplet_margin_with_distance_loss: expected a positive margin and equal numbers of "
            f"dimensions. Got {margin}, {tuple(anchor.shape)}, {tuple(positive.shape)}, "
            f"{tuple(negative.shape)}."
        )
    measure = pairwise_distance if distance_function is None else distance_function
    return _reduced(_triplets(anchor, positive, negative, measure, margin, swap), reduction)


def _triplets(
    anchor: Any,
    positive: Any,
    negative: Any,
    measure: Callable[..., Any],
    margin: float,
    swap: bool,
) -> Any:
    near, far = measure(anchor, positive), measure(anchor, negative)
    if swap:
        far = far.minimum(measure(positive, negative))
    return (near - far + margin).clamp(min=0)


def poisson_nll_loss(
    input: Spec, target: Spec, log_input: bool = True, full: bool = False, size_average: Any = None,
    eps: float = 1e-8, reduce: Any = None, reduction: str = "mean",
) -> Spec:  # fmt: skip
    """The negative logarithm of a Poisson variable's probability at `target`, of rate input or
    exp(input); `full` adds Stirling's approximation of the constant."""
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        losses = losses + stirling.masked_fill(target <= 1, 0)
    return _reduced(losses, reduction, size_average, reduce)


def _is_variance_of(var: Any, input: Any) -> bool:
    """Whether the shapes are equal but for one dimension of 1."""
    if var.ndim != input.ndim:
        return False
    pairs = zip(var.shape, input.shape, strict=True)
    return [n for n, size in pairs if n != size] in ([], [1])


def gaussian_nll_loss(
    input: Spec, target: Spec, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Spec:  # fmt: skip
    """The negative logarithm of a Gaussian density at `target`, of mean input and variance `var`
    (at least eps); `full` adds the constant.

    Raises: ValueError for negative variances or shapes that do not fit.
    """
    if isinstance(var, int | float):
        var = input.detach() * 0 + var
    if tuple(var.shape) == tuple(input.shape[:-1]):
        var = var.unsqueeze(-1)
    elif not _is_variance_of(var, input):
        raise ValueError(
            f"gaussian_nll_loss: expected var like input {tuple(input.shape)}, or with one "
            f"dimension of 1, or without the last. Got {tuple(var.shape)}."
        )
    if not var.is_meta and anywhere(var < 0):
        raise ValueError("gaussian_nll_loss: expected variances of at least 0.")
    safe = var.masked_fill(var < eps, eps) if var.numel() else var
    losses = 0.5 * (safe.log() + (input - target).square() / safe)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return _reduced(losses, reduction)
