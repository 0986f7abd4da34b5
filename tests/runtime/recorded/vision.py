"""Writes vision.json: what torchvision 0.28 makes of the same seeds and boxes.

Run by hand where torchvision is installed: `PYTHONPATH=. python -m tests.runtime.recorded.vision`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
import torchvision
from torchvision import models, ops

PLACE = Path(__file__).with_name("vision.json")

FAMILIES = ("alexnet", "convnext", "densenet", "efficientnet", "mobilenet", "resne", "shufflenet",
            "squeezenet", "vgg", "vit", "wide")  # fmt: skip
RUNS: list[tuple[str, int, dict[str, Any]]] = [
    ("resnet18", 32, {}),
    ("squeezenet1_1", 32, {}),
    ("shufflenet_v2_x0_5", 64, {}),
    ("mobilenet_v2", 64, {}),
    ("mobilenet_v3_small", 64, {"reduced_tail": True, "dilated": True}),
    ("efficientnet_b0", 64, {}),
    ("densenet121", 64, {}),
    ("convnext_tiny", 32, {}),
]
"""Builders, sides of images and options of models that are run."""
VIT = {
    "image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16,
    "mlp_dim": 24, "num_classes": 5, "representation_size": 12,
}  # fmt: skip


def digest(model: Any) -> str:
    """Of the names and shapes in the state dict."""
    rows = [[name, list(x.shape)] for name, x in model.state_dict().items()]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def facts() -> dict[str, Any]:
    found = {}
    for name in models.list_models(module=models):
        if name.startswith(FAMILIES):
            with torch.device("meta"):
                model = models.get_model(name)
            found[name] = [sum(p.numel() for p in model.parameters()), digest(model)]
    return found


def run(make: Any, side: int) -> dict[str, Any]:
    """Initial values, results in training and after it, and gradients, each as one number."""
    torch.manual_seed(0)
    model = make()
    x = torch.randn(2, 3, side, side)
    start = sum(float(p.detach().double().abs().sum()) for p in model.parameters())
    model.eval()
    y = model(x)
    y.square().sum().backward()
    slopes = sum(float(p.grad.double().abs().sum()) for p in model.parameters())
    return {"start": start, "out": y.tolist(), "gradients": slopes}


def runs() -> list[Any]:
    found: list[Any] = []
    for name, side, options in RUNS:
        options = {"num_classes": 5, **options}
        made = run(lambda n=name, o=options: models.get_model(n, **o), side)
        found.append({"name": name, "side": side, "options": options, **made})
    made = run(lambda: models.VisionTransformer(**VIT), 32)
    return [*found, {"name": "VisionTransformer", "side": 32, "options": VIT, **made}]


def boxes() -> dict[str, Any]:
    torch.manual_seed(0)
    corner = torch.rand(11, 2) * 40
    both = torch.cat((corner, corner + torch.rand(11, 2) * 20 + 1), 1)
    a, b = both[:6], both[6:]
    found: dict[str, Any] = {"a": a, "b": b}
    for name in ("box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou"):
        found[name] = getattr(ops, name)(a, b)
    for name in ("generalized", "distance", "complete"):
        x = a[:5].clone().requires_grad_()
        loss = getattr(ops, f"{name}_box_iou_loss")(x, b)
        loss.sum().backward()
        found[f"{name}_box_iou_loss"] = loss.detach()
        found[f"{name}_box_iou_loss_gradient"] = x.grad
    found["logits"], found["targets"] = torch.randn(4, 3), (torch.rand(4, 3) > 0.5).float()
    found["sigmoid_focal_loss"] = ops.sigmoid_focal_loss(found["logits"], found["targets"])
    x = found["maps"] = torch.randn(2, 3, 9, 9)
    torch.manual_seed(1)
    found["drop_block2d"] = ops.drop_block2d(x, 0.2, 3)
    found["stochastic_depth"] = ops.stochastic_depth(x, 0.5, "row")
    torch.manual_seed(2)
    pyramid = ops.FeaturePyramidNetwork([3, 5], 4)
    results = pyramid({"fine": x, "coarse": torch.randn(2, 5, 5, 5)})
    found["pyramid"] = results["fine"].detach()
    # Regions inside the maps, of which the source that needs no compiled part is right.
    source = torchvision.ops.roi_align.__globals__["_roi_align"]
    rois = torch.cat((torch.tensor([[0.0], [1], [1], [0], [0], [1]]), a / 8), 1)
    found["rois"] = rois
    found["roi_align"] = source(x, rois, 1.0, 3, 2, 2, True)
    found["roi_align_adaptive"] = source(x, rois, 1.0, 3, 2, -1, False)
    return {name: x.tolist() for name, x in found.items()}


if __name__ == "__main__":
    PLACE.write_text(json.dumps({"models": facts(), "runs": runs(), "boxes": boxes()}) + "\n")
