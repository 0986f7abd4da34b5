"""Connectionist temporal classification: the loss of all alignments of a label sequence.

Source: Graves et al., "Connectionist Temporal Classification" (2006), sections 4.1 and 4.2.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..core import dtypes
from ..core.creation import as_tensor, from_numpy
from ..core.tensor import Tensor
from ..errors import ShapeError
from .arithmetic import where
from .declare import Index, Spec, primitive
from .reductions import mean, sum
from .shapes import Shape, require_float, require_ndim
from .views import squeeze, unsqueeze


@primitive(node_name="CtcLoss")
def ctc_losses(
    log_probs: Spec, targets: Index, *, input_lengths: Shape, target_lengths: Shape, blank: int
) -> Spec:
    """-log of the probability of targets (N, S) under log_probs (T, N, C), per sequence: (N,)."""
    require_float("ctc_loss", "log_probs", log_probs)
    return Spec(tuple(log_probs.shape[1:2]), log_probs.dtype)


def _labels(xp: Any, targets: Any, blank: int) -> tuple[Any, Any]:
    """Targets with blanks around each, (N, 2 S + 1), and where a blank may be left out before."""
    n, s = targets.shape
    labels = xp.full((n, 2 * s + 1), blank, xp.int64)
    labels[:, 1::2] = targets
    skips = xp.zeros(labels.shape, bool)
    skips[:, 2:] = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    return labels, skips


def _shifted(xp: Any, scores: Any, by: int) -> Any:
    """scores[:, s - by], minus infinity outside."""
    out = xp.full_like(scores, -np.inf)
    if by > 0:
        out[:, by:] = scores[:, :-by]
    else:
        out[:, :by] = scores[:, -by:]
    return out


def _log_sum(xp: Any, *terms: Any) -> Any:
    """log(sum(exp(terms))), minus infinity if all are."""
    top = terms[0]
    for term in terms[1:]:
        top = xp.maximum(top, term)
    safe = xp.where(xp.isinf(top), 0.0, top).astype(top.dtype)
    total = xp.zeros_like(top)
    for term in terms:
        total += xp.exp(term - safe)
    return xp.log(total) + safe


def _forward_scores(xp: Any, emitted: Any, skips: Any, target_lengths: Any) -> Any:
    """Log-probability of all beginnings of alignments that end at (t, n, s)."""
    scores = xp.full(emitted.shape, -np.inf, emitted.dtype)
    if not len(emitted):
        return scores
    scores[0, :, 0] = emitted[0, :, 0]
    if emitted.shape[2] > 1:
        scores[0, :, 1] = xp.where(target_lengths > 0, emitted[0, :, 1], -np.inf)
    for t in range(1, len(emitted)):
        before = scores[t - 1]
        leap = xp.where(skips, _shifted(xp, before, 2), -np.inf)
        scores[t] = _log_sum(xp, before, _shifted(xp, before, 1), leap) + emitted[t]
    return scores


def _backward_scores(
    xp: Any, emitted: Any, skips: Any, input_lengths: Any, target_lengths: Any
) -> Any:
    """Log-probability of all ends of alignments that begin at (t, n, s)."""
    scores = xp.full(emitted.shape, -np.inf, emitted.dtype)
    place = xp.arange(emitted.shape[2])[None]
    ends = (place == 2 * target_lengths[:, None]) | (place == 2 * target_lengths[:, None] - 1)
    may_leap = xp.zeros(skips.shape, bool)
    may_leap[:, :-2] = skips[:, 2:]
    after = scores[0]
    for t in reversed(range(len(emitted))):
        leap = xp.where(may_leap, _shifted(xp, after, -2), -np.inf)
        going_on = _log_sum(xp, after, _shifted(xp, after, -1), leap)
        is_last = (input_lengths == t + 1)[:, None]
        last = xp.where(ends, 0.0, -np.inf).astype(emitted.dtype)
        after = scores[t] = xp.where(is_last, last, going_on) + emitted[t]
    return scores


def _emitted(xp: Any, log_probs: Any, labels: Any) -> Any:
    """The log-probability of each label at each time: (T, N, 2 S + 1)."""
    index = xp.broadcast_to(labels[None], (len(log_probs), *labels.shape))
    return xp.take_along_axis(log_probs, index, 2)


def _losses(
    xp: Any, scores: Any, input_lengths: Any, target_lengths: Any, count: int, dtype: Any
) -> Any:
    rows = xp.arange(count)
    if not len(scores):
        return xp.where(target_lengths == 0, 0.0, np.inf).astype(dtype)
    last = scores[xp.maximum(input_lengths - 1, 0), rows]
    end = last[rows, 2 * target_lengths]
    label = last[rows, xp.maximum(2 * target_lengths - 1, 0)]
    label = xp.where(target_lengths > 0, label, -np.inf).astype(dtype)
    loss = -_log_sum(xp, end, label)
    empty = xp.where(target_lengths == 0, 0.0, np.inf).astype(dtype)
    return xp.where(input_lengths == 0, empty, loss)


@ctc_losses.array
def ctc_losses_array(
    xp: Any, log_probs: Any, targets: Any, input_lengths: Shape, target_lengths: Shape, blank: int
) -> Any:
    """One step per time over all sequences and labels at once."""
    labels, skips = _labels(xp, targets, blank)
    lengths = xp.asarray(input_lengths, xp.int64), xp.asarray(target_lengths, xp.int64)
    scores = _forward_scores(xp, _emitted(xp, log_probs, labels), skips, lengths[1])
    return _losses(xp, scores, *lengths, log_probs.shape[1], log_probs.dtype)


@ctc_losses.vjp(saves="log_probs targets out")
def ctc_vjp(
    F: Any,
    g: Any,
    needs: Any,
    log_probs: Any,
    targets: Any,
    out: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: Any,
) -> Any:
    """See `ctc_gradient`."""
    how = {"input_lengths": input_lengths, "target_lengths": target_lengths, "blank": blank}
    return F.ctc_gradient(g, log_probs, targets, out, **how), None


@primitive
def ctc_gradient(
    g: Spec,
    log_probs: Spec,
    targets: Index,
    loss: Spec,
    *,
    input_lengths: Shape,
    target_lengths: Shape,
    blank: int,
) -> Spec:
    """g (exp(log_probs) - posterior of each class), 0 behind a sequence's end.

    The first term belongs to log_softmax, whose outputs log_probs are: its own gradient is zero for
    it, and PyTorch adds it here.
    """
    return Spec(log_probs.shape, g.dtype)


@ctc_gradient.array
def ctc_gradient_array(
    xp: Any,
    g: Any,
    log_probs: Any,
    targets: Any,
    loss: Any,
    input_lengths: Shape,
    target_lengths: Shape,
    blank: int,
) -> Any:
    """Forward and backward scores together give each label's posterior at each time."""
    labels, skips = _labels(xp, targets, blank)
    lengths = xp.asarray(input_lengths, xp.int64), xp.asarray(target_lengths, xp.int64)
    emitted = _emitted(xp, log_probs, labels)
    scores = _forward_scores(xp, emitted, skips, lengths[1])
    scores = scores + _backward_scores(xp, emitted, skips, *lengths)
    posterior = xp.exp(scores - emitted + loss[None, :, None])
    grad = xp.exp(log_probs)
    rows = xp.arange(labels.shape[0])
    for s in range(labels.shape[1]):
        xp.subtract.at(grad, (slice(None), rows, labels[:, s]), posterior[:, :, s])
    is_over = xp.arange(len(log_probs))[:, None] >= lengths[0][None]
    grad[is_over] = 0
    g = g[None, :, None]
    return xp.where(g == 0, 0, grad * g)  # also where an infinite loss was made zero


