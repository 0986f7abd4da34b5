"""Detectors and models of pixels that are compared with torchvision's: the published ones by their
names and shapes, small ones by their results and losses.

`torch`, `models` and `ops` are ours or PyTorch's and torchvision's.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

COMPOUND = [
    "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn", "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2",
    "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2", "fcn_resnet50", "fcn_resnet101",
    "deeplabv3_resnet50", "deeplabv3_resnet101", "deeplabv3_mobilenet_v3_large",
    "lraspp_mobilenet_v3_large",
]  # fmt: skip
PIXELS = [
    ("deeplabv3_mobilenet_v3_large", {"aux_loss": True}),
    ("lraspp_mobilenet_v3_large", {}),
]


SPREAD = {"FasterRCNN": 3, "MaskRCNN": 3, "RetinaNet": 11}


def facts(torch: Any, models: Any, name: str) -> list[Any]:
    """Parameters, and a digest of the names and shapes in the state dict."""
    with torch.device("meta"):
        model = models.get_model(name, weights=None, weights_backbone=None)
    rows = [[key, list(x.shape)] for key, x in model.state_dict().items()]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
    return [sum(p.numel() for p in model.parameters()), digest]


def backbone(torch: Any) -> Any:
    """Maps of 8 channels at a sixteenth of the image."""
    nn = torch.nn
    layers = [nn.Conv2d(3, 8, 5, 4, 2), nn.ReLU(), nn.Conv2d(8, 8, 5, 4, 2), nn.ReLU()]
    net = nn.Sequential(*layers)
    net.out_channels = 8
    return net


def detector(torch: Any, models: Any, ops: Any, name: str) -> Any:
    """A small one of the class of that name."""
    detection = models.detection
    anchors = detection.rpn.AnchorGenerator(((16, 32),), ((0.5, 1.0, 2.0),))
    size: dict[str, Any] = {"min_size": (64, 72), "max_size": 96}
    if name == "RetinaNet":
        return detection.RetinaNet(
            backbone(torch), 3, anchor_generator=anchors, score_thresh=0.005, topk_candidates=9,
            detections_per_img=7, **size,
        )  # fmt: skip
    rcnn = detection.faster_rcnn
    size.update(
        rpn_anchor_generator=anchors, box_score_thresh=0.2, box_detections_per_img=6,
        box_roi_pool=ops.MultiScaleRoIAlign(["0"], 5, 2), box_head=rcnn.TwoMLPHead(8 * 25, 12),
        box_predictor=rcnn.FastRCNNPredictor(12, 3),
    )  # fmt: skip
    if name == "MaskRCNN":
        masks = detection.mask_rcnn
        size.update(
            mask_roi_pool=ops.MultiScaleRoIAlign(["0"], 6, 2),
            mask_head=masks.MaskRCNNHeads(8, (8,), 1),
            mask_predictor=masks.MaskRCNNPredictor(8, 8, 3),
        )
    return getattr(detection, name)(backbone(torch), **size)


def images(torch: Any) -> tuple[list[Any], list[Any]]:
    """Two images of other sizes, one without an object, and their targets."""
    masks = torch.zeros(2, 50, 80, dtype=torch.uint8)
    masks[0, 5:40, 4:30] = 1
    masks[1, 20:45, 25:70] = 1
    boxes = torch.tensor([[4.0, 5, 30, 40], [25, 20, 70, 45]])
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64),
            "masks": torch.zeros(0, 60, 44, dtype=torch.uint8)}  # fmt: skip
    some = {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks}
    return [torch.rand(3, 50, 80), torch.rand(3, 60, 44)], [some, none]


def results(torch: Any, models: Any, ops: Any, name: str) -> dict[str, Any]:
    """Losses, gradients as one number, and detections from a seed; of masks the means."""
    torch.manual_seed(0)
    model = detector(torch, models, ops, name)
    with torch.no_grad():  # scores that lie apart, whatever the processor rounds
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(SPREAD[name])
    start = sum(float(p.detach().double().abs().sum()) for p in model.parameters())
    batch, targets = images(torch)
    losses = model(batch, targets)
    sum(losses.values()).backward()
    slopes = sum(float(p.grad.double().abs().sum()) for p in model.parameters())
    model.eval()
    with torch.no_grad():
        found = model(batch)
    for one in found:
        if "masks" in one:
            one["masks"] = one["masks"].mean((1, 2, 3))
    return {
        "start": start,
        "losses": {key: float(x.detach()) for key, x in losses.items()},
        "gradients": slopes,
        "found": [{key: x.tolist() for key, x in one.items()} for one in found],
    }


def of_pixels(torch: Any, models: Any, name: str, options: Any) -> dict[str, Any]:
    """The mean logits of each class, from a seed."""
    torch.manual_seed(0)
    model = models.get_model(name, weights=None, weights_backbone=None, num_classes=4, **options)
    model.eval()
    with torch.no_grad():
        out = model(torch.rand(1, 3, 48, 64))
    return {key: x.mean((2, 3)).tolist()[0] for key, x in out.items()}
