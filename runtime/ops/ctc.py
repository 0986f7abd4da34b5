"""Connectionist temporal classification: the loss of unaligned label sequences.

Equations are those of Graves, Fernandez, Gomez and Schmidhuber, ICML 2006,
doi:10.1145/1143844.1143891, in logarithms. A target of S labels is walked through as 2 S + 1
states: blanks around and between the labels.
"""

from __future__ import annotations

import math
from typing import Any

from ..core import dtypes
from ..core.tensor import Tensor
from ..errors import DTypeError, GradientError, OutOfBoundsError, ShapeError
from . import shapes
from .declare import Index, Spec, primitive
from .losses import reduction_of
from .shapes import Shape

NEVER = -math.inf
"""The logarithm of probability 0."""


# -- states ----------------------------------------------------------------------------------------


def _states(xp: Any, targets: Any, lengths: Shape, blank: int) -> Any:
    """The label of each state: (N, 2 S + 1) for S the longest target; blanks behind its end."""
    count, longest = len(lengths), max(lengths, default=0)
    out = xp.full((count, 2 * longest + 1), blank, dtype=xp.int64)
    if not longest:
        return out
    sizes = xp.asarray(lengths)
    columns = xp.arange(longest)
    inside = columns < sizes[:, None]
    if targets.ndim == 2:
        labels = targets[:, :longest]
    else:
        begins = xp.cumsum(sizes) - sizes
        labels = targets[xp.minimum(begins[:, None] + columns, len(targets) - 1)]
    out[:, 1::2] = xp.where(inside, labels, blank)
    return out


def _sum_of_three(xp: Any, a: Any, b: Any, c: Any) -> Any:
    """log(exp(a) + exp(b) + exp(c))."""
    most = xp.maximum(xp.maximum(a, b), c)
    most = xp.where(most == NEVER, most.dtype.type(0), most)
    return xp.log(xp.exp(a - most) + xp.exp(b - most) + xp.exp(c - most)) + most


def _emissions(xp: Any, log_probs: Any, states: Any) -> Any:
    """The log-probability of each state's label: (T, N, 2 S + 1)."""
    return log_probs[:, xp.arange(len(states))[:, None], states]


def _skips(xp: Any, states: Any) -> Any:
    """Whether a state may be reached from two before: its label differs from that one's."""
    out = xp.zeros(states.shape, dtype=bool)
    out[:, 2:] = states[:, 2:] != states[:, :-2]
    return out


def _shifted(xp: Any, x: Any, by: int) -> Any:
    """(N, states) moved by 1 or 2 states up, or down if negative; what comes in is log(0)."""
    out = xp.full_like(x, NEVER)
    if by > 0:
        out[:, by:] = x[:, :-by]
    else:
        out[:, :by] = x[:, -by:]
    return out


def _forward(xp: Any, emissions: Any, states: Any) -> Any:
    """alpha: log-probabilities of all beginnings of paths that are in a state at a time. Eq. 6."""
    alpha = xp.full_like(emissions, NEVER)
    if not len(alpha):
        return alpha
    alpha[0, :, :2] = emissions[0, :, :2]
    skips = _skips(xp, states)
    for t in range(1, len(alpha)):
        before = alpha[t - 1]
        leap = xp.where(skips, _shifted(xp, before, 2), before.dtype.type(NEVER))
        alpha[t] = _sum_of_three(xp, before, _shifted(xp, before, 1), leap) + emissions[t]
    return alpha


def _backward(xp: Any, emissions: Any, states: Any, ends: Any, last: Any) -> Any:
    """beta: the same of all ends of paths. Eq. 10. `ends` (N,) are input lengths, `last` (N,) last
    states."""
    beta = xp.full_like(emissions, NEVER)
    numbers = xp.arange(states.shape[1])
    # A path may end in the last label or in the blank behind it.
    final = (numbers == last[:, None]) | (numbers == last[:, None] - 1)
    skips = _skips(xp, states)
    after: Any = beta[0] if len(beta) else None
    for t in range(len(beta) - 1, -1, -1):
        leap = _shifted(xp, xp.where(skips, after, after.dtype.type(NEVER)), -2)
        going = _sum_of_three(xp, after, _shifted(xp, after, -1), leap)
        starting = xp.where(final, after.dtype.type(0), after.dtype.type(NEVER))
        beta[t] = xp.where((ends == t + 1)[:, None], starting, going) + emissions[t]
        after = beta[t]
    return beta