# -- by the name that users call -------------------------------------------------------------------


def _lengths(name: str, lengths: Any, count: int, most: int) -> tuple[int, ...]:
    values = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    found = tuple(int(n) for n in (values if isinstance(values, list | tuple) else [values]))
    if len(found) != count:
        raise ShapeError(f"ctc_loss: expected {name} for {count} sequences. Got {len(found)}.")
    if any(not 0 <= n <= most for n in found):
        raise ValueError(f"ctc_loss: expected {name} from 0 to {most}. Got {found}.")
    return found


def _padded(targets: Any, lengths: tuple[int, ...]) -> Any:
    """Targets one after the other as a row per sequence."""
    line = targets.cpu().numpy()
    if line.shape[0] < builtins.sum(lengths):
        raise ShapeError(
            f"ctc_loss: expected {builtins.sum(lengths)} targets, as target_lengths say. Got "
            f"{line.shape[0]}."
        )
    rows = np.zeros((len(lengths), max(lengths, default=0)), np.int64)
    start = 0
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = line[start : start + length]
        start += length
    return from_numpy(rows).to(targets.device)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability that log_probs (T, N, C), log-probabilities of classes over time,
    give the targets with any alignment; `blank` is the class between labels.

    targets are (N, S), or all in one line; lengths are tensors or tuples; without N, log_probs is
    (T, C). "mean" divides each loss by its target's length first. `zero_infinity` makes losses of
    targets that do not fit zero. Raises: ValueError for lengths that do not fit.
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    require_ndim("ctc_loss", "log_probs", log_probs, 2, 3)
    is_batch = log_probs.ndim == 3
    if not is_batch:
        log_probs = unsqueeze(log_probs, 1)
    count = log_probs.shape[1]
    if not 0 <= blank < log_probs.shape[2]:
        raise ValueError(
            f"ctc_loss: expected blank to be one of {log_probs.shape[2]} classes. Got {blank}."
        )
    times = _lengths("input_lengths", input_lengths, count, log_probs.shape[0])
    most = targets.shape[-1]
    sizes = _lengths("target_lengths", target_lengths, count, most)
    targets = as_tensor(targets).to(dtypes.int64)
    if targets.ndim == 2:
        is_label = np.arange(most) < np.array(sizes).reshape(-1, 1)
        rows = where(from_numpy(is_label).to(targets.device), targets, 0)
    else:
        rows = _padded(targets, sizes)
    losses = ctc_losses(log_probs, rows, input_lengths=times, target_lengths=sizes, blank=blank)
    if zero_infinity:
        losses = where(losses == float("inf"), losses.new_zeros(()), losses)
    if reduction == "mean":
        divisors = as_tensor([max(n, 1) for n in sizes], dtype=losses.dtype, device=losses.device)
        return mean(losses / divisors)
    if reduction == "sum":
        return sum(losses)
    return losses if is_batch else squeeze(losses, 0)
