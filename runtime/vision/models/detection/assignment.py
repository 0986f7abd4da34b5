"""Which places of the maps answer for which object: task-aligned assignment.

Source: arXiv:2108.07755, section 3.2.
"""

from __future__ import annotations

from typing import NamedTuple

from .... import arange, where
from ....autograd.grad_mode import no_grad
from ....core.tensor import Tensor
from ....nn.functional import one_hot
from ...ops.boxes import complete_box_iou

TOP = 10
"""Places that an object takes at most."""
ALPHA, BETA = 0.5, 6.0
"""The weights of score and overlap in the measure of alignment, score^alpha * overlap^beta."""
EPS = 1e-9


class Assignment(NamedTuple):
    """For N images and A places: the box (N, A, 4), the scores that classes should have
    (N, A, classes), and whether the place has an object (N, A)."""

    boxes: Tensor
    scores: Tensor
    found: Tensor


def assigned(
    scores: Tensor,
    boxes: Tensor,
    points: Tensor,
    labels: Tensor,
    true_boxes: Tensor,
    exists: Tensor,
) -> Assignment:
    """Predicted scores (N, A, classes) and boxes (N, A, 4) at points (A, 2); M objects of each
    image with labels (N, M) and boxes (N, M, 4), of which `exists` (N, M) tells which are real.

    Each object takes the TOP places inside of it that are aligned best; a place that several want
    goes to the one it overlaps most. The score wanted there is its alignment, scaled so that the
    best place of an object gets the best overlap.
    """
    with no_grad():
        inside = (points > true_boxes[..., None, :2]) & (points < true_boxes[..., None, 2:])
        inside = inside.all(-1) & exists[..., None]  # (N, M, A)
        # Boxes that fill up the batch have no sides, and no aspect ratio.
        overlaps = where(inside, complete_box_iou(true_boxes, boxes).clamp(min=0), 0.0)
        chances = scores.transpose(1, 2).gather(
            1, labels[..., None].expand(-1, -1, scores.shape[1])
        )
        aligned = chances**ALPHA * overlaps**BETA * inside
        best = aligned.topk(min(TOP, aligned.shape[-1]), -1).indices
        wants = aligned.new_zeros(aligned.shape).scatter(-1, best, 1.0) * inside
        owner = (overlaps * wants + wants * EPS).argmax(1, keepdim=True)  # (N, 1, A)
        objects = arange(true_boxes.shape[1], device=owner.device)[:, None]
        takes = wants * (owner == objects)
        aligned, overlaps = aligned * takes, overlaps * takes
        scale = overlaps.amax(-1, keepdim=True) / (aligned.amax(-1, keepdim=True) + EPS)
        wanted = (aligned * scale).amax(1)
        owner = owner[:, 0]
        rows = owner[..., None].expand(-1, -1, 4)
        classes = one_hot(labels.gather(1, owner), scores.shape[-1]).to(scores.dtype)
        found = takes.amax(1) > 0
        return Assignment(true_boxes.gather(1, rows), classes * (wanted * found)[..., None], found)
