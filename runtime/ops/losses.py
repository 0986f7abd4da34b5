"""Losses between numbers: squared, absolute, binary and relative entropy."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..autograd.node import named
from ..errors import ShapeError
from .declare import Spec, composite, pointwise


def reduction_of(
    reduction: str, size_average: bool | None = None, reduce: bool | None = None
) -> str:
    """'mean', 'sum' or 'none'; the two older arguments win where they are given.

    Raises: ValueError for another word.
    """
    if size_average is not None or reduce is not None:
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"Expected reduction 'mean', 'sum' or 'none'. Got {reduction!r}.")
    return reduction


def reduced(F: Any, values: Any, reduction: str) -> Any:
    if reduction == "none":
        return values
    return F.mean_over(values) if reduction == "mean" else F.sum_over(values)


@pointwise(name="squared_difference", node_name="MseLoss")
def squared_difference(m: Any, input: Spec, target: Spec) -> Spec:
    """(input - target)**2."""
    return m.square(input - target)


@pointwise(name="absolute_difference", node_name="L1Loss")
def absolute_difference(m: Any, input: Spec, target: Spec) -> Spec:
    """|input - target|."""
    return m.abs(input - target)


@pointwise(name="huber", node_name="HuberLoss")
def huber(m: Any, input: Spec, target: Spec, *, delta: float) -> Spec:
    """d**2 / 2 up to |d| = delta, and delta * (|d| - delta / 2) beyond, for d = input - target."""
    d = m.abs(input - target)
    inner = m.minimum(d, delta)
    return inner * (d - 0.5 * inner)


@pointwise(name="binary_entropy", node_name="BinaryCrossEntropy")
def binary_entropy(m: Any, input: Spec, target: Spec) -> Spec:
    """-target * log(input) - (1 - target) * log(1 - input), each logarithm at least -100."""
    heads = m.maximum(m.log(input), -100.0)
    tails = m.maximum(m.log1p(-input), -100.0)
    return (target - 1.0) * tails - target * heads


@binary_entropy.gradient
def binary_entropy_gradient(m: Any, g: Any, out: Any, input: Any, target: Any) -> Any:
    """(input - target) / (input * (1 - input)), the divisor kept from 0."""
    divisor = m.maximum(input * (1.0 - input), 1e-12)
    logit = m.maximum(m.log1p(-input), -100.0) - m.maximum(m.log(input), -100.0)
    return g * (input - target) / divisor, g * logit


@pointwise(name="logit_entropy", node_name="BinaryCrossEntropyWithLogits")
def logit_entropy(m: Any, input: Spec, target: Spec) -> Spec:
    """softplus(-input) + (1 - target) * input, which overflows nowhere."""
    return m.softplus(-input) + (1.0 - target) * input


@pointwise(name="weighted_logit_entropy", node_name="BinaryCrossEntropyWithLogits")
def weighted_logit_entropy(m: Any, input: Spec, target: Spec, pos_weight: Spec) -> Spec:
    """The same with positive targets counted pos_weight times."""
    positive = 1.0 + (pos_weight - 1.0) * target
    return positive * m.softplus(-input) + (1.0 - target) * input


@pointwise(name="divergence", node_name="KlDiv")
def divergence(m: Any, input: Spec, target: Spec) -> Spec:
    """target * (log(target) - input), 0 where target is 0, NaN where it is negative."""
    # Not log(0), or the gradient would be 0 * inf; that of negative targets is NaN, as the loss is.
    logs = m.log(m.where(m.eq(target, 0), 1.0, target))
    return target * logs - target * input


@pointwise(name="log_divergence", node_name="KlDiv")
def log_divergence(m: Any, input: Spec, target: Spec) -> Spec:
    """exp(target) * (target - input)."""
    return m.exp(target) * (target - input)


@pointwise(name="relative_entropy", node_name="KlDiv")
def relative_entropy(m: Any, p: Spec, q: Spec) -> Spec:
    """exp(p) * (p - q), of which the sum is KL(p || q), for log-probabilities p and q; 0 where
    exp(p) is 0, also if q is minus infinity there."""
    absent = m.eq(m.exp(p), 0)
    return m.exp(p) * (m.where(absent, 0.0, p) - m.where(absent, 0.0, q))


def _warn_of_broadcast(operation: str, input: Any, target: Any) -> None:
    if hasattr(target, "shape") and tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"{operation}: input {tuple(input.shape)} and target {tuple(target.shape)} differ in "
            "shape and are broadcast, which is rarely meant. Give both one shape.",
            stacklevel=4,
        )


def _weighted(F: Any, losses: Any, weight: Any) -> Any:
    return losses if weight is None else F.mul(losses, weight)


@composite
def mse_loss(
    F: Any,
    input: Spec,
    target: Spec,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Spec | None = None,
) -> Spec:
    """(input - target)**2, reduced."""
    _warn_of_broadcast("mse_loss", input, target)
    losses = _weighted(F, F.squared_difference(input, target), weight)
    return named(reduced(F, losses, reduction_of(reduction, size_average, reduce)), "MseLoss")


@composite
def l1_loss(
    F: Any,
    input: Spec,
    target: Spec,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Spec | None = None,
) -> Spec:
    """|input - target|, reduced."""
    _warn_of_broadcast("l1_loss", input, target)
    if input.dtype.is_complex or target.dtype.is_complex:
        losses = F.abs(F.minus(input, target))  # which has no complex derivative
    else:
        losses = F.absolute_difference(input, target)
    losses = _weighted(F, losses, weight)
    return reduced(F, losses, reduction_of(reduction, size_average, reduce))


@composite
def huber_loss(
    F: Any,
    input: Spec,
    target: Spec,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Spec | None = None,
) -> Spec:
    """d**2 / 2 where |d| <= delta, delta * (|d| - delta / 2) elsewhere, d = input - target.

    Raises: ValueError unless delta is positive. Source: Huber, 1964, doi:10.1214/aoms/1177703732.
    """
    if delta <= 0:
        raise ValueError(f"huber_loss: expected a delta above 0. Got {delta}.")
    _warn_of_broadcast("huber_loss", input, target)
    losses = _weighted(F, F.huber(input, target, delta=delta), weight)
    return named(reduced(F, losses, reduction_of(reduction)), "HuberLoss")


@composite
def smooth_l1_loss(
    F: Any,
    input: Spec,
    target: Spec,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Spec:
    """The Huber loss with delta = beta, divided by beta; the L1 loss for beta = 0.

    Raises: ValueError if beta is negative. Source: arXiv:1504.08083, equation 3.
    """
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: expected a beta of at least 0. Got {beta}.")
    reduction = reduction_of(reduction, size_average, reduce)
    _warn_of_broadcast("smooth_l1_loss", input, target)
    if beta == 0:
        return named(reduced(F, F.absolute_difference(input, target), reduction), "SmoothL1Loss")
    return named(
        reduced(F, F.divide(F.huber(input, target, delta=beta), beta), reduction), "SmoothL1Loss"
    )


def _require_same_shape(operation: str, input: Any, target: Any) -> None:
    if tuple(input.shape) != tuple(target.shape):
        raise ShapeError(
            f"{operation}: expected input and target of one shape. Got input {tuple(input.shape)} "
            f"and target {tuple(target.shape)}. Reshape one, for example with unsqueeze or "
            "view_as."
        )


@composite
def binary_cross_entropy(
    F: Any,
    input: Spec,
    target: Spec,
    weight: Spec | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Spec:
    """-target * log(input) - (1 - target) * log(1 - input), for probabilities; logarithms end at
    -100.

    Raises: RuntimeError if the shapes differ or input leaves [0, 1].
    """
    _require_same_shape("binary_cross_entropy", input, target)
    array = getattr(input, "_array", None)
    if isinstance(array, np.ndarray) and array.size and not 0 <= array.min() <= array.max() <= 1:
        raise RuntimeError(
            "binary_cross_entropy: expected probabilities from 0 to 1 as input. Got values from "
            f"{array.min():.4g} to {array.max():.4g}. Use binary_cross_entropy_with_logits for "
            "logits."
        )
    losses = _weighted(F, F.binary_entropy(input, target), weight)
    return named(
        reduced(F, losses, reduction_of(reduction, size_average, reduce)), "BinaryCrossEntropy"
    )


@composite
def binary_cross_entropy_with_logits(
    F: Any,
    input: Spec,
    target: Spec,
    weight: Spec | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Spec | None = None,
) -> Spec:
    """`binary_cross_entropy` of sigmoid(input), without overflow; positive targets count
    `pos_weight` times.

    Raises: RuntimeError if the shapes differ.
    """
    _require_same_shape("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        losses = F.logit_entropy(input, target)
    else:
        losses = F.weighted_logit_entropy(input, target, pos_weight)
    losses = _weighted(F, losses, weight)
    return named(
        reduced(F, losses, reduction_of(reduction, size_average, reduce)),
        "BinaryCrossEntropyWithLogits",
    )


@composite
def kl_div(
    F: Any,
    input: Spec,
    target: Spec,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Spec:
    """target * (log(target) - input) for log-probabilities `input`; "batchmean" divides the sum by
    the first size.

    Raises: ValueError for another reduction.
    """
    losses = (F.log_divergence if log_target else F.divergence)(input, target)
    if reduction == "batchmean":
        return F.divide(F.sum_over(losses), losses.shape[0] if losses.shape else 1)
    return reduced(F, losses, reduction_of(reduction, size_average, reduce))
