"""Losses: how far predictions are from targets, reduced to a mean, a sum, or not at all."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..core import dtypes
from ..errors import DTypeError, OutOfBoundsError, ShapeError
from . import shapes
from .activations import log_softmax_array
from .declare import Index, Mask, Spec, composite, pointwise, primitive
from .shapes import Shape


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


def _reduced(F: Any, values: Any, reduction: str) -> Any:
    if reduction == "none":
        return values
    return F.mean_over(values) if reduction == "mean" else F.sum_over(values)


# -- classes by number -----------------------------------------------------------------------------


def _class_dim(x: Any) -> int:
    return 0 if len(x.shape) == 1 else 1


def _require_classes(operation: str, input: Any, target: Any, weight: Any) -> Shape:
    """The shape without classes. Raises: ShapeError or DTypeError for what does not fit."""
    shape = tuple(input.shape)
    if not shape:
        raise ShapeError(
            f"{operation}: expected input (N, C, ...) or (C,) with C classes. Got a 0-d tensor."
        )
    rows = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if target.dtype.category != dtypes.INTEGER:
        raise DTypeError(
            f"{operation}: expected target {rows} of class numbers (torch.int64), as input is "
            f"{shape}. Got {tuple(target.shape)} of {target.dtype}. Convert it with .long()."
        )
    if tuple(target.shape) != rows:
        raise ShapeError(
            f"{operation}: expected target {rows} with one class number per row, as input is "
            f"{shape} with classes in dimension {_class_dim(input)}. Got {tuple(target.shape)}."
        )
    classes = shape[_class_dim(input)]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ShapeError(
            f"{operation}: expected weight {(classes,)}, one number per class of input {shape}. "
            f"Got {tuple(weight.shape)}."
        )
    return rows


def _row_weights(
    xp: Any, target: Any, weight: Any, classes: int, ignore_index: int, dtype: Any
) -> tuple[Any, Any]:
    """Targets that are safe to index with, and each row's weight: 0 where it is ignored.

    The weights are None if all are 1. Raises: IndexError for a class that is not there.
    """
    # As unsigned numbers, negative ones are too large as well: one comparison finds both.
    inside = not target.size or int(target.astype(xp.uint64, copy=False).max()) < classes
    if inside and weight is None and not 0 <= ignore_index < classes:
        return target, None
    if weight is not None:
        weight = weight.astype(dtype, copy=False)
    kept = target != ignore_index
    safe = xp.where(kept, target, 0)
    if target.size and not 0 <= int(safe.min()) <= int(safe.max()) < classes:
        wrong = safe[(safe < 0) | (safe >= classes)]
        raise OutOfBoundsError(
            f"cross_entropy: expected class numbers from 0 to {classes - 1} in target, or "
            f"ignore_index {ignore_index}. Got {int(wrong.reshape(-1)[0])}, with target of shape "
            f"{tuple(target.shape)}."
        )
    rows = kept.astype(dtype)
    return safe, rows if weight is None else rows * weight[safe]


def _picked(xp: Any, values: Any, target: Any) -> Any:
    """From each row of `values` the element of its target class."""
    if values.ndim == 2:
        return values[xp.arange(len(target)), target]
    axis = _class_dim(values)
    return xp.take_along_axis(values, xp.expand_dims(target, axis), axis).squeeze(axis)


def _along_classes(weight: Any, like: Any) -> Any:
    """(C,) as (1, C, 1, ...), to broadcast with `like`."""
    return weight if like.ndim < 2 else weight.reshape(-1, *[1] * (like.ndim - 2))


@primitive(node_name="NllLoss")
def nll_of_indices(
    input: Spec,
    target: Index,
    weight: Mask | None = None,
    *,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Spec:
    """Minus the element of each target class, weighted; linear in input.

    With label smoothing e each row's target is (1 - e) of its class and e / C of every class.
    """
    rows = _require_classes("nll_loss", input, target, weight)
    return Spec(rows if reduction == "none" else (), input.dtype)


@nll_of_indices.array
def nll_array(
    xp: Any,
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Any:
    """Gathered, weighted, reduced."""
    axis = _class_dim(input)
    if (
        target.shape != input.shape[:axis] + input.shape[axis + 1 :]
        or target.dtype.kind not in "iu"
    ):
        raise ValueError("target does not fit")
    classes = input.shape[axis]
    safe, rows = _row_weights(xp, target, weight, classes, ignore_index, input.dtype)
    losses = -_picked(xp, input, safe)
    if rows is not None:
        losses = xp.where(rows == 0, rows, losses * rows)
    if label_smoothing:
        spread = input if weight is None else input * _along_classes(weight, input)
        even = -spread.sum(axis) * (label_smoothing / classes)
        if rows is not None:
            even = xp.where(target == ignore_index, even.dtype.type(0), even)
        losses = losses * (1 - label_smoothing) + even
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    return total / (losses.size if rows is None else rows.sum())


@nll_of_indices.vjp(saves="target weight")
def nll_vjp(
    F: Any,
    g: Any,
    needs: Any,
    input: Any,
    target: Any,
    weight: Any,
    ignore_index: Any,
    reduction: Any,
    label_smoothing: Any,
) -> Any:
    """Minus g at the targets. Weights are constants."""
    how = {"reduction": reduction, "label_smoothing": label_smoothing}
    how["ignore_index"] = ignore_index
    return F.nll_gradient(g, target, weight, like=input, **how), None, None


@primitive
def nll_gradient(
    g: Spec,
    target: Index,
    weight: Mask | None = None,
    *,
    like: Shape,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Spec:
    """Minus the distribution over classes that each target stands for, times g; shape `like`."""
    return Spec(like, g.dtype)


@nll_gradient.array
def nll_gradient_array(
    xp: Any,
    g: Any,
    target: Any,
    weight: Any = None,
    *,
    like: Shape,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Any:
    """Written into zeros; with label smoothing into the even share."""
    axis = 0 if len(like) == 1 else 1
    classes = like[axis]
    safe, rows = _row_weights(xp, target, weight, classes, ignore_index, g.dtype)
    factor = -g
    if reduction == "mean":
        factor = factor / (target.size if rows is None else rows.sum())
    scaled = xp.broadcast_to(factor, target.shape)
    index = xp.expand_dims(safe, axis)
    at_target = scaled if rows is None else scaled * rows
    out = xp.zeros(like, g.dtype)
    if label_smoothing:
        kept = xp.where(target == ignore_index, g.dtype.type(0), scaled)
        share = kept * g.dtype.type(label_smoothing / classes)
        out += xp.expand_dims(share, axis)
        if weight is not None:
            out *= _along_classes(weight, out)
        at_target = at_target * g.dtype.type(1 - label_smoothing)
        at_target = at_target + _picked(xp, out, safe)
    xp.put_along_axis(out, index, xp.expand_dims(at_target, axis), axis)
    return out


@nll_gradient.vjp(saves="target weight")
def nll_gradient_vjp(
    F: Any,
    h: Any,
    needs: Any,
    g: Any,
    target: Any,
    weight: Any,
    like: Any,
    ignore_index: Any,
    reduction: Any,
    label_smoothing: Any,
) -> Any:
    """The map is linear: the loss of h."""
    how = {"reduction": reduction, "label_smoothing": label_smoothing}
    how["ignore_index"] = ignore_index
    return F.nll_of_indices(h, target, weight, **how), None, None


@composite(node_name="NllLoss")
def cross_entropy_of_indices(
    F: Any,
    input: Spec,
    target: Index,
    weight: Mask | None = None,
    *,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[Spec, Spec]:
    """The loss, and the probabilities of all classes, from which its gradient is read off."""
    _require_classes("cross_entropy", input, target, weight)
    shapes.require_float("cross_entropy", "input", input)
    logs = F.log_softmax_over(input, dim=_class_dim(input))
    how = {"reduction": reduction, "label_smoothing": label_smoothing}
    how["ignore_index"] = ignore_index
    return F.nll_of_indices(logs, target, weight, **how), F.exp(logs)


@cross_entropy_of_indices.array
def cross_entropy_array(
    xp: Any, input: Any, target: Any, weight: Any = None, **how: Any
) -> tuple[Any, Any]:
    """One pass for the exponentials, one gather."""
    if input.dtype.kind in "biu" or not input.shape:
        raise ValueError("input does not fit")
    plain = input.ndim == 2 and target.shape == input.shape[:1] and weight is None
    if not plain or how["label_smoothing"] or not _all_classes(xp, target, input.shape[1], how):
        logs = log_softmax_array(xp, input, _class_dim(input))
        return nll_array(xp, logs, target, weight, **how), xp.exp(logs)
    probabilities = input - input.max(1, keepdims=True)
    picked = probabilities[xp.arange(len(target)), target]
    xp.exp(probabilities, out=probabilities)
    total = xp.add.reduce(probabilities, 1, keepdims=True)
    probabilities /= total
    losses = xp.log(total.reshape(-1)) - picked
    if how["reduction"] == "none":
        return losses, probabilities
    loss = xp.add.reduce(losses)
    return (loss / len(target) if how["reduction"] == "mean" else loss), probabilities


def _all_classes(xp: Any, target: Any, classes: int, how: dict[str, Any]) -> bool:
    """Whether every target is a class number and none is to be ignored."""
    if not target.size or target.dtype != xp.int64 or 0 <= how["ignore_index"] < classes:
        return False
    # As unsigned numbers, negative ones are too large as well: one comparison finds both.
    return int(target.view(xp.uint64).max()) < classes


@cross_entropy_of_indices.vjp(saves="target weight out")
def cross_entropy_vjp(
    F: Any,
    g: Any,
    needs: Any,
    input: Any,
    target: Any,
    weight: Any,
    out: Any,
    ignore_index: Any,
    reduction: Any,
    label_smoothing: Any,
) -> Any:
    """(softmax - target distribution) * g; the probabilities' own gradient only comes in a second
    backward pass."""
    how = {"reduction": reduction, "label_smoothing": label_smoothing}
    how["ignore_index"] = ignore_index
    probabilities = out[1]
    parts = []
    if g[0] is not None:
        parts.append(F.cross_entropy_gradient(g[0], probabilities, target, weight, **how))
    if g[1] is not None:
        parts.append(F.class_softmax_gradient(g[1], probabilities))
    return (parts[0] if len(parts) == 1 else F.plus(*parts)), None, None


@composite
def cross_entropy_gradient(
    F: Any,
    g: Spec,
    probabilities: Spec,
    target: Index,
    weight: Mask | None = None,
    *,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Spec:
    """The loss's gradient by the logits, from the probabilities."""
    how = {"reduction": reduction, "label_smoothing": label_smoothing}
    how["ignore_index"] = ignore_index
    dense = F.nll_gradient(g, target, weight, like=probabilities, **how)
    return F.class_log_softmax_gradient(dense, probabilities)


