"""From what a head tells of each place to boxes in pixels, and to detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .... import arange, cat, stack
from ....core.tensor import Tensor
from ...ops.suppression import batched_nms
from .letterbox import Frame, unframed

Detections = dict[str, Tensor]

MOST_CANDIDATES = 30_000
"""Boxes of an image that suppression looks at; the best of more."""


def anchor_points(
    sizes: Sequence[Sequence[int]], strides: Sequence[int], like: Tensor
) -> tuple[Tensor, Tensor]:
    """The centres (A, 2) of the cells of all levels in pixels, and the sides of their cells
    (A, 1)."""
    points, sides = [], []
    for (height, width), stride in zip(sizes, strides, strict=True):
        x = (arange(width, dtype=like.dtype, device=like.device) + 0.5) * stride
        y = (arange(height, dtype=like.dtype, device=like.device) + 0.5) * stride
        grid = stack((x.expand(height, width), y[:, None].expand(height, width)), -1)
        points.append(grid.reshape(-1, 2))
        sides.append(x.new_full((height * width, 1), float(stride)))
    return cat(points), cat(sides)


def decoded(distances: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Distances (N, A, 4) from the centre to left, top, right and bottom, in cells -> boxes
    (N, A, 4) in pixels."""
    near, far = distances.chunk(2, -1)
    return cat((points - near * strides, points + far * strides), -1)


def detections(
    boxes: Tensor,
    scores: Tensor,
    frames: list[Frame],
    score_thresh: float,
    nms_thresh: float,
    most: int,
) -> list[Detections]:
    """Boxes (N, A, 4) and scores (N, A, classes) -> for each image `boxes`, `labels` and `scores`,
    best first."""
    found: list[Any] = []
    for one, chances, frame in zip(boxes.detach(), scores.detach(), frames, strict=True):
        best, labels = chances.max(-1)
        places = (best > score_thresh).nonzero().flatten()
        if len(places) > MOST_CANDIDATES:
            places = places[best[places].topk(MOST_CANDIDATES).indices]
        kept = batched_nms(one[places], best[places], labels[places], nms_thresh)[:most]
        places = places[kept]
        found.append(
            {
                "boxes": unframed(one[places], frame),
                "labels": labels[places],
                "scores": best[places],
            }
        )
    return found
