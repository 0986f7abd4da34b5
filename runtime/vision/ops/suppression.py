"""Non-maximum suppression: of boxes that overlap, only the best one stays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends.cpu import loops
from ...core import dtypes
from ...core.creation import from_numpy
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops.shapes import require_values
from ...ops.steps import step
from .boxes import checked

__all__ = ["batched_nms", "nms"]

BLOCK = 1_024
"""Boxes whose overlaps with all others are in memory at once."""
BIT_VALUES = (1 << np.arange(7, -1, -1)).astype(np.uint8)


@step("boxes", "scores")
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """(N, 4), (N,) -> (K,) int64: the places of the boxes that stay, best first.

    From the best to the worst each box that stays strikes out those whose IoU with it is above
    `iou_threshold`. Of equal scores the first comes first.
    Raises: RuntimeError for shapes that do not fit.
    """
    if checked("nms", boxes).ndim != 2 or tuple(scores.shape) != tuple(boxes.shape[:1]):
        raise ShapeError(
            f"nms: expected boxes (N, 4) and a score for each (N,). Got shapes "
            f"{tuple(boxes.shape)} and {tuple(scores.shape)}."
        )
    require_values("nms", boxes)
    boxes, scores = boxes.detach(), scores.detach()
    order = scores.argsort(descending=True, stable=True)
    real = dtypes.float64 if boxes.dtype is dtypes.float64 else dtypes.float32
    ranked = boxes.to(real)[order]
    if ranked.device.type == "cpu":
        kept = _kept_here(np.ascontiguousarray(ranked.numpy()), float(iou_threshold))
    else:
        kept = _kept(_struck(ranked, float(iou_threshold)))
    return order[from_numpy(kept).to(order.device)]


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """`nms` within each class of `idxs` (N,) on its own; places (K,) int64, best first."""
    if boxes.numel() == 0:
        return nms(boxes, scores, iou_threshold)
    # Boxes of other classes are moved so far that none overlap, and one call serves all.
    span = boxes.max() - boxes.min() + 1
    return nms(boxes + (idxs.to(boxes.dtype) * span)[:, None], scores, iou_threshold)


def _kept_here(boxes: Any, threshold: float) -> Any:
    """Places that stay of the (N, 4) ranked boxes in the processor's memory."""
    if loops.is_available():
        from ...backends.cpu.loops.suppression import kept

        return np.flatnonzero(kept(boxes, threshold))
    return _kept(_struck(from_numpy(boxes), threshold))


def _struck(boxes: Tensor, threshold: float) -> Any:
    """(N, ceil(N / 8)) bytes, computed where the boxes are: bit j of row i tells that box i strikes
    out box j. One copy brings them here, whatever the number of boxes."""
    xp, array = boxes._key.backend.xp, boxes._array
    with boxes._key.guard:
        x1, y1, x2, y2 = array.T
        areas = (x2 - x1) * (y2 - y1)
        rows = []
        for start in range(0, len(array), BLOCK):
            one = (slice(start, start + BLOCK), None)
            width = xp.minimum(x2[one], x2) - xp.maximum(x1[one], x1)
            height = xp.minimum(y2[one], y2) - xp.maximum(y1[one], y1)
            shared = xp.maximum(width, 0) * xp.maximum(height, 0)
            struck = shared > threshold * (areas[one] + areas - shared)
            rows.append(_packed(xp, struck))
        whole = xp.concatenate(rows) if rows else xp.zeros((0, 0), xp.uint8)
        return whole if isinstance(whole, np.ndarray) else whole.get()


def _packed(xp: Any, bits: Any) -> Any:
    """Rows of truth values, eight to a byte, the first the highest."""
    missing = -bits.shape[1] % 8
    if missing:
        bits = xp.concatenate([bits, xp.zeros((len(bits), missing), bool)], 1)
    eights = bits.reshape(len(bits), -1, 8)
    return (eights * xp.asarray(BIT_VALUES)).sum(-1, dtype=xp.uint8)


def _kept(struck: Any) -> Any:
    """Places of the boxes that stay, from the best on."""
    out = np.zeros(struck.shape[1], np.uint8)
    found = []
    for k, row in enumerate(struck):
        if not out[k >> 3] >> (7 - (k & 7)) & 1:
            found.append(k)
            out |= row
    return np.array(found, np.int64)