@cross_entropy_gradient.array
def cross_entropy_gradient_array(
    xp: Any, g: Any, probabilities: Any, target: Any, weight: Any = None, **how: Any
) -> Any:
    """In the plain case the probabilities with 1 taken off at the targets, scaled in place."""
    plain = probabilities.ndim == 2 and weight is None and not how["label_smoothing"]
    if not plain or not _all_classes(xp, target, probabilities.shape[1], how):
        dense = nll_gradient_array(xp, g, target, weight, like=probabilities.shape, **how)
        return class_log_softmax_gradient_array(xp, dense, probabilities)
    out = probabilities.copy()
    out[xp.arange(len(target)), target] -= 1
    if how["reduction"] == "none":
        g = g[:, None]
    elif how["reduction"] == "mean":
        g = g / len(target)
    out *= g
    return out


@composite
def class_log_softmax_gradient(F: Any, g: Spec, probabilities: Spec) -> Spec:
    """The gradient g of log-probabilities by the logits: g - probabilities * sum(g)."""
    total = F.sum_over(g, dim=_class_dim(probabilities), keepdim=True)
    return F.minus(g, F.mul(probabilities, total))


@class_log_softmax_gradient.array
def class_log_softmax_gradient_array(xp: Any, g: Any, probabilities: Any) -> Any:
    """The same in place."""
    out = probabilities * g.sum(_class_dim(probabilities), keepdims=True)
    return xp.subtract(g, out, out=out)


