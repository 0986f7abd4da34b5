"""Faster R-CNN: regions are proposed first, then told apart."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .... import nn
from ....core.tensor import Tensor
from ....errors import ShapeError
from ...ops.blocks import Conv2dNormActivation, FrozenBatchNorm2d
from ...ops.regions import MultiScaleRoIAlign
from ..registry import backbone_of, register_model, weights_of_module
from .anchors import AnchorGenerator
from .backbones import mobilenet_with_pyramid, trainable_layers, with_pyramid
from .images import GeneralizedRCNNTransform
from .roi_heads import RoIHeads
from .rpn import RegionProposalNetwork, RPNHead

__all__ = [
    "FasterRCNN", "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2",
]  # fmt: skip

SIZES, RATIOS = ((32,), (64,), (128,), (256,), (512,)), (0.5, 1.0, 2.0)
HIDDEN = 1024
CLASSES = 91
"""Of COCO, with the background."""
Target = Mapping[str, Tensor]


def checked_targets(name: str, targets: Sequence[Target] | None, count: int) -> Sequence[Target]:
    """Targets of as many images, with boxes (M, 4) whose sides are positive. Raises: ValueError."""
    if targets is None or len(targets) != count:
        got = "none" if targets is None else str(len(targets))
        raise ValueError(
            f"{name}: expected a target for each of {count} images in training. Got {got}; call "
            "model.eval() to detect."
        )
    for k, target in enumerate(targets):
        missing = [key for key in ("boxes", "labels") if key not in target]
        if missing:
            raise ValueError(f"{name}: expected boxes and labels. Target {k} has no {missing[0]}.")
        boxes, labels = target["boxes"], target["labels"]
        if boxes.ndim != 2 or boxes.shape[1] != 4 or len(labels) != len(boxes):
            raise ShapeError(
                f"{name}: expected boxes (M, 4) and labels (M,). Target {k} has shapes "
                f"{tuple(boxes.shape)} and {tuple(labels.shape)}."
            )
        empty = (boxes[:, 2:] <= boxes[:, :2]).any(1)
        if empty.any():
            raise ValueError(
                f"{name}: expected x1 < x2 and y1 < y2. Target {k} has {boxes[empty][0].tolist()}."
            )
    return targets


class GeneralizedRCNN(nn.Module):
    """Images -> detections, or in training losses, by four parts: what prepares images, what makes
    maps of them, what proposes regions, and what tells them apart.

    `model(images)`: a list of (3, H, W), floats from 0 to 1. In evaluation a list of dicts: `boxes`
    (K, 4) in pixels, `labels` (K,), `scores` (K,), best first, and `masks` (K, 1, H, W) from 0 to 1
    of models that find them. In training `model(images, targets)` with `boxes` (M, 4), `labels`
    (M,) int64 from 1 on, and `masks` (M, H, W) for those: a dict of losses, whose sum is to be made
    small.
    """

    def __init__(
        self, backbone: nn.Module, rpn: nn.Module, roi_heads: nn.Module, transform: nn.Module
    ) -> None:
        super().__init__()
        self.transform, self.backbone, self.rpn = transform, backbone, rpn
        self.roi_heads = roi_heads

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Target] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """See the class. Raises: ValueError without targets in training, or for boxes without
        area."""
        name = type(self).__name__
        if self.training:
            targets = checked_targets(name, targets, len(images))
            if self.roi_heads.has_mask() and not all("masks" in t for t in targets):
                raise ValueError(f"{name}: expected masks (M, H, W) in each target. Got none.")
        sizes = [(int(x.shape[-2]), int(x.shape[-1])) for x in images]
        batch, targets = self.transform(images, targets)
        maps = self.backbone(batch.tensors)
        maps = OrderedDict([("0", maps)]) if isinstance(maps, Tensor) else maps
        proposals, losses = self.rpn(batch, maps, targets)
        found, of_regions = self.roi_heads(maps, proposals, batch.image_sizes, targets)
        if self.training:
            return {**of_regions, **losses}
        detections: list[dict[str, Tensor]] = self.transform.postprocess(
            found, batch.image_sizes, sizes
        )
        return detections


class FasterRCNN(GeneralizedRCNN):
    """See `GeneralizedRCNN`. Source: arXiv:1506.01497, with the pyramid of arXiv:1612.03144.

    `backbone`: images -> maps or a dict of them, with the attribute `out_channels`. Either
    `num_classes`, with the background, or a `box_predictor`. Options that begin with `rpn_` are
    those of `RegionProposalNetwork`, with `box_` those of `RoIHeads`; others go to
    `GeneralizedRCNNTransform`.
    """

    def __init__(
        self,
        backbone: Any,
        num_classes: int | None = None,
        min_size: int | Sequence[int] = 800,
        max_size: int = 1333,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        rpn_anchor_generator: Any = None,
        rpn_head: nn.Module | None = None,
        rpn_pre_nms_top_n_train: int = 2000,
        rpn_pre_nms_top_n_test: int = 1000,
        rpn_post_nms_top_n_train: int = 2000,
        rpn_post_nms_top_n_test: int = 1000,
        rpn_nms_thresh: float = 0.7,
        rpn_fg_iou_thresh: float = 0.7,
        rpn_bg_iou_thresh: float = 0.3,
        rpn_batch_size_per_image: int = 256,
        rpn_positive_fraction: float = 0.5,
        rpn_score_thresh: float = 0.0,
        box_roi_pool: Any = None,
        box_head: nn.Module | None = None,
        box_predictor: nn.Module | None = None,
        box_score_thresh: float = 0.05,
        box_nms_thresh: float = 0.5,
        box_detections_per_img: int = 100,
        box_fg_iou_thresh: float = 0.5,
        box_bg_iou_thresh: float = 0.5,
        box_batch_size_per_image: int = 512,
        box_positive_fraction: float = 0.25,
        bbox_reg_weights: Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        channels = _channels_of(backbone, num_classes, box_predictor)
        anchors = rpn_anchor_generator or AnchorGenerator(SIZES, (RATIOS,) * len(SIZES))
        rpn = RegionProposalNetwork(
            anchors,
            rpn_head or RPNHead(channels, anchors.num_anchors_per_location()[0]),
            rpn_fg_iou_thresh,
            rpn_bg_iou_thresh,
            rpn_batch_size_per_image,
            rpn_positive_fraction,
            {"training": rpn_pre_nms_top_n_train, "testing": rpn_pre_nms_top_n_test},
            {"training": rpn_post_nms_top_n_train, "testing": rpn_post_nms_top_n_test},
            rpn_nms_thresh,
            rpn_score_thresh,
        )
        pool = box_roi_pool or MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
        head = box_head or TwoMLPHead(channels * pool.output_size[0] ** 2, HIDDEN)
        roi_heads = RoIHeads(
            pool,
            head,
            box_predictor or FastRCNNPredictor(HIDDEN, num_classes or 0),
            box_fg_iou_thresh,
            box_bg_iou_thresh,
            box_batch_size_per_image,
            box_positive_fraction,
            bbox_reg_weights,
            box_score_thresh,
            box_nms_thresh,
            box_detections_per_img,
        )
        transform = GeneralizedRCNNTransform(min_size, max_size, image_mean, image_std, **options)
        super().__init__(backbone, rpn, roi_heads, transform)


def _channels_of(backbone: Any, num_classes: int | None, predictor: Any) -> int:
    if not hasattr(backbone, "out_channels"):
        raise ValueError(
            "FasterRCNN: expected a backbone with the attribute out_channels, the channels of its "
            f"maps. Got a {type(backbone).__name__} without."
        )
    if (num_classes is None) == (predictor is None):
        raise ValueError("FasterRCNN: expected either num_classes or box_predictor.")
    return int(backbone.out_channels)


class TwoMLPHead(nn.Module):
    """Pooled maps (K, C, S, S) -> (K, representation_size), by two linear layers."""

    def __init__(self, in_channels: int, representation_size: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_channels, representation_size)
        self.fc7 = nn.Linear(representation_size, representation_size)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.fc7(self.fc6(x.flatten(1)).relu()).relu()


class FastRCNNConvFCHead(nn.Sequential):
    """Pooled maps (K, C, H, W) of `input_size` (C, H, W) -> (K, fc_layers[-1]), by convolutions and
    linear layers."""

    def __init__(
        self,
        input_size: tuple[int, int, int],
        conv_layers: Sequence[int],
        fc_layers: Sequence[int],
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        channels, height, width = input_size
        layers: list[nn.Module] = []
        for out in conv_layers:
            layers.append(Conv2dNormActivation(channels, out, norm_layer=norm_layer))
            channels = out
        layers.append(nn.Flatten())
        features = channels * height * width
        for out in fc_layers:
            layers += [nn.Linear(features, out), nn.ReLU(inplace=True)]
            features = out
        super().__init__(*layers)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


class FastRCNNPredictor(nn.Module):
    """(K, in_channels) -> logits (K, num_classes) and codes of boxes (K, 4 num_classes)."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, num_classes * 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        x = x.flatten(1)
        return self.cls_score(x), self.bbox_pred(x)


