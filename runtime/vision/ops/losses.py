"""Losses of detectors: focal loss of logits, and what boxes lack to cover their targets."""

from __future__ import annotations

from ...core.tensor import Tensor
from ...errors import ShapeError
from ...nn.functional import binary_cross_entropy_with_logits
from .boxes import aspect_penalty, centre_distance, checked, enclosing, overlap, real

__all__ = [
    "complete_box_iou_loss",
    "distance_box_iou_loss",
    "generalized_box_iou_loss",
    "sigmoid_focal_loss",
]


def _reduced(name: str, loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction == "mean":
        return loss.mean() if loss.numel() else loss.sum()  # the mean of nothing would be NaN
    raise ValueError(f"{name}: expected reduction none, mean or sum. Got {reduction!r}.")


def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    alpha: float = 0.25,
    gamma: float = 2,
    reduction: str = "none",
) -> Tensor:
    """alpha_t (1 - p_t)^gamma times the cross-entropy of logits and targets of one shape, 0 or 1:
    what is classified well already weighs little.

    `alpha` is the weight of positive targets, 1 - alpha that of negative ones; below 0 both weigh
    the same. Source: arXiv:1708.02002, equation 5.
    """
    if not (0 <= alpha <= 1 or alpha == -1):
        raise ValueError(f"sigmoid_focal_loss: expected alpha in [0, 1], or -1. Got {alpha}.")
    p = inputs.sigmoid()
    missing = p + targets - 2 * p * targets  # 1 - p_t
    loss = binary_cross_entropy_with_logits(inputs, targets, reduction="none") * missing**gamma
    if alpha >= 0:
        loss = loss * (alpha * targets + (1 - alpha) * (1 - targets))
    return _reduced("sigmoid_focal_loss", loss, reduction)


def _paired(name: str, boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    if checked(name, boxes1).shape != checked(name, boxes2).shape:
        raise ShapeError(
            f"{name}: expected a target for each box. Got shapes {tuple(boxes1.shape)} and "
            f"{tuple(boxes2.shape)}."
        )
    return real(boxes1), real(boxes2)


def generalized_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """1 - generalized IoU of boxes (..., 4) with their targets. Source: arXiv:1902.09630."""
    a, b = _paired("generalized_box_iou_loss", boxes1, boxes2)
    shared, union = overlap(a, b)
    sides = enclosing(a, b)
    whole = sides[..., 0] * sides[..., 1]
    loss = 1 - shared / (union + eps) + (whole - union) / (whole + eps)
    return _reduced("generalized_box_iou_loss", loss, reduction)


def distance_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """1 - distance IoU of boxes (..., 4) with their targets. Source: arXiv:1911.08287."""
    a, b = _paired("distance_box_iou_loss", boxes1, boxes2)
    shared, union = overlap(a, b)
    loss = 1 - shared / (union + eps) + centre_distance(a, b, eps)
    return _reduced("distance_box_iou_loss", loss, reduction)


def complete_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """1 - complete IoU of boxes (..., 4) with their targets. Source: arXiv:1911.08287."""
    a, b = _paired("complete_box_iou_loss", boxes1, boxes2)
    shared, union = overlap(a, b)
    iou = shared / (union + eps)
    loss = 1 - iou + centre_distance(a, b, eps) + aspect_penalty(a, b, iou, eps)
    return _reduced("complete_box_iou_loss", loss, reduction)
