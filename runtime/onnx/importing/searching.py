"""Choosing by places and values: gathering, scattering, distinct values, boxes."""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from .registry import operator, torch


def _wrapped(index: Tensor, n: int) -> Tensor:
    index = index.long()
    return torch.where(index < 0, index + n, index)  # type: ignore[no-any-return]


@operator("Gather")
def gather(x: Tensor, index: Tensor, *, axis: int = 0) -> Tensor:
    """Slices of one dimension, in the shape of the index."""
    axis %= x.ndim
    places = _wrapped(index, x.shape[axis])
    if index.ndim == 0:
        return x.select(axis, int(places))
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return x.index_select(axis, places.reshape(-1)).reshape(shape)


@operator("GatherElements")
def gather_elements(x: Tensor, index: Tensor, *, axis: int = 0) -> Tensor:
    """Element by element."""
    return x.gather(axis, _wrapped(index, x.shape[axis]))


@operator("GatherND")
def gather_nd(x: Tensor, index: Tensor, *, batch_dims: int = 0) -> Tensor:
    """The last dimension of the index has coordinates."""
    width = index.shape[-1]
    parts = [index[..., k].long() for k in range(width)]
    if not batch_dims:
        return x[tuple(parts)]
    lead = []
    for k in range(batch_dims):
        shape = [1] * (index.ndim - 1)
        shape[k] = -1
        lead.append(torch.arange(x.shape[k]).reshape(shape).expand(index.shape[:-1]))
    return x[(*lead, *parts)]


@operator("Scatter", "ScatterElements")
def scatter_elements(
    x: Tensor, index: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none"
) -> Tensor:
    """A copy with elements written, or combined, at places along a dimension."""
    places = _wrapped(index, x.shape[axis])
    if reduction == "none":
        return x.scatter(axis, places, updates)
    kinds = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
    return x.scatter_reduce(axis, places, updates, kinds[reduction])


@operator("ScatterND")
def scatter_nd(x: Tensor, index: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    """A copy with slices written, or combined, at coordinates."""
    width = index.shape[-1]
    numbers = torch.arange(x.numel()).reshape(x.shape)
    places = numbers[tuple(index[..., k].long() for k in range(width))].reshape(-1)
    flat = scatter_elements(x.reshape(-1), places, updates.reshape(-1), reduction=reduction)
    return flat.reshape(x.shape)


@operator("TensorScatter")
def tensor_scatter(
    past: Tensor, update: Tensor, starts: Tensor | None = None, *, axis: int = -2,
    mode: str = "linear",
) -> Tensor:  # fmt: skip
    """A cache of keys or values with new ones written from each row's start on."""
    axis %= past.ndim
    first = torch.zeros(past.shape[0], dtype=torch.int64) if starts is None else starts.long()
    shape = [1] * past.ndim
    shape[axis] = update.shape[axis]
    steps = torch.arange(update.shape[axis]).reshape(shape)
    places = first.reshape(-1, *[1] * (past.ndim - 1)) + steps
    places = places % past.shape[axis] if mode == "circular" else places
    return past.scatter(axis, places.expand(update.shape), update)


@operator("NonZero")
def nonzero(x: Tensor) -> Tensor:
    """(ndim, n): the places of what is not 0."""
    return torch.nonzero(x).t().contiguous()  # type: ignore[no-any-return]


@operator("Compress")
def compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    """The slices for which the condition holds."""
    rows = x.reshape(-1) if axis is None else x
    kept = torch.nonzero(condition).flatten()
    return rows.index_select(axis or 0, kept)


@operator("OneHot")
def one_hot(index: Tensor, depth: Any, values: Tensor, *, axis: int = -1) -> Tensor:
    """The second of two values at the class, the first elsewhere."""
    count = int(depth)
    axis %= index.ndim + 1
    shape = [1] * (index.ndim + 1)
    shape[axis] = count
    wrapped = (index.long() % count) if count else index.long()
    is_inside = (index >= -count) & (index < count)
    hits = (wrapped.unsqueeze(axis) == torch.arange(count).reshape(shape)) & is_inside.unsqueeze(
        axis
    )
    return torch.where(hits, values[1], values[0])  # type: ignore[no-any-return]


@operator("Unique")
def unique(x: Tensor, *, axis: int | None = None, sorted: int = 1, outputs: int) -> Any:
    """Distinct values with the first place of each, where each element went, and counts."""
    values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True, dim=axis)
    flat = inverse.reshape(-1)
    first = torch.full((counts.shape[0],), flat.numel(), dtype=torch.int64)
    first = first.scatter_reduce(0, flat, torch.arange(flat.numel()), "amin")
    if not sorted:
        order = first.argsort()
        rank = torch.argsort(order)
        values = values.index_select(axis or 0, order)
        first, counts, flat = first[order], counts[order], rank[flat]
    found = (values, first, flat, counts)[:outputs]
    return found if outputs > 1 else values


@operator("NonMaxSuppression")
def non_max_suppression(
    boxes: Tensor, scores: Tensor, limit: Any = None, iou_threshold: Any = None,
    score_threshold: Any = None, *, center_point_box: int = 0,
) -> Tensor:  # fmt: skip
    """(n, 3): batch, class and box of what stays, best first in each class."""
    from ...vision.ops import nms

    most = 0 if limit is None else int(limit)
    if center_point_box:
        x, y, w, h = boxes.unbind(-1)
        boxes = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)
    low, high = (torch.stack(p, -1) for p in _corners(boxes))
    boxes = torch.cat([low, high], -1)
    threshold = 0.0 if iou_threshold is None else float(iou_threshold)
    rows = []
    for batch in range(scores.shape[0]):
        for kind in range(scores.shape[1]):
            rated = scores[batch, kind]
            chosen = torch.arange(rated.shape[0])
            if score_threshold is not None:
                chosen = torch.nonzero(rated > float(score_threshold)).flatten()
            kept = chosen[nms(boxes[batch][chosen], rated[chosen], threshold)][:most]
            numbers = torch.tensor([[batch, kind]]).expand(kept.shape[0], 2)
            rows.append(torch.cat([numbers, kept.unsqueeze(1)], 1))
    return torch.cat(rows) if rows else torch.zeros((0, 3), dtype=torch.int64)  # type: ignore[no-any-return]


def _corners(boxes: Tensor) -> Any:
    """The lower and the upper corner of boxes that name any two opposite ones."""
    a, b, c, d = boxes.unbind(-1)
    return (
        (torch.minimum(a, c), torch.minimum(b, d)),
        (torch.maximum(a, c), torch.maximum(b, d)),
    )
