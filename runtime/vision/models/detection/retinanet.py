"""RetinaNet: classes and boxes of all anchors at once, learned by the focal loss."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .... import cat, full, nn, stack, where, zeros_like
from ....core.tensor import Tensor
from ....nn.functional import l1_loss
from ...ops.blocks import Conv2dNormActivation, rename_older
from ...ops.boxes import box_iou, clip_boxes_to_image
from ...ops.feature_pyramid_network import LastLevelP6P7
from ...ops.losses import generalized_box_iou_loss, sigmoid_focal_loss
from ...ops.suppression import batched_nms
from ..registry import register_model, weights_of_module
from .anchors import AnchorGenerator
from .faster_rcnn import CLASSES, RATIOS, SIZES, checked_targets, resnet_pyramid
from .images import GeneralizedRCNNTransform
from .matching import BoxCoder, Matcher
from .rpn import rows_of

__all__ = ["RetinaNet", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2"]

OCTAVES = (2 ** (1 / 3), 2 ** (2 / 3))
"""Sizes between those of two levels."""
PRIOR = 0.01
"""The probability of an object that anchors begin with. Source: arXiv:1708.02002, section 4.1."""
Norm = Callable[..., nn.Module]
Target = Mapping[str, Tensor]


def _anchors() -> AnchorGenerator:
    sizes = tuple((size, *(int(size * octave) for octave in OCTAVES)) for (size,) in SIZES)
    return AnchorGenerator(sizes, (RATIOS,) * len(sizes))


class _Tower(nn.Module):
    """Four 3x3 convolutions, and one more, `last`, to `numbers` for each anchor of a place."""

    last: str

    def __init__(self, channels: int, numbers: int, norm_layer: Norm | None) -> None:
        super().__init__()
        layers = [Conv2dNormActivation(channels, channels, norm_layer=norm_layer)
                  for _ in range(4)]  # fmt: skip
        self.conv, self.numbers = nn.Sequential(*layers), numbers

    def _initialize(self, module: nn.Module) -> None:
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        if f"{prefix}conv.2.weight" in state_dict:  # every second of them was an activation
            for k in range(4):
                older = rf"conv\.{2 * k}\.(weight|bias)"
                rename_older(state_dict, prefix, older, rf"conv.{k}.0.\1")
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        """Maps of all levels -> (N, A, numbers)."""
        last = getattr(self, self.last)
        return cat([rows_of(last(self.conv(maps)), self.numbers) for maps in x], 1)


class RetinaNetClassificationHead(_Tower):
    """Maps -> logits (N, A, num_classes)."""

    last = "cls_logits"

    def __init__(
        self,
        in_channels: int,
        num_anchors: int,
        num_classes: int,
        prior_probability: float = PRIOR,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__(in_channels, num_classes, norm_layer)
        self.num_classes, self.num_anchors = num_classes, num_anchors
        self._initialize(self.conv)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors * num_classes, 3, 1, 1)
        self._initialize(self.cls_logits)
        nn.init.constant_(self.cls_logits.bias, -math.log(1 / prior_probability - 1))

    def compute_loss(
        self, targets: Sequence[Target], logits: Tensor, owners: Sequence[Tensor]
    ) -> Tensor:
        """The focal loss of all anchors but those between the thresholds, over the number of those
        that have an object; the mean of images."""
        losses = []
        for target, scores, owner in zip(targets, logits, owners, strict=True):
            (objects,) = where(owner >= 0)
            wanted = zeros_like(scores)
            wanted[objects, target["labels"][owner[objects]]] = 1.0
            known = owner != Matcher.BETWEEN_THRESHOLDS
            loss = sigmoid_focal_loss(scores[known], wanted[known], reduction="sum")
            losses.append(loss / max(1, len(objects)))
        return stack(losses).mean()


class RetinaNetRegressionHead(_Tower):
    """Maps -> codes of boxes (N, A, 4)."""

    last = "bbox_reg"

    def __init__(self, in_channels: int, num_anchors: int, norm_layer: Norm | None = None) -> None:
        super().__init__(in_channels, 4, norm_layer)
        self.bbox_reg = nn.Conv2d(in_channels, num_anchors * 4, 3, 1, 1)
        self._initialize(self.bbox_reg)
        self._initialize(self.conv)
        self.box_coder, self._loss_type = BoxCoder((1.0, 1.0, 1.0, 1.0)), "l1"

    def compute_loss(
        self,
        targets: Sequence[Target],
        codes: Tensor,
        anchors: Sequence[Tensor],
        owners: Sequence[Tensor],
    ) -> Tensor:
        """Of the anchors that have an object the distance of codes, or what the generalized IoU
        lacks, over their number; the mean of images."""
        losses = []
        for target, found, boxes, owner in zip(targets, codes, anchors, owners, strict=True):
            (objects,) = where(owner >= 0)
            true, found, boxes = target["boxes"][owner[objects]], found[objects], boxes[objects]
            if self._loss_type == "l1":
                loss = l1_loss(found, self.box_coder.encode_single(true, boxes), reduction="sum")
            else:
                placed = self.box_coder.decode_single(found, boxes)
                loss = generalized_box_iou_loss(placed, true, reduction="sum")
            losses.append(loss / max(1, len(objects)))
        return stack(losses).mean()


class RetinaNetHead(nn.Module):
    """Both heads."""

    def __init__(
        self, in_channels: int, num_anchors: int, num_classes: int, norm_layer: Norm | None = None
    ) -> None:
        super().__init__()
        self.classification_head = RetinaNetClassificationHead(
            in_channels, num_anchors, num_classes, norm_layer=norm_layer
        )
        self.regression_head = RetinaNetRegressionHead(in_channels, num_anchors, norm_layer)

    def forward(self, x: Sequence[Tensor]) -> dict[str, Tensor]:
        """Maps -> `cls_logits` (N, A, num_classes) and `bbox_regression` (N, A, 4)."""
        return {"cls_logits": self.classification_head(x),
                "bbox_regression": self.regression_head(x)}  # fmt: skip


class RetinaNet(nn.Module):
    """Images -> detections, or in training the losses `classification` and `bbox_regression`.

    It is called as `GeneralizedRCNN` is. `num_classes` counts the background, which no anchor ever
    has. An anchor is taken for the object that it overlaps by `fg_iou_thresh` or more than all
    others. Of each level the best `topk_candidates` go through suppression by `nms_thresh`. Source:
    arXiv:1708.02002.
    """

    def __init__(
        self,
        backbone: Any,
        num_classes: int,
        min_size: int | Sequence[int] = 800,
        max_size: int = 1333,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        anchor_generator: Any = None,
        head: Any = None,
        proposal_matcher: Matcher | None = None,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections_per_img: int = 300,
        fg_iou_thresh: float = 0.5,
        bg_iou_thresh: float = 0.4,
        topk_candidates: int = 1000,
        **options: Any,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.anchor_generator = anchor_generator or _anchors()
        count = self.anchor_generator.num_anchors_per_location()[0]
        self.head = head or RetinaNetHead(backbone.out_channels, count, num_classes)
        self.proposal_matcher = proposal_matcher or Matcher(fg_iou_thresh, bg_iou_thresh, True)
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self.transform = GeneralizedRCNNTransform(
            min_size, max_size, image_mean, image_std, **options
        )
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Target] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """See the class. Raises: ValueError without targets in training, or for boxes without
        area."""
        if self.training:
            targets = checked_targets("RetinaNet", targets, len(images))
        sizes = [(int(x.shape[-2]), int(x.shape[-1])) for x in images]
        batch, targets = self.transform(images, targets)
        maps = self.backbone(batch.tensors)
        levels = list(maps.values()) if isinstance(maps, OrderedDict | dict) else [maps]
        out = self.head(levels)
        anchors = self.anchor_generator(batch, levels)
        if self.training:
            return self._losses(out, anchors, targets or [])
        cells = [x.shape[2] * x.shape[3] for x in levels]
        each = len(anchors[0]) // sum(cells)
        found = [
            self._detections(scores, codes, boxes, [n * each for n in cells], size)
            for scores, codes, boxes, size in zip(
                out["cls_logits"], out["bbox_regression"], anchors, batch.image_sizes, strict=True
            )
        ]
        return self.transform.postprocess(found, batch.image_sizes, sizes)

    def _losses(
        self, out: Mapping[str, Tensor], anchors: Sequence[Tensor], targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        owners = []
        for boxes, target in zip(anchors, targets, strict=True):
            none = full((len(boxes),), Matcher.BELOW_LOW_THRESHOLD, device=boxes.device)
            true = target["boxes"]
            owners.append(self.proposal_matcher(box_iou(true, boxes)) if len(true) else none)
        heads = self.head.classification_head, self.head.regression_head
        return {
            "classification": heads[0].compute_loss(targets, out["cls_logits"], owners),
            "bbox_regression": heads[1].compute_loss(
                targets, out["bbox_regression"], anchors, owners
            ),
        }

    def _detections(
        self, logits: Tensor, codes: Tensor, anchors: Tensor, levels: list[int], size: Any
    ) -> dict[str, Tensor]:
        """Logits (A, classes), codes (A, 4) and anchors (A, 4) of one image -> its detections."""
        classes = logits.shape[-1]
        boxes, scores, labels, first = [], [], [], 0
        for part in logits.sigmoid().split(levels):
            chances = part.flatten()
            (places,) = where(chances > self.score_thresh)
            best = chances[places].topk(min(self.topk_candidates, len(places)))
            places = places[best.indices]
            rows = places // classes + first
            boxes.append(self.box_coder.decode_single(codes[rows], anchors[rows]))
            scores.append(best.values)
            labels.append(places % classes)
            first += len(part)
        whole, chances, numbers = clip_boxes_to_image(cat(boxes), size), cat(scores), cat(labels)
        keep = batched_nms(whole, chances, numbers, self.nms_thresh)[: self.detections_per_img]
        return {"boxes": whole[keep], "scores": chances[keep], "labels": numbers[keep]}


@register_model
def retinanet_resnet50_fpn(
    num_classes: int = CLASSES,
    weights_backbone: Any = "IMAGENET1K_V1",
    trainable_backbone_layers: int | None = None,
    trained: bool = False,
    **options: Any,
) -> RetinaNet:
    """RetinaNet over ResNet-50. Source: arXiv:1708.02002."""
    how = {"returned_layers": (2, 3, 4), "extra_blocks": partial(LastLevelP6P7, 256, 256)}
    net = resnet_pyramid(weights_backbone, trained, trainable_backbone_layers, **how)
    return RetinaNet(net, num_classes, **options)


@register_model
def retinanet_resnet50_fpn_v2(
    num_classes: int = CLASSES,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    trained: bool = False,
    **options: Any,
) -> RetinaNet:
    """The same with group norm in its heads, boxes learned by their overlap. Source:
    arXiv:1912.02424."""
    how = {"norm": nn.BatchNorm2d, "returned_layers": (2, 3, 4),
           "extra_blocks": partial(LastLevelP6P7, 2048, 256)}  # fmt: skip
    net = resnet_pyramid(weights_backbone, trained, trainable_backbone_layers, **how)
    anchors = _anchors()
    count = anchors.num_anchors_per_location()[0]
    head = RetinaNetHead(net.out_channels, count, num_classes, partial(nn.GroupNorm, 32))
    head.regression_head._loss_type = "giou"
    return RetinaNet(net, num_classes, anchor_generator=anchors, head=head, **options)


__getattr__ = weights_of_module(__name__)
