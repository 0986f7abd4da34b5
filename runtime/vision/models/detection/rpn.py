"""Region proposals: which anchors may hold an object, and boxes made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .... import cat, full, nn, where, zeros_like
from ....core.tensor import Tensor
from ....nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss
from ...ops.blocks import Conv2dNormActivation, rename_older
from ...ops.boxes import box_iou, clip_boxes_to_image, remove_small_boxes
from ...ops.suppression import batched_nms
from .anchors import AnchorGenerator
from .images import ImageList
from .matching import BalancedPositiveNegativeSampler, BoxCoder, Matcher

__all__ = ["AnchorGenerator", "RPNHead", "RegionProposalNetwork"]

SMOOTH = 1 / 9
"""Up to which difference the loss of boxes is a square. Source: arXiv:1506.01497's published
code."""
LEAST = 1e-3  # side of a proposal, in pixels
Target = Mapping[str, Tensor]


class RPNHead(nn.Module):
    """Maps -> for each level logits of an object (N, anchors, H, W), and codes of its box
    (N, 4 anchors, H, W)."""

    def __init__(self, in_channels: int, num_anchors: int, conv_depth: int = 1) -> None:
        super().__init__()
        layers = [Conv2dNormActivation(in_channels, in_channels, 3, norm_layer=None)
                  for _ in range(conv_depth)]  # fmt: skip
        self.conv = nn.Sequential(*layers)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, 1)
        self.bbox_pred = nn.Conv2d(in_channels, num_anchors * 4, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        rename_older(state_dict, prefix, r"conv\.(weight|bias)", r"conv.0.0.\1")
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """See the class."""
        hidden = [self.conv(maps) for maps in x]
        return [self.cls_logits(h) for h in hidden], [self.bbox_pred(h) for h in hidden]


def rows_of(maps: Tensor, numbers: int) -> Tensor:
    """(N, anchors * numbers, H, W) -> (N, H * W * anchors, numbers), in the order of anchors."""
    count, _, height, width = maps.shape
    cells = maps.reshape(count, -1, numbers, height, width).permute(0, 3, 4, 1, 2)
    return cells.reshape(count, -1, numbers)


class RegionProposalNetwork(nn.Module):
    """Maps of a batch -> boxes (K, 4) of each image, best first, and in training losses.

    An anchor is taken for an object that it overlaps by `fg_iou_thresh` or more than all others,
    for none below `bg_iou_thresh`; `batch_size_per_image` of them are learned from. Of each level
    the best `pre_nms_top_n` go through suppression by `nms_thresh`, and of all the best
    `post_nms_top_n` remain. Source: arXiv:1506.01497, section 3.
    """

    def __init__(
        self,
        anchor_generator: nn.Module,
        head: nn.Module,
        fg_iou_thresh: float,
        bg_iou_thresh: float,
        batch_size_per_image: int,
        positive_fraction: float,
        pre_nms_top_n: Mapping[str, int],
        post_nms_top_n: Mapping[str, int],
        nms_thresh: float,
        score_thresh: float = 0.0,
    ) -> None:
        super().__init__()
        self.anchor_generator, self.head = anchor_generator, head
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self.proposal_matcher = Matcher(fg_iou_thresh, bg_iou_thresh, True)
        self.fg_bg_sampler = BalancedPositiveNegativeSampler(
            batch_size_per_image, positive_fraction
        )
        self._pre_nms_top_n, self._post_nms_top_n = dict(pre_nms_top_n), dict(post_nms_top_n)
        self.nms_thresh, self.score_thresh = nms_thresh, score_thresh

    def forward(
        self,
        images: ImageList,
        features: Mapping[str, Tensor],
        targets: Sequence[Target] | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """See the class; the losses are `loss_objectness` and `loss_rpn_box_reg`."""
        maps = list(features.values())
        logits, codes = self.head(maps)
        anchors = self.anchor_generator(images, maps)
        levels = [x.shape[1] * x.shape[2] * x.shape[3] for x in logits]
        scores = cat([rows_of(x, 1) for x in logits], 1)[..., 0]
        moves = cat([rows_of(x, 4) for x in codes], 1)
        boxes = self.box_coder.decode(moves.detach().flatten(0, 1), anchors)
        boxes = boxes.reshape(len(anchors), -1, 4)
        found = self.filter_proposals(boxes, scores.detach(), images.image_sizes, levels)
        if not self.training:
            return found, {}
        return found, self._losses(scores, moves, anchors, targets or [])

    def filter_proposals(
        self, proposals: Tensor, objectness: Tensor, image_shapes: Any, levels: list[int]
    ) -> list[Tensor]:
        """Boxes (N, A, 4) and logits (N, A) -> of each image the boxes (K, 4) that remain."""
        mode = "training" if self.training else "testing"
        first, places, numbers = 0, [], []
        for level, part in enumerate(objectness.split(levels, 1)):
            count = min(self._pre_nms_top_n[mode], part.shape[1])
            places.append(part.topk(count, 1).indices + first)
            numbers.append(full((count,), level, device=part.device))
            first += part.shape[1]
        best, level_of = cat(places, 1), cat(numbers)
        found = []
        for boxes, scores, rows, size in zip(
            proposals, objectness.sigmoid(), best, image_shapes, strict=True
        ):
            boxes, scores, level = clip_boxes_to_image(boxes[rows], size), scores[rows], level_of
            keep = remove_small_boxes(boxes, LEAST)
            keep = keep[scores[keep] >= self.score_thresh]
            boxes = boxes[keep]
            kept = batched_nms(boxes, scores[keep], level[keep], self.nms_thresh)
            found.append(boxes[kept[: self._post_nms_top_n[mode]]])
        return found

    def _losses(
        self, scores: Tensor, moves: Tensor, anchors: list[Tensor], targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        labels, wanted = [], []
        for boxes, target in zip(anchors, targets, strict=True):
            true = target["boxes"].to(boxes.dtype)
            if len(true):
                owner = self.proposal_matcher(box_iou(true, boxes))
                kind = (owner >= 0).to(boxes.dtype)
                labels.append(where(owner == Matcher.BETWEEN_THRESHOLDS, -1.0, kind))
                wanted.append(true[owner.clamp(min=0)])
            else:
                labels.append(zeros_like(boxes[:, 0]))
                wanted.append(zeros_like(boxes))
        positive, negative = (cat(x) for x in self.fg_bg_sampler(labels))
        codes = cat(self.box_coder.encode(wanted, anchors))
        logits, moves = scores.flatten(), moves.flatten(0, 1)
        drawn = cat((where(positive)[0], where(negative)[0]))
        of_boxes = smooth_l1_loss(moves[positive], codes[positive], beta=SMOOTH, reduction="sum")
        objectness = binary_cross_entropy_with_logits(logits[drawn], cat(labels)[drawn])
        return {
            "loss_objectness": objectness,
            "loss_rpn_box_reg": of_boxes / max(len(drawn), 1),
        }