# -- the loss of each sequence ---------------------------------------------------------------------


@primitive(name="ctc_likelihood", node_name="CtcLoss")
def ctc_likelihood(
    log_probs: Spec,
    targets: Index,
    *,
    input_lengths: Shape,
    target_lengths: Shape,
    blank: int,
    zero_infinity: bool,
) -> tuple[Spec, Spec]:
    """The negative log likelihood (N,) of each target, and alpha (T, N, 2 S + 1).

    log_probs is (T, N, C), targets (N, S) or all targets one after the other.
    """
    shapes.require_float("ctc_loss", "log_probs", log_probs)
    steps, count, _ = log_probs.shape
    states = 2 * max(target_lengths, default=0) + 1
    return Spec((count,), log_probs.dtype), Spec((steps, count, states), log_probs.dtype)


@ctc_likelihood.array
def ctc_array(
    xp: Any,
    log_probs: Any,
    targets: Any,
    input_lengths: Shape,
    target_lengths: Shape,
    blank: int,
    zero_infinity: bool,
) -> tuple[Any, Any]:
    """One step of all sequences and states at a time."""
    if log_probs.dtype.kind != "f":
        raise TypeError("ctc_loss of integers")
    states = _states(xp, targets, target_lengths, blank)
    if targets.size and not 0 <= int(states.min()) <= int(states.max()) < log_probs.shape[2]:
        raise OutOfBoundsError(
            f"ctc_loss: expected labels from 0 to {log_probs.shape[2] - 1}, as log_probs has that "
            f"many classes. Got {int(states.min())} to {int(states.max())}."
        )
    alpha = _forward(xp, _emissions(xp, log_probs, states), states)
    rows, ends = xp.arange(len(states)), xp.asarray(input_lengths)
    last = 2 * xp.asarray(target_lengths)
    if not len(alpha):
        reached = xp.where(last == 0, 0.0, NEVER).astype(log_probs.dtype)
        return -reached, alpha
    at = xp.maximum(ends - 1, 0)
    whole = alpha[at, rows, last]
    label = xp.where(last > 0, alpha[at, rows, xp.maximum(last - 1, 0)], whole.dtype.type(NEVER))
    reached = xp.logaddexp(whole, label)
    empty = xp.where(last == 0, 0.0, NEVER).astype(reached.dtype)
    return -xp.where(ends == 0, empty, reached), alpha


@ctc_likelihood.vjp(saves="log_probs targets out")
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
    zero_infinity: Any,
) -> Any:
    """By `ctc_gradient`; alpha has no gradient."""
    if g[0] is None:
        return None, None
    how = {"input_lengths": input_lengths, "target_lengths": target_lengths, "blank": blank}
    how["zero_infinity"] = zero_infinity
    return F.ctc_gradient(g[0], log_probs, targets, out[0], out[1], **how), None


@primitive
def ctc_gradient(
    g: Spec,
    log_probs: Spec,
    targets: Index,
    nll: Spec,
    alpha: Spec,
    *,
    input_lengths: Shape,
    target_lengths: Shape,
    blank: int,
    zero_infinity: bool,
) -> Spec:
    """(probability - posterior of each label at each time) * g: (T, N, C). Eq. 16.

    This is the gradient by unnormalized logits. By log_probs it is the same as long as these come
    from `log_softmax`, which it passes unchanged.
    """
    return Spec(log_probs.shape, log_probs.dtype)


@ctc_gradient.array
def ctc_gradient_array(
    xp: Any,
    g: Any,
    log_probs: Any,
    targets: Any,
    nll: Any,
    alpha: Any,
    input_lengths: Shape,
    target_lengths: Shape,
    blank: int,
    zero_infinity: bool,
) -> Any:
    """Posteriors of states, added up by label."""
    steps, count, classes = log_probs.shape
    states = _states(xp, targets, target_lengths, blank)
    ends, last = xp.asarray(input_lengths), 2 * xp.asarray(target_lengths)
    emissions = _emissions(xp, log_probs, states)
    beta = _backward(xp, emissions, states, ends, last)
    posteriors = xp.exp(alpha + beta + nll[:, None] - emissions)
    places = (xp.arange(steps * count).reshape(steps, count, 1) * classes + states).reshape(-1)
    size = steps * count * classes
    by_label = xp.bincount(places, posteriors.reshape(-1), minlength=size) if size else places
    grad = xp.exp(log_probs) - by_label.reshape(log_probs.shape).astype(log_probs.dtype)
    grad *= g[:, None]
    impossible = xp.isinf(nll)[:, None]
    grad = xp.where(impossible, grad.dtype.type(0 if zero_infinity else math.nan), grad)
    inside = xp.arange(steps)[:, None] < ends
    return xp.where(inside[:, :, None], grad, grad.dtype.type(0))


