"""The second stage of a detector: what each proposed region holds, its box and its mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .... import arange, cat, nn, where, zeros
from ....core.tensor import Tensor
from ....nn.functional import cross_entropy, smooth_l1_loss
from ...ops.boxes import box_iou, clip_boxes_to_image, remove_small_boxes
from ...ops.suppression import batched_nms
from .masks import maskrcnn_inference, maskrcnn_loss
from .matching import BalancedPositiveNegativeSampler, BoxCoder, Matcher
from .rpn import SMOOTH

__all__ = ["RoIHeads"]

WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""Of the codes of boxes, which makes their deviations about 1."""
LEAST = 1e-2  # side of a detection, in pixels
Target = Mapping[str, Tensor]


def fastrcnn_loss(
    class_logits: Tensor, box_regression: Tensor, labels: Tensor, wanted: Tensor
) -> dict[str, Tensor]:
    """Logits (K, classes), codes (K, 4 classes), labels (K,) and the codes wanted (K, 4): the
    cross-entropy, and the distance of the codes of each object's class. Source: arXiv:1504.08083,
    section 2.3."""
    (positive,) = where(labels > 0)
    codes = box_regression.unflatten(1, (-1, 4))[positive, labels[positive]]
    of_boxes = smooth_l1_loss(codes, wanted[positive], beta=SMOOTH, reduction="sum")
    return {
        "loss_classifier": cross_entropy(class_logits, labels),
        "loss_box_reg": of_boxes / labels.numel(),
    }


