"""Losses of class scores: negative log likelihood and cross entropy."""

from __future__ import annotations

from typing import Any

from ..backends.looking import is_noted, may_look
from ..core import dtypes
from ..core.tensor import Tensor
from ..errors import DTypeError, OutOfBoundsError, ShapeError
from . import cross_entropy_of_logits as logits
from . import shapes
from .activations import log_softmax_array
from .declare import Index, Mask, Spec, composite, primitive
from .losses import reduced, reduction_of
from .shapes import Shape

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
    if len(shape) > 1 and tuple(target.shape[:1]) != shape[:1]:
        raise ValueError(
            f"{operation}: expected target {rows} with the batch size of input {shape}. Got "
            f"{tuple(target.shape)}."
        )
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
    _require_weight_sizes(operation, input, weight)
    return rows


def _require_weight(operation: str, input: Any, weight: Any) -> None:
    """Raises: DTypeError, ShapeError for a weight unlike the classes of input. The array kernels
    would convert the one and, with unused classes, accept the other."""
    if weight is None or not input.shape:
        return
    if weight.dtype != input.dtype:
        raise DTypeError(
            f"{operation}: expected weight of {input.dtype}, as input is. Got {weight.dtype}."
        )
    _require_weight_sizes(operation, input, weight)


def _require_weight_sizes(operation: str, input: Any, weight: Any) -> None:
    classes = input.shape[_class_dim(input)]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ShapeError(
            f"{operation}: expected weight {(classes,)}, one number per class of input "
            f"{tuple(input.shape)}. Got {tuple(weight.shape)}."
        )


def _row_weights(
    xp: Any, target: Any, weight: Any, classes: int, ignore_index: int, dtype: Any
) -> tuple[Any, Any]:
    """Targets that are safe to index with, and each row's weight: 0 where it is ignored.

    The weights are None if all are 1. Raises: IndexError for a class that is not there.
    """
    # As unsigned numbers, negative ones are too large as well: one comparison finds both.
    exempt = {"exempt": ignore_index}
    looks = target.size and not is_noted(xp, target, 0, classes, "cross_entropy", **exempt)
    inside = not target.size or (
        looks and int(target.astype(xp.uint64, copy=False).max()) < classes
    )
    if inside and weight is None and not 0 <= ignore_index < classes:
        return target, None
    if weight is not None:
        weight = weight.astype(dtype, copy=False)
    kept = target != ignore_index
    safe = xp.where(kept, target, 0)
    if looks and not 0 <= int(safe.min()) <= int(safe.max()) < classes:
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
    # Where every row is ignored the mean's factor is infinite: 0 times it would be NaN.
    at_target = scaled if rows is None else xp.where(rows == 0, rows, scaled * rows)
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
    if not plain or how["label_smoothing"] or not holds_classes(xp, target, input.shape[1], how):
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


def holds_classes(xp: Any, target: Any, classes: int, how: dict[str, Any]) -> bool:
    """Whether every target is a class number and none is to be ignored."""
    if not target.size or target.dtype != xp.int64 or 0 <= how["ignore_index"] < classes:
        return False
    if not may_look(xp):
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
    if not plain or not holds_classes(xp, target, probabilities.shape[1], how):
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
        _require_weight_sizes("cross_entropy", input, weight)
        sizes = (-1, *[1] * (len(input.shape) - 2))
        terms = F.mul(terms, weight if dim == 0 else F.view_as_shape(weight, shape=sizes))
    losses = F.neg(F.sum_over(terms, dim=dim))
    if reduction != "mean":
        return reduced(F, losses, reduction)
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
    there, ValueError for batches of different sizes.

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
        if ignore_index >= 0:
            raise ShapeError(
                "cross_entropy: expected no ignore_index with probabilities as target. Got "
                f"{ignore_index}."
            )
        return _entropy_of_probabilities(F, input, target, weight, reduction, label_smoothing)
    if logits.serves(input, target, weight, label_smoothing):
        how = {"ignore_index": ignore_index, "reduction": reduction, "is_wide": False}
        return F.cross_entropy_of_logits(input, target, **how)[0]
    _require_weight("cross_entropy", input, weight)
    how = {"reduction": reduction, "label_smoothing": label_smoothing}
    return F.cross_entropy_of_indices(input, target, weight, ignore_index=ignore_index, **how)[0]


def in_float32(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """`cross_entropy` of halves as if they had been cast to float32, without the copy that a cast
    makes; NotImplemented where that cannot be had."""
    is_half = isinstance(input, Tensor) and input._key.is_half
    if not is_half or not logits.serves(input, target, weight, label_smoothing):
        return NotImplemented
    reduction = reduction_of(reduction, size_average, reduce)
    how = {"ignore_index": ignore_index, "reduction": reduction}
    return logits.cross_entropy_of_logits(input, target, is_wide=True, **how)[0]


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
    _require_weight("nll_loss", input, weight)
    return F.nll_of_indices(
        input, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=0.0
    )