@ctc_gradient.vjp()
def ctc_gradient_vjp(F: Any, h: Any, needs: Any, *args: Any, **how: Any) -> Any:
    """There is none, in PyTorch neither."""
    raise GradientError(
        "ctc_loss: expected one backward pass, as its second derivative is not implemented. Got a "
        "backward pass through its gradient. Leave out create_graph=True."
    )


# -- the reduced loss ------------------------------------------------------------------------------


def _lengths(name: str, lengths: Any, count: int, most: int) -> Shape:
    """As a tuple. Raises: RuntimeError for other than `count` integers from 0 to `most`."""
    if isinstance(lengths, Tensor):
        if lengths.dtype.category > dtypes.INTEGER:
            raise DTypeError(f"ctc_loss: expected integers as {name}. Got {lengths.dtype}.")
        lengths = lengths.reshape(-1)
        lengths = [most] * len(lengths) if lengths.is_meta else lengths.tolist()
    found = (lengths,) if isinstance(lengths, int) else tuple(lengths)
    if len(found) != count:
        raise ShapeError(
            f"ctc_loss: expected {count} {name}, one per sequence of log_probs. Got {len(found)}."
        )
    if found and not 0 <= min(found) <= max(found) <= most:
        raise ShapeError(f"ctc_loss: expected {name} from 0 to {most}. Got {found}.")
    return found


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """The negative log likelihood of label sequences that are not aligned with the input.

    log_probs (T, N, C) or (T, C) are logarithms of probabilities at each time, as `log_softmax`
    gives them; targets hold labels other than `blank`, as (N, S), or all one after the other.
    Lengths (N,) are tensors or tuples. The mean divides each loss by its target's length first.
    `zero_infinity` makes losses of targets that do not fit, and their gradients, 0.
    Raises: RuntimeError for lengths, shapes or a blank that do not fit.
    Source: doi:10.1145/1143844.1143891.
    """
    reduction = reduction_of(reduction)
    if log_probs.ndim not in (2, 3) or targets.ndim not in (0, 1, 2):
        raise ShapeError(
            "ctc_loss: expected log_probs (T, N, C) or (T, C), and targets (N, S) or one after the "
            f"other. Got {tuple(log_probs.shape)} and {tuple(targets.shape)}."
        )
    batch = log_probs if log_probs.ndim == 3 else log_probs.unsqueeze(1)
    steps, count, classes = batch.shape
    if not 0 <= blank < classes:
        raise ShapeError(f"ctc_loss: expected a blank from 0 to {classes - 1}. Got {blank}.")
    targets = targets if targets.ndim else targets.reshape(1)
    inputs = _lengths("input_lengths", input_lengths, count, steps)
    most = targets.shape[-1]
    labels = _lengths("target_lengths", target_lengths, count, most)
    if targets.ndim == 1 and sum(labels) != most and not targets.is_meta:
        raise ShapeError(
            f"ctc_loss: expected {sum(labels)} labels in targets, the sum of target_lengths. Got "
            f"{most}."
        )
    if targets.ndim == 2 and targets.shape[0] != count:
        raise ShapeError(
            f"ctc_loss: expected targets of {count} rows, as log_probs is "
            f"{tuple(log_probs.shape)}. Got {tuple(targets.shape)}."
        )
    how = {"input_lengths": inputs, "target_lengths": labels, "blank": blank}
    whole = targets if targets.dtype.category == dtypes.INTEGER else targets.to(dtypes.int64)
    losses, _ = ctc_likelihood(batch, whole, **how, zero_infinity=zero_infinity)
    if zero_infinity:
        losses = losses.masked_fill(losses == math.inf, 0.0)
    if reduction == "mean":
        return (losses / losses.new_tensor([max(n, 1) for n in labels])).mean()
    if reduction == "sum":
        return losses.sum()
    return losses if log_probs.ndim == 3 else losses.squeeze(0)