def resnet_pyramid(weights: Any, trained: bool, layers: int | None, **options: Any) -> Any:
    """ResNet-50 with a pyramid; its norms are frozen if it, or the whole model, is trained.

    `extra_blocks` makes what follows the pyramid; it is called after the ResNet is made, which is
    the order that torchvision draws initial values in.
    """
    trained = trained or weights is not None
    frozen = FrozenBatchNorm2d if trained else nn.BatchNorm2d
    net = backbone_of("resnet50", weights, norm_layer=options.pop("norm", frozen))
    if "extra_blocks" in options:
        options["extra_blocks"] = options["extra_blocks"]()
    return with_pyramid(net, trainable_layers(trained, layers, 5), **options)


def second_parts(channels: int = 256) -> dict[str, nn.Module]:
    """The heads of the second version. Source: arXiv:2111.11429."""
    pooled = (channels, 7, 7)
    return {
        "rpn_head": RPNHead(channels, len(RATIOS), conv_depth=2),
        "box_head": FastRCNNConvFCHead(pooled, [256] * 4, [HIDDEN], nn.BatchNorm2d),
    }


@register_model
def fasterrcnn_resnet50_fpn(
    num_classes: int = CLASSES,
    weights_backbone: Any = "IMAGENET1K_V1",
    trainable_backbone_layers: int | None = None,
    trained: bool = False,
    **options: Any,
) -> FasterRCNN:
    """Faster R-CNN over ResNet-50. Source: arXiv:1506.01497."""
    net = resnet_pyramid(weights_backbone, trained, trainable_backbone_layers)
    return FasterRCNN(net, num_classes, **options)


