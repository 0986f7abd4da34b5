"""Cross entropy that keeps the logits and a number for each row instead of all probabilities.

On a GPU, where memory's rate decides, it moves half as many bytes: logits are read twice and their
gradient is written once. Halves are computed in float32 and read as they are; the loss may be
float32 all the same, as autocast has it.
"""

from __future__ import annotations

from typing import Any

from ..backends.cuda import launch
from ..core import dtypes
from ..core.tensor import Tensor
from . import shapes
from .copies import as_dtype, widened
from .declare import Index, Spec, composite


def serves(input: Any, target: Any, weight: Any, label_smoothing: float) -> bool:
    """Whether there is one class number for each row on a GPU, and nothing to weigh."""
    return (
        isinstance(input, Tensor)
        and input.is_cuda
        and isinstance(target, Tensor)
        and not (input._key.level or target._key.level)
        and input._key.is_float
        and not input.is_complex()
        and input.ndim == 2
        and input.numel() > 0
        and target.dtype is dtypes.int64
        and target.shape == input.shape[:1]
        and target.device == input.device
        and weight is None
        and not label_smoothing
        and launch.driver.is_available()
    )


def _column(F: Any, x: Any) -> Any:
    """(rows,) as (rows, 1)."""
    return F.view_as_shape(x, shape=(-1, 1))


@composite(node_name="NllLoss", mixes=True)
def cross_entropy_of_logits(
    F: Any, input: Spec, target: Index, *, ignore_index: int, reduction: str, is_wide: bool
) -> tuple[Spec, Spec, Spec]:
    """The loss of logits (rows, classes); the logarithm of each row's sum of exponentials; the
    number of targets that are not `ignore_index`. All but the loss of a half input are float32,
    and that too if it `is_wide`."""
    shapes.require_float("cross_entropy", "input", input)
    wide = widened(F, input)
    log_sums = F.logsumexp_over(wide, dim=1, keepdim=False)
    how = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": 0.0}
    loss = F.nll_of_indices(F.minus(wide, _column(F, log_sums)), target, None, **how)
    count = F.sum_over(F.cast(F.ne(target, ignore_index), dtype=wide.dtype))
    return loss if is_wide else as_dtype(F, loss, input.dtype), log_sums, count


@cross_entropy_of_logits.array
def cross_entropy_of_logits_array(
    xp: Any, input: Any, target: Any, *, ignore_index: int, reduction: str, is_wide: bool
) -> tuple[Any, Any, Any]:
    """One pass for the exponentials, one gather."""
    from .cross_entropy import nll_array

    wide = input.astype(xp.float32) if input.dtype.itemsize == 2 else input
    top = wide.max(1, keepdims=True)
    log_sums = xp.log(xp.exp(wide - top).sum(1, keepdims=True)) + top
    how = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": 0.0}
    loss = nll_array(xp, wide - log_sums, target, None, **how)
    count = (target != ignore_index).sum(dtype=wide.dtype)
    loss = loss if is_wide else xp.asarray(loss).astype(input.dtype, copy=False)
    return loss, log_sums.reshape(-1), count


@cross_entropy_of_logits.vjp(saves="input target out[1:]")
def cross_entropy_of_logits_vjp(
    F: Any,
    g: Any,
    needs: Any,
    input: Any,
    target: Any,
    out: Any,
    ignore_index: Any,
    reduction: Any,
    is_wide: Any,
) -> Any:
    """(softmax - target distribution) * g; the sums' own gradient comes in a second pass only."""
    _, log_sums, count = out
    how = {"ignore_index": ignore_index, "reduction": reduction}
    parts = []
    if g[0] is not None:
        parts.append(F.logits_gradient(g[0], input, target, log_sums, count, **how))
    if g[1] is not None:
        probabilities = F.exp(F.minus(widened(F, input), _column(F, log_sums)))
        parts.append(as_dtype(F, F.mul(probabilities, _column(F, g[1])), input.dtype))
    return (parts[0] if len(parts) == 1 else F.plus(*parts)), None


@composite(mixes=True)
def logits_gradient(
    F: Any,
    g: Spec,
    input: Spec,
    target: Index,
    log_sums: Spec,
    count: Spec,
    *,
    ignore_index: int,
    reduction: str,
) -> Spec:
    """The gradient by the logits, in their dtype."""
    probabilities = F.exp(F.minus(widened(F, input), _column(F, log_sums)))
    how = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": 0.0}
    dense = F.nll_gradient(widened(F, g), target, None, like=probabilities, **how)
    return as_dtype(F, F.class_log_softmax_gradient(dense, probabilities), input.dtype)


@logits_gradient.array
def logits_gradient_array(
    xp: Any,
    g: Any,
    input: Any,
    target: Any,
    log_sums: Any,
    count: Any,
    *,
    ignore_index: int,
    reduction: str,
) -> Any:
    """Probabilities anew, and 1 taken off at the targets."""
    from .cross_entropy import class_log_softmax_gradient_array, nll_gradient_array

    g = g.astype(log_sums.dtype, copy=False)
    probabilities = xp.exp(input.astype(g.dtype, copy=False) - log_sums[:, None])
    how = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": 0.0}
    dense = nll_gradient_array(xp, g, target, None, like=probabilities.shape, **how)
    found = class_log_softmax_gradient_array(xp, dense, probabilities)
    return found.astype(input.dtype, copy=False)
