"""Boxes: areas, forms, overlaps and the measures that detectors are trained by.

A box is four numbers, (x1, y1, x2, y2) unless said otherwise, with x1 <= x2 and y1 <= y2.
"""

from __future__ import annotations

import math
from typing import Any

from ... import arange, float32, int32, int64, maximum, minimum, stack, where
from ...autograd.grad_mode import no_grad
from ...core.tensor import Tensor
from ...errors import ShapeError

__all__ = [
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "complete_box_iou",
    "distance_box_iou",
    "generalized_box_iou",
    "masks_to_boxes",
    "remove_small_boxes",
]

FORMS = ("xyxy", "xywh", "cxcywh")
ASPECT_SCALE = 4 / math.pi**2
"""What makes the squared difference of two angles of aspect at most 1. Source: arXiv:1911.08287,
equation 9."""


def checked(name: str, boxes: Tensor) -> Tensor:
    """`boxes`, if their last dimension has four numbers. Raises: RuntimeError."""
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise ShapeError(
            f"{name}: expected boxes of four numbers each, shape (..., 4). Got shape "
            f"{tuple(boxes.shape)}."
        )
    return boxes


def _wide(x: Tensor) -> Tensor:
    """Products of halves and of small integers leave their range."""
    if x.dtype.is_floating_point:
        return x.to(float32) if x.dtype.itemsize < 4 else x
    return x if x.dtype in (int32, int64) else x.to(int32)


def box_area(boxes: Tensor, fmt: str = "xyxy") -> Tensor:
    """(..., 4) -> (...): width times height. `fmt`: xyxy, xywh or cxcywh."""
    _known_form("box_area", fmt)
    a, b, c, d = _wide(checked("box_area", boxes)).unbind(-1)
    return (c - a) * (d - b) if fmt == "xyxy" else c * d


def _known_form(name: str, *forms: str) -> None:
    for form in forms:
        if form not in FORMS:
            raise ValueError(f"{name}: expected one of the forms {', '.join(FORMS)}. Got {form!r}.")


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """(..., 4) -> (..., 4) from one form to another: corners `xyxy`, a corner and sizes `xywh`,
    the centre and sizes `cxcywh`. Raises: ValueError for another form."""
    _known_form("box_convert", in_fmt, out_fmt)
    a, b, c, d = checked("box_convert", boxes).unbind(-1)
    if in_fmt == out_fmt:
        return boxes.clone()
    if in_fmt == "xywh":
        a, b, c, d = a, b, a + c, b + d
    elif in_fmt == "cxcywh":
        a, b, c, d = a - 0.5 * c, b - 0.5 * d, a + 0.5 * c, b + 0.5 * d
    if out_fmt == "xywh":
        a, b, c, d = a, b, c - a, d - b
    elif out_fmt == "cxcywh":
        a, b, c, d = (a + c) / 2, (b + d) / 2, c - a, d - b
    return stack((a, b, c, d), -1)


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., 4) -> (..., 4) with what lies outside an image of `size` (height, width) cut off."""
    height, width = size
    a, b, c, d = checked("clip_boxes_to_image", boxes).unbind(-1)
    across, down = [a.clamp(0, width), c.clamp(0, width)], [b.clamp(0, height), d.clamp(0, height)]
    return stack((across[0], down[0], across[1], down[1]), -1)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """The places (int64) of the boxes (N, 4) of which no side is shorter than `min_size`."""
    sides = checked("remove_small_boxes", boxes)[:, 2:] - boxes[:, :2]
    return where((sides >= min_size).all(1))[0]


def masks_to_boxes(masks: Tensor) -> Tensor:
    """(N, H, W) -> (N, 4) float32: the least box around the nonzero elements of each mask, with
    the places of the last row and column; zeros for an empty mask."""
    if masks.ndim != 3:
        raise ShapeError(
            f"masks_to_boxes: expected masks (N, H, W). Got shape {tuple(masks.shape)}."
        )
    ends = []
    for dim in (1, 2):  # the columns, then the rows, that a mask touches
        touched = (masks != 0).any(dim)
        places = arange(touched.shape[1], device=masks.device)
        least = where(touched, places, touched.shape[1]).amin(1) if touched.shape[1] else places[:0]
        most = where(touched, places, -1).amax(1) if touched.shape[1] else places[:0]
        ends.append((where(most < 0, 0, least), most.clamp(min=0)))
    (x1, x2), (y1, y2) = ends
    return stack((x1, y1, x2, y2), 1).to(float32)


# -- overlaps --------------------------------------------------------------------------------------


def corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(..., 4) -> (..., 2) twice: the upper left and the lower right corner."""
    return boxes[..., :2], boxes[..., 2:]


