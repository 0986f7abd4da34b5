"""The checker follows models of torchvision's names: what they take and give is known before the
run."""

from __future__ import annotations

from typing import Any

import flambeau as torch
from flambeau.magics.check import check_cell
from flambeau.nn import functional as F

SETUP = "from torchvision import models, ops\n"


def found(source: str) -> list[tuple[int, str]]:
    names: dict[str, Any] = {"torch": torch, "nn": torch.nn, "F": F, "optim": torch.optim}
    return [(f.line, f.code) for f in check_cell(SETUP + source, names)]


def test_an_image_with_a_channel_too_few_is_found() -> None:
    source = "net = models.resnet18(num_classes=10)\nnet(torch.randn(4, 1, 64, 64))\n"
    assert found(source) == [(3, "shape")]


def test_a_new_head_of_another_width_is_found_without_reading_weights() -> None:
    source = (
        "net = models.get_model('resnet50', weights='DEFAULT')\n"
        "net.fc = nn.Linear({}, 3)\n"
        "loss = F.cross_entropy(net(torch.randn(2, 3, 64, 64)), torch.tensor([0, 1]))\n"
    )
    assert found(source.format(512)) == [(4, "shape")]
    assert found(source.format(2048)) == []


def test_training_and_detecting_with_yolo_is_no_fault() -> None:
    source = (
        "net = models.detection.yolov8n(num_classes=3)\n"
        "target = [{'boxes': torch.zeros(1, 4), 'labels': torch.tensor([1])}]\n"
        "opt = optim.SGD(net.parameters(), 0.1)\n"
        "opt.zero_grad(); sum(net(torch.rand(1, 3, 64, 64), target).values()).backward()\n"
        "opt.step(); net.eval()\n"
        "for one in net(torch.rand(2, 3, 64, 64)): print(one['boxes'].shape)\n"
        "kept = ops.nms(torch.rand(5, 4), torch.rand(5), 0.5)\n"
    )
    assert found(source) == []


def test_overlaps_have_a_row_for_each_box() -> None:
    assert found("ops.box_iou(torch.rand(5, 4), torch.rand(3, 4)) + torch.rand(4, 4)\n") == [
        (2, "shape")
    ]
