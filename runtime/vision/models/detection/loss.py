"""The losses of a detector whose boxes are distributions of distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .... import cat, zeros
from ....core.tensor import Tensor
from ....nn.functional import binary_cross_entropy_with_logits, cross_entropy
from ...ops.losses import complete_box_iou_loss
from .assignment import assigned

Target = Mapping[str, Tensor]

BOX, CLASS, DISTANCES = 7.5, 0.5, 1.5
"""The weights of the three losses."""
BELOW_LAST = 0.01
"""How far, in cells, a distance stays below the last bin, so that there is a bin on either side."""


def _padded(targets: Sequence[Target], like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Labels (N, M), boxes (N, M, 4) and what of them exists (N, M), M the most objects."""
    most = max(1, *(len(t["labels"]) for t in targets))
    labels = zeros((len(targets), most), dtype=targets[0]["labels"].dtype, device=like.device)
    boxes, exists = like.new_zeros((len(targets), most, 4)), labels.new_zeros(labels.shape).bool()
    for k, target in enumerate(targets):
        count = len(target["labels"])
        labels[k, :count] = target["labels"].to(like.device)
        boxes[k, :count] = target["boxes"].to(like.device, like.dtype)
        exists[k, :count] = True
    return labels.long(), boxes, exists


def _distance_loss(logits: Tensor, distances: Tensor) -> Tensor:
    """(K, 4, bins) and distances (K, 4) -> (K,): cross-entropy with the two bins beside each
    distance, weighted by how near they are. Source: arXiv:2006.04388, equation 6."""
    bins = logits.shape[-1]
    distances = distances.clamp(0, bins - 1 - BELOW_LAST).flatten()
    rows = logits.flatten(0, 1)
    low = distances.floor()
    share = distances - low
    low = low.long()
    below = cross_entropy(rows, low, reduction="none") * (1 - share)
    above = cross_entropy(rows, low + 1, reduction="none") * share
    return (below + above).reshape(-1, 4).mean(-1)


def losses(
    distances: Tensor,
    boxes: Tensor,
    scores: Tensor,
    points: Tensor,
    strides: Tensor,
    targets: Sequence[Target],
) -> dict[str, Tensor]:
    """Logits of distances (N, A, 4, bins), boxes (N, A, 4) made of them, logits of classes
    (N, A, classes) at points (A, 2) with cells (A, 1), and targets in pixels of the batch.

    Each is a sum over places, weighted by the scores wanted there, over the sum of those scores:
    `loss_box` 1 - complete IoU, `loss_dfl` of the distributions, `loss_class` the binary
    cross-entropy with the scores wanted, at all places.
    """
    labels, true_boxes, exists = _padded(targets, boxes)
    wanted = assigned(scores.detach().sigmoid(), boxes.detach(), points, labels, true_boxes, exists)
    total = wanted.scores.sum().clamp(min=1)
    of_classes = binary_cross_entropy_with_logits(scores, wanted.scores, reduction="sum") / total
    found = wanted.found
    weights = wanted.scores.sum(-1)[found]
    true = wanted.boxes[found]
    of_boxes = (complete_box_iou_loss(boxes[found], true) * weights).sum() / total
    centres = points.expand(found.shape[0], -1, -1)[found]
    cells = strides.expand(found.shape[0], -1, -1)[found]
    sides = cat((centres - true[:, :2], true[:, 2:] - centres), 1) / cells
    of_distances = (_distance_loss(distances[found], sides) * weights).sum() / total
    return {
        "loss_box": BOX * of_boxes,
        "loss_class": CLASS * of_classes,
        "loss_dfl": DISTANCES * of_distances,
    }