@composite
def class_softmax_gradient(F: Any, g: Spec, probabilities: Spec) -> Spec:
    """The gradient g of probabilities p by the logits: p * (g - sum(g * p))."""
    weighted = F.mul(g, probabilities)
    total = F.sum_over(weighted, dim=_class_dim(probabilities), keepdim=True)
    return F.minus(weighted, F.mul(probabilities, total))


@class_softmax_gradient.array
def class_softmax_gradient_array(xp: Any, g: Any, probabilities: Any) -> Any:
    """The same in place."""
    out = g * probabilities
    out -= probabilities * out.sum(_class_dim(probabilities), keepdims=True)
    return out


# -- classes by probability ------------------------------------------------------------------------


def _entropy_of_probabilities(
    F: Any, input: Any, target: Any, weight: Any, reduction: str, label_smoothing: float
) -> Any:
    dim = _class_dim(input)
    classes = input.shape[dim]
    if label_smoothing:
        target = F.plus(F.mul(target, 1 - label_smoothing), label_smoothing / classes)
    terms = F.mul(F.log_softmax_over(input, dim=dim), target)
    if weight is not None:
        if tuple(weight.shape) != (classes,):
            raise ShapeError(
                f"cross_entropy: expected weight {(classes,)}, one number per class of input "
                f"{tuple(input.shape)}. Got {tuple(weight.shape)}."
            )
        sizes = (-1, *[1] * (len(input.shape) - 2))
        terms = F.mul(terms, weight if dim == 0 else F.view_as_shape(weight, shape=sizes))
    losses = F.neg(F.sum_over(terms, dim=dim))
    if reduction != "mean":
        return _reduced(F, losses, reduction)
    rows = 1
    for n in losses.shape:
        rows *= n
    return F.divide(F.sum_over(losses), rows)


