"""YOLOv8: a one-stage detector without anchors, from nano to extra large.

The backbone halves maps five times, a pyramid passes coarse maps down and fine ones up again, and a
head with a branch each for boxes and classes reads three levels. The sides of a box are means over
distributions of distances (arXiv:2006.04388). Names in state dicts are those that the published
models have, `model.0.conv.weight` and so on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from .... import cat, nn
from ....core.tensor import Tensor
from ....nn.functional import interpolate, max_pool2d
from ..registry import register_model
from .decoding import Detections, anchor_points, decoded, detections
from .letterbox import framed_boxes, letterboxed
from .loss import Target, losses

__all__ = ["YOLO", "yolov8l", "yolov8m", "yolov8n", "yolov8s", "yolov8x"]

BINS = 16
"""Distances, in cells, that the sides of a box are spread over."""
STRIDES = (8, 16, 32)
COARSEST = STRIDES[-1]
WIDTHS = (64, 128, 256, 512, 1024)
DEPTHS = (3, 6, 6, 3)
NECK_DEPTH = 3
POOLED = 5  # side of the windows of SPPF


class Sizes(NamedTuple):
    """How deep and how wide a model is beside the largest, and its most channels."""

    depth: float
    width: float
    most: int


NANO, SMALL, MEDIUM = Sizes(0.33, 0.25, 1024), Sizes(0.33, 0.5, 1024), Sizes(0.67, 0.75, 768)
LARGE, EXTRA = Sizes(1.0, 1.0, 512), Sizes(1.0, 1.25, 512)

norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.03)


class Conv(nn.Module):
    """A convolution, batch norm and SiLU."""

    def __init__(self, channels: int, out: int, side: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, side, stride, padding=side // 2, bias=False)
        self.bn = norm(out)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, out, H / stride, W / stride)."""
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, added to what they read if `adds`."""

    def __init__(self, channels: int, adds: bool) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(channels, channels, 3), Conv(channels, channels, 3)
        self.adds = adds

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same."""
        out = self.cv2(self.cv1(x))
        return x + out if self.adds else out


