"""Vision on a GPU, or on the stand-in for CuPy: the results of the CPU."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau.vision import ops

from .test_detection import squares, tiny

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]


def test_suppression_and_regions_on_a_gpu_give_the_cpus_results() -> None:
    torch.manual_seed(0)
    corner = torch.rand(40, 2) * 20
    boxes, scores = torch.cat((corner, corner + torch.rand(40, 2) * 20 + 1), 1), torch.rand(40)
    kept = ops.nms(boxes.cuda(), scores.cuda(), 0.3)
    assert kept.device.type == "cuda"
    assert kept.tolist() == ops.nms(boxes, scores, 0.3).tolist()
    overlaps = ops.complete_box_iou(boxes.cuda(), boxes[:3].cuda())
    torch.testing.assert_close(overlaps.cpu(), ops.complete_box_iou(boxes, boxes[:3]))
    maps, rois = torch.randn(1, 2, 9, 9), torch.tensor([[0.0, 1, 2, 7, 6]])
    pooled = ops.roi_align(maps.cuda(), rois.cuda(), 3, 1.0, 2)
    torch.testing.assert_close(pooled.cpu(), ops.roi_align(maps, rois, 3, 1.0, 2))


def test_a_detector_trains_and_detects_on_a_gpu() -> None:
    images, targets = squares(0, 2)
    results = {}
    for place in ("cpu", "cuda"):
        model = tiny().to(place)
        moved = [{name: x.to(place) for name, x in target.items()} for target in targets]
        losses = model(images.to(place), moved)
        sum(losses.values()).backward()
        results[place] = [losses[name].item() for name in sorted(losses)]
        model.eval()
        model.score_thresh = 0.0
        with torch.no_grad():
            found = model(images.to(place))
        assert found[0]["boxes"].device.type == place
    assert results["cuda"] == pytest.approx(results["cpu"], rel=1e-4)
