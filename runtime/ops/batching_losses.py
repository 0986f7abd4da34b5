"""How losses of class numbers run on batches: all rows of all slices at once, then slice by slice
reduced in one sum."""

from __future__ import annotations

from typing import Any

from ..backends.batched import Batch, by_slices
from .batching import Rule, batches_each


def _folded(batch: Batch, x: Any, is_row: bool) -> Any:
    """The rows of all slices as one batch; a slice that is itself a row gives one."""
    return batch.front(x) if is_row else batch.folded(x)


def _totals(batch: Batch, target: Any, weight: Any, like: Any, dtype_of: Any, how: Any) -> Any:
    """What the sum of each slice's losses is divided by for the mean: the weights of its targets,
    which are the losses of scores of -1."""
    inner = batch.inner
    scores = inner.expand_to(inner.neg(inner.ones_of(dtype_of, shape=())), like=like)
    plain = {"ignore_index": how["ignore_index"], "label_smoothing": 0.0, "reduction": "none"}
    rows = inner.nll_of_indices(scores, target, weight, **plain)
    return _summed(batch, rows)


def _summed(batch: Batch, rows: Any) -> Any:
    """Losses of all rows added up slice by slice: (batch,)."""
    parts = batch.reshaped(rows, (batch.length, rows.size // max(batch.length, 1)))
    return batch.inner.sum_over(parts, dim=1, keepdim=False)


@batches_each("nll_of_indices cross_entropy_of_indices")
def losses(name: str) -> Rule:
    """Losses of all rows first."""
    slicewise = by_slices(name)

    def rule(
        batch: Batch, input: Any, target: Any, weight: Any = None, *, reduction: str, **how: Any
    ) -> Any:
        if batch.is_batched(weight):
            return slicewise(batch, input, target, weight, reduction=reduction, **how)
        is_row = len(input.shape) == 1
        scores, numbers = _folded(batch, input, is_row), _folded(batch, target, is_row)
        weight = batch.value(weight)
        found = getattr(batch.inner, name)(scores, numbers, weight, reduction="none", **how)
        rows, *others = found if isinstance(found, tuple) else (found,)
        if reduction != "none":
            out = _summed(batch, rows)
            if reduction == "mean":
                out = batch.inner.divide(
                    out, _totals(batch, numbers, weight, scores.shape, rows, how)
                )
        else:
            out = rows if is_row else batch.unfolded(rows)
        if not others:
            return out
        return out, (others[0] if is_row else batch.unfolded(others[0]))

    return rule


@batches_each("nll_gradient cross_entropy_gradient")
def gradients(name: str) -> Rule:
    """Gradients by all rows, with what each row's loss gets of its slice's gradient."""
    slicewise = by_slices(name)
    takes_shape = name == "nll_gradient"

    def rule(batch: Batch, g: Any, *arrays: Any, reduction: str, **how: Any) -> Any:
        *scores, target, weight = arrays if len(arrays) > 1 + (not takes_shape) else (*arrays, None)
        if batch.is_batched(weight):
            return slicewise(batch, g, *arrays, reduction=reduction, **how)
        like = tuple(how.pop("like") if takes_shape else scores[0].shape)
        is_row, weight = len(like) == 1, batch.value(weight)
        many = (batch.length, *like) if is_row else (batch.length * like[0], *like[1:])
        numbers = _folded(batch, target, is_row)
        if reduction == "none":
            rows = _folded(batch, g, is_row)
        else:
            rows = batch.front(g)
            if reduction == "mean":
                totals = _totals(batch, numbers, weight, many, rows, how)
                rows = batch.inner.divide(rows, totals)
            if not is_row:
                sizes = (batch.length, *target.shape)
                spread = batch.reshaped(rows, (batch.length, *(1,) * len(target.shape)))
                spread = batch.inner.expand_to(spread, like=sizes)
                rows = batch.reshaped(spread, (batch.length * sizes[1], *sizes[2:]))
        folded = [_folded(batch, x, is_row) for x in scores]
        shape = {"like": many} if takes_shape else {}
        run = getattr(batch.inner, name)
        out = run(rows, *folded, numbers, weight, reduction="none", **shape, **how)
        return out if is_row else batch.unfolded(out)

    return rule


@batches_each("cross_entropy_of_logits logits_gradient")
def of_logits(name: str) -> Rule:
    """Slice by slice: batches mostly go the way above, see `cross_entropy_of_logits.serves`."""
    return by_slices(name)