@register_model
def fasterrcnn_resnet50_fpn_v2(
    num_classes: int = CLASSES,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    trained: bool = False,
    **options: Any,
) -> FasterRCNN:
    """The same with deeper heads, and norms in all of them. Source: arXiv:2111.11429."""
    how = {"norm": nn.BatchNorm2d, "norm_layer": nn.BatchNorm2d}
    net = resnet_pyramid(weights_backbone, trained, trainable_backbone_layers, **how)
    return FasterRCNN(net, num_classes, **{**second_parts(), **options})


@register_model
def fasterrcnn_mobilenet_v3_large_fpn(
    num_classes: int = CLASSES,
    weights_backbone: Any = "IMAGENET1K_V1",
    trainable_backbone_layers: int | None = None,
    trained: bool = False,
    **options: Any,
) -> FasterRCNN:
    """Faster R-CNN over MobileNetV3, large. Source: arXiv:1905.02244."""
    usual = {"rpn_score_thresh": 0.05}
    return _over_mobilenet(num_classes, weights_backbone, trainable_backbone_layers, trained,
                           {**usual, **options})  # fmt: skip


@register_model
def fasterrcnn_mobilenet_v3_large_320_fpn(
    num_classes: int = CLASSES,
    weights_backbone: Any = "IMAGENET1K_V1",
    trainable_backbone_layers: int | None = None,
    trained: bool = False,
    **options: Any,
) -> FasterRCNN:
    """The same for images of 320 pixels, as phones use it."""
    usual = {"min_size": 320, "max_size": 640, "rpn_pre_nms_top_n_test": 150,
             "rpn_post_nms_top_n_test": 150, "rpn_score_thresh": 0.05}  # fmt: skip
    return _over_mobilenet(num_classes, weights_backbone, trainable_backbone_layers, trained,
                           {**usual, **options})  # fmt: skip


def _over_mobilenet(
    num_classes: int, weights: Any, layers: int | None, trained: bool, options: Mapping[str, Any]
) -> FasterRCNN:
    trained = trained or weights is not None
    norm = FrozenBatchNorm2d if trained else nn.BatchNorm2d
    net = backbone_of("mobilenet_v3_large", weights, norm_layer=norm)
    backbone = mobilenet_with_pyramid(net, trainable_layers(trained, layers, 6))
    sizes = (tuple(size for (size,) in SIZES),) * 3
    anchors = AnchorGenerator(sizes, (RATIOS,) * len(sizes))
    return FasterRCNN(backbone, num_classes, rpn_anchor_generator=anchors, **options)


__getattr__ = weights_of_module(__name__)