class C2f(nn.Module):
    """Half of the channels goes through bottlenecks in turn; all that they make is joined: a stage
    of a cross stage partial network. Source: arXiv:1911.11929."""

    def __init__(self, channels: int, out: int, depth: int, adds: bool = False) -> None:
        super().__init__()
        self.half = out // 2
        self.cv1 = Conv(channels, 2 * self.half)
        self.cv2 = Conv((2 + depth) * self.half, out)
        self.m = nn.ModuleList(Bottleneck(self.half, adds) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, out, H, W)."""
        parts = list(self.cv1(x).chunk(2, 1))
        for bottleneck in self.m:
            parts.append(bottleneck(parts[-1]))
        return self.cv2(cat(parts, 1))


class SPPF(nn.Module):
    """Maxima over windows of three sizes beside the maps: pooled once, twice and three times.
    Source: arXiv:1406.4729."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels // 2)
        self.cv2 = Conv(channels // 2 * 4, out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, out, H, W)."""
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(max_pool2d(parts[-1], POOLED, stride=1, padding=POOLED // 2))
        return self.cv2(cat(parts, 1))


class DFL(nn.Module):
    """Logits of distances -> their means; its weights are the distances and never learn."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(bins, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.copy_(self.conv.weight.new_tensor(range(bins)).reshape(1, bins, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, A, 4, bins) -> (N, A, 4)."""
        return (x.softmax(-1) * self.conv.weight.flatten()).sum(-1)


class Detect(nn.Module):
    """Maps of three levels -> logits of distances (N, A, 4, BINS) and of classes (N, A, classes)
    of all their A places."""

    def __init__(self, num_classes: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.num_classes = num_classes
        boxes = max(16, channels[0] // 4, 4 * BINS)
        scores = max(channels[0], min(num_classes, 100))
        self.cv2, self.cv3 = nn.ModuleList(), nn.ModuleList()
        for branch, width, out in ((self.cv2, boxes, 4 * BINS), (self.cv3, scores, num_classes)):
            for before in channels:
                layers = [Conv(before, width, 3), Conv(width, width, 3), nn.Conv2d(width, out, 1)]
                branch.append(nn.Sequential(*layers))
        self.dfl = DFL(BINS)
        for one, two, stride in zip(self.cv2, self.cv3, STRIDES, strict=True):
            nn.init.ones_(one[-1].bias)
            # About 5 objects in an image of 640 x 640, of any class, before anything is learned.
            nn.init.constant_(two[-1].bias, math.log(5 / num_classes / (640 / stride) ** 2))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) each, from fine to coarse."""
        found = []
        for branch in (self.cv2, self.cv3):
            rows = [layer(x).flatten(2) for layer, x in zip(branch, maps, strict=True)]
            found.append(cat(rows, 2).transpose(1, 2))
        distances, scores = found
        return distances.unflatten(2, (4, BINS)), scores


def _layers(sizes: Sizes, num_classes: int) -> nn.ModuleDict:
    """By their numbers in published models, where joins and enlargements have numbers too."""
    a, b, c, d, e = (math.ceil(min(w, sizes.most) * sizes.width / 8) * 8 for w in WIDTHS)
    depths = [max(round(depth * sizes.depth), 1) for depth in DEPTHS]
    neck = max(round(NECK_DEPTH * sizes.depth), 1)
    return nn.ModuleDict({
        "0": Conv(3, a, 3, 2), "1": Conv(a, b, 3, 2), "2": C2f(b, b, depths[0], True),
        "3": Conv(b, c, 3, 2), "4": C2f(c, c, depths[1], True),
        "5": Conv(c, d, 3, 2), "6": C2f(d, d, depths[2], True),
        "7": Conv(d, e, 3, 2), "8": C2f(e, e, depths[3], True), "9": SPPF(e, e),
        "12": C2f(d + e, d, neck), "15": C2f(c + d, c, neck),
        "16": Conv(c, c, 3, 2), "18": C2f(c + d, d, neck),
        "19": Conv(d, d, 3, 2), "21": C2f(d + e, e, neck),
        "22": Detect(num_classes, (c, d, e)),
    })  # fmt: skip


class YOLO(nn.Module):
    """Images -> detections, or in training losses.

    `model(images)`: `images` (N, 3, H, W) or a list of (3, H, W) of any sizes, from 0 to 1. In
    evaluation a list of dicts: `boxes` (K, 4) in pixels of the image, `labels` (K,) int64 from 0
    on, `scores` (K,), best first. In training `model(images, targets)`, with `boxes` (M, 4) and
    `labels` (M,) for each image: a dict of the losses `loss_box`, `loss_class` and `loss_dfl`,
    whose sum is to be made small.

    Images are brought to `size` on their longer side and filled with grey to a square (None: left
    as they are, filled to multiples of 32). Kept are at most `detections_per_img` boxes with a
    score above `score_thresh`; of boxes of one class that overlap by more than `nms_thresh` the
    best.
    """

    def __init__(
        self,
        sizes: Sizes,
        num_classes: int = 80,
        size: int | None = 640,
        score_thresh: float = 0.25,
        nms_thresh: float = 0.7,
        detections_per_img: int = 300,
    ) -> None:
        super().__init__()
        self.num_classes, self.size = num_classes, size
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img = detections_per_img
        self.model = _layers(sizes, num_classes)

    def features(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W), H and W multiples of 32 -> maps at 1/8, 1/16 and 1/32."""
        layers = self.model
        kept = []
        for number in range(10):
            x = layers[str(number)](x)
            if number in (4, 6):
                kept.append(x)
        fine, middle, coarse = *kept, x
        inner = layers["12"](cat((_doubled(coarse), middle), 1))
        fine = layers["15"](cat((_doubled(inner), fine), 1))
        middle = layers["18"](cat((layers["16"](fine), inner), 1))
        return [fine, middle, layers["21"](cat((layers["19"](middle), coarse), 1))]

    def forward(
        self, images: Any, targets: Sequence[Target] | None = None
    ) -> dict[str, Tensor] | list[Detections]:
        """See the class. Raises: ValueError without targets in training; RuntimeError for shapes
        that do not fit."""
        if self.training and targets is None:
            raise ValueError(
                "YOLO: expected targets in training, boxes and labels of each image. Got none; "
                "call model.eval() to detect."
            )
        batch, frames = letterboxed(images, self.size, COARSEST)
        framed = framed_boxes(targets or (), frames, self.num_classes) if self.training else []
        maps = self.features(batch)
        distances, scores = self.model["22"](maps)
        points, strides = anchor_points([m.shape[2:] for m in maps], STRIDES, batch)
        boxes = decoded(self.model["22"].dfl(distances), points, strides)
        if not self.training:
            limits = (self.score_thresh, self.nms_thresh, self.detections_per_img)
            return detections(boxes, scores.sigmoid(), frames, *limits)
        return losses(distances, boxes, scores, points, strides, framed)


def _doubled(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2.0, mode="nearest")


@register_model
def yolov8n(**options: Any) -> YOLO:
    """YOLOv8, nano."""
    return YOLO(NANO, **options)


@register_model
def yolov8s(**options: Any) -> YOLO:
    """YOLOv8, small."""
    return YOLO(SMALL, **options)


@register_model
def yolov8m(**options: Any) -> YOLO:
    """YOLOv8, medium."""
    return YOLO(MEDIUM, **options)


@register_model
def yolov8l(**options: Any) -> YOLO:
    """YOLOv8, large."""
    return YOLO(LARGE, **options)


@register_model
def yolov8x(**options: Any) -> YOLO:
    """YOLOv8, extra large."""
    return YOLO(EXTRA, **options)