@composite
def cross_entropy(
    F: Any,
    input: Spec,
    target: Spec,
    weight: Mask | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Spec:
    """-log(softmax(input)[target]): the cross entropy of logits with class numbers, or with
    probabilities.

    `input` is (N, C), (C,) or (N, C, d1, ...) with C classes; `target` int64 of the same shape
    without C, or floating-point of the same shape. `weight` (C,) scales classes; the mean is then
    over weights. Rows whose target is `ignore_index` count nothing.
    Raises: RuntimeError for shapes or dtypes that do not fit, IndexError for a class that is not
    there.

    Example:
        >>> F.cross_entropy(torch.zeros(1, 4), torch.tensor([2]))
        tensor(1.3863)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ShapeError(
            f"cross_entropy: expected label_smoothing from 0 to 1. Got {label_smoothing}."
        )
    if target.dtype.category == dtypes.FLOAT and tuple(target.shape) == tuple(input.shape):
        return _entropy_of_probabilities(F, input, target, weight, reduction, label_smoothing)
    how = {"reduction": reduction, "label_smoothing": label_smoothing}
    return F.cross_entropy_of_indices(input, target, weight, ignore_index=ignore_index, **how)[0]


@composite
def nll_loss(
    F: Any,
    input: Spec,
    target: Spec,
    weight: Mask | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Spec:
    """-input[target] of log-probabilities: (N, C, ...) and int64 (N, ...); weights and
    `ignore_index` as in `cross_entropy`.

    Raises: RuntimeError for shapes or dtypes that do not fit, IndexError for a class that is not
    there.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    return F.nll_of_indices(
        input, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=0.0
    )


# -- numbers ---------------------------------------------------------------------------------------


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
    """target * (log(target) - input), 0 where target is 0."""
    positive = target > 0
    # The masked branch must not be log(0), or its gradient would be 0 * inf.
    logs = m.log(m.where(positive, target, 1.0))
    return m.where(positive, target * logs, 0.0) - target * input


@pointwise(name="log_divergence", node_name="KlDiv")
def log_divergence(m: Any, input: Spec, target: Spec) -> Spec:
    """exp(target) * (target - input)."""
    return m.exp(target) * (target - input)


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
    return _reduced(F, losses, reduction_of(reduction, size_average, reduce))


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
    losses = _weighted(F, F.absolute_difference(input, target), weight)
    return _reduced(F, losses, reduction_of(reduction, size_average, reduce))


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
    return _reduced(F, losses, reduction_of(reduction))


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
        return _reduced(F, F.absolute_difference(input, target), reduction)
    return _reduced(F, F.divide(F.huber(input, target, delta=beta), beta), reduction)


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
    return _reduced(F, losses, reduction_of(reduction, size_average, reduce))


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
    return _reduced(F, losses, reduction_of(reduction, size_average, reduce))


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
    return _reduced(F, losses, reduction_of(reduction, size_average, reduce))