def _pairs(name: str, boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    for boxes in (boxes1, boxes2):
        if checked(name, boxes).ndim < 2:
            raise ShapeError(
                f"{name}: expected boxes (N, 4) and (M, 4). Got shapes {tuple(boxes1.shape)} and "
                f"{tuple(boxes2.shape)}."
            )
    return boxes1[..., :, None, :], boxes2[..., None, :, :]


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The areas of intersection and union of boxes whose shapes broadcast."""
    (a1, a2), (b1, b2) = corners(a), corners(b)
    sides = _wide(minimum(a2, b2) - maximum(a1, b1)).clamp(min=0)
    shared = sides[..., 0] * sides[..., 1]
    return shared, box_area(a) + box_area(b) - shared


def enclosing(a: Tensor, b: Tensor) -> Tensor:
    """(..., 2): the sides of the least box around both."""
    (a1, a2), (b1, b2) = corners(a), corners(b)
    return _wide(maximum(a2, b2) - minimum(a1, b1)).clamp(min=0)


def centre_distance(a: Tensor, b: Tensor, eps: float) -> Tensor:
    """The squared distance of the centres, in squared diagonals of the enclosing box."""
    (a1, a2), (b1, b2) = corners(a), corners(b)
    between = (a1 + a2) / 2 - (b1 + b2) / 2
    return (between**2).sum(-1) / ((enclosing(a, b) ** 2).sum(-1) + eps)


def aspect_penalty(a: Tensor, b: Tensor, iou: Tensor, eps: float) -> Tensor:
    """alpha * v, the penalty of unlike aspect ratios; alpha gets no gradient. Source:
    arXiv:1911.08287, equations 9 and 11."""
    (wa, ha), (wb, hb) = ((x[..., 2:] - x[..., :2]).unbind(-1) for x in (a, b))
    v = ASPECT_SCALE * ((wb / hb).atan() - (wa / ha).atan()) ** 2
    with no_grad():
        alpha = v / (1 - iou + v + eps)
    return alpha * v


def box_iou(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> Tensor:
    """(..., N, 4), (..., M, 4) -> (..., N, M): intersection over union of every pair.
    `fmt`: see `box_convert`."""
    if fmt != "xyxy":
        boxes1, boxes2 = (box_convert(b, fmt, "xyxy") for b in (boxes1, boxes2))
    shared, union = overlap(*_pairs("box_iou", boxes1, boxes2))
    return shared / union


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """(N, 4), (M, 4) -> (N, M): IoU less the share of the enclosing box that neither covers.

    Source: arXiv:1902.09630, algorithm 1.
    """
    a, b = _pairs("generalized_box_iou", boxes1, boxes2)
    shared, union = overlap(a, b)
    sides = enclosing(a, b)
    whole = sides[..., 0] * sides[..., 1]
    return shared / union - (whole - union) / whole


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """(N, 4), (M, 4) -> (N, M): IoU less the squared distance of the centres over the squared
    diagonal of the enclosing box. Source: arXiv:1911.08287, equation 7."""
    a, b = _pairs("distance_box_iou", real(boxes1), real(boxes2))
    shared, union = overlap(a, b)
    return shared / union - centre_distance(a, b, eps)


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """(N, 4), (M, 4) -> (N, M): `distance_box_iou` less a penalty of unlike aspect ratios.

    Source: arXiv:1911.08287, equation 10.
    """
    a, b = _pairs("complete_box_iou", real(boxes1), real(boxes2))
    shared, union = overlap(a, b)
    iou = shared / union
    return iou - centre_distance(a, b, eps) - aspect_penalty(a, b, iou, eps)


def real(x: Any) -> Any:
    """Integers as float32."""
    return x if x.dtype.is_floating_point else x.to(float32)