class RoIHeads(nn.Module):
    """Maps and proposed boxes -> detections, or in training losses.

    A region is taken for the object that it overlaps by `fg_iou_thresh`, for background (class 0)
    below `bg_iou_thresh`; of each image `batch_size_per_image` are learned from, a share of
    `positive_fraction` of objects. Detections are at most `detections_per_img` boxes with a score
    above `score_thresh`, after suppression by `nms_thresh` within each class.
    """

    def __init__(
        self,
        box_roi_pool: nn.Module,
        box_head: nn.Module,
        box_predictor: nn.Module,
        fg_iou_thresh: float,
        bg_iou_thresh: float,
        batch_size_per_image: int,
        positive_fraction: float,
        bbox_reg_weights: Sequence[float] | None,
        score_thresh: float,
        nms_thresh: float,
        detections_per_img: int,
        mask_roi_pool: Any = None,
        mask_head: Any = None,
        mask_predictor: Any = None,
    ) -> None:
        super().__init__()
        self.proposal_matcher = Matcher(fg_iou_thresh, bg_iou_thresh)
        self.fg_bg_sampler = BalancedPositiveNegativeSampler(
            batch_size_per_image, positive_fraction
        )
        self.box_coder = BoxCoder(bbox_reg_weights or WEIGHTS)
        self.box_roi_pool, self.box_head = box_roi_pool, box_head
        self.box_predictor = box_predictor
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img = detections_per_img
        self.mask_roi_pool, self.mask_head = mask_roi_pool, mask_head
        self.mask_predictor = mask_predictor

    def has_mask(self) -> bool:
        """Whether masks are found too."""
        return None not in (self.mask_roi_pool, self.mask_head, self.mask_predictor)

    def forward(
        self,
        features: Mapping[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: Sequence[Target] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Detections (none in training) and losses (none in evaluation)."""
        if not self.training:
            found = self._detections(*self._read(features, proposals, image_shapes), proposals,
                                     image_shapes)  # fmt: skip
            if self.has_mask():
                boxes = [one["boxes"] for one in found]
                logits = self._masks(features, boxes, image_shapes)
                masks = maskrcnn_inference(logits, [one["labels"] for one in found])
                found = [{**one, "masks": mask} for one, mask in zip(found, masks, strict=True)]
            return found, {}
        drawn, owners, labels, wanted = self._drawn(proposals, targets or [])
        logits, codes = self._read(features, drawn, image_shapes)
        losses = fastrcnn_loss(logits, codes, cat(labels), wanted)
        if self.has_mask():
            losses["loss_mask"] = self._mask_loss(
                features, drawn, owners, labels, image_shapes, targets or []
            )
        return [], losses

    def _read(self, features: Any, regions: list[Tensor], shapes: Any) -> tuple[Tensor, Tensor]:
        """Logits (K, classes) and codes (K, 4 classes) of all regions."""
        logits, codes = self.box_predictor(
            self.box_head(self.box_roi_pool(features, regions, shapes))
        )
        return logits, codes

    def _masks(self, features: Any, regions: list[Tensor], shapes: Any) -> Tensor:
        pooled = self.mask_roi_pool(features, regions, shapes)
        logits: Tensor = self.mask_predictor(self.mask_head(pooled))
        return logits

    def _mask_loss(
        self, features: Any, regions: Any, owners: Any, labels: Any, shapes: Any, targets: Any
    ) -> Tensor:
        objects = [where(one > 0)[0] for one in labels]
        boxes = [one[places] for one, places in zip(regions, objects, strict=True)]
        which = [one[places] for one, places in zip(owners, objects, strict=True)]
        logits = self._masks(features, boxes, shapes)
        masks, classes = [t["masks"] for t in targets], [t["labels"] for t in targets]
        return maskrcnn_loss(logits, boxes, masks, classes, which)

    def _drawn(
        self, proposals: list[Tensor], targets: Sequence[Target]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
        """The regions of each image that are learned from, the objects they belong to, their
        labels, and the codes (K, 4) of all their boxes; the objects themselves are among them."""
        regions, owners, labels, boxes = [], [], [], []
        for proposed, target in zip(proposals, targets, strict=True):
            true = target["boxes"].to(proposed.dtype)
            whole = cat((proposed, true))
            if len(true):
                owner = self.proposal_matcher(box_iou(true, whole))
                known = target["labels"].to(owner.dtype)[owner.clamp(min=0)]
                known = where(owner == Matcher.BELOW_LOW_THRESHOLD, 0, known)
                known = where(owner == Matcher.BETWEEN_THRESHOLDS, -1, known)
            else:
                owner = known = zeros(len(whole), dtype=target["labels"].dtype,
                                      device=whole.device).long()  # fmt: skip
                true = whole.new_zeros((1, 4))
            regions.append(whole)
            owners.append(owner.clamp(min=0))
            labels.append(known)
            boxes.append(true)
        masks = zip(*self.fg_bg_sampler(labels), strict=True)
        places = [where(positive | negative)[0] for positive, negative in masks]
        regions, owners, labels = (
            [x[p] for x, p in zip(several, places, strict=True)]
            for several in (regions, owners, labels)
        )
        matched = [x[owner] for x, owner in zip(boxes, owners, strict=True)]
        return regions, owners, labels, cat(self.box_coder.encode(matched, regions))

    def _detections(
        self, logits: Tensor, codes: Tensor, proposals: list[Tensor], shapes: Any
    ) -> list[dict[str, Tensor]]:
        """Of each image `boxes`, `labels` and `scores`, best first."""
        counts = [len(boxes) for boxes in proposals]
        boxes = self.box_coder.decode(codes, proposals).split(counts)
        classes = arange(1, logits.shape[1], device=logits.device)
        found = []
        for one, scores, size in zip(boxes, logits.softmax(-1).split(counts), shapes, strict=True):
            chances = scores[:, 1:].flatten()  # without the background
            labels = classes.expand(len(scores), -1).flatten()
            whole = clip_boxes_to_image(one[:, 1:].reshape(-1, 4), size)
            (keep,) = where(chances > self.score_thresh)
            keep = keep[remove_small_boxes(whole[keep], LEAST)]
            kept = batched_nms(whole[keep], chances[keep], labels[keep], self.nms_thresh)
            keep = keep[kept[: self.detections_per_img]]
            found.append({"boxes": whole[keep], "labels": labels[keep], "scores": chances[keep]})
        return found
