"""Operations on boxes and regions: torchvision's values, and suppression by its definition."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.vision import ops
from flambeau.vision.ops import suppression

from .recorded_values import RECORDED

BOXES = {name: torch.tensor(value) for name, value in RECORDED["boxes"].items()}
OVERLAPS = ("box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou")


def close(actual: Any, name: str) -> None:
    torch.testing.assert_close(actual, BOXES[name], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", OVERLAPS)
def test_overlaps_are_torchvisions(name: str) -> None:
    close(getattr(ops, name)(BOXES["a"], BOXES["b"]), name)


@pytest.mark.parametrize("name", ["generalized", "distance", "complete"])
def test_losses_of_boxes_and_their_gradients_are_torchvisions(name: str) -> None:
    x = BOXES["a"][:5].clone().requires_grad_()
    loss = getattr(ops, f"{name}_box_iou_loss")(x, BOXES["b"])
    loss.sum().backward()
    close(loss, f"{name}_box_iou_loss")
    close(x.grad, f"{name}_box_iou_loss_gradient")


def test_focal_loss_is_torchvisions() -> None:
    close(ops.sigmoid_focal_loss(BOXES["logits"], BOXES["targets"]), "sigmoid_focal_loss")
    with pytest.raises(ValueError, match="alpha"):
        ops.sigmoid_focal_loss(BOXES["logits"], BOXES["targets"], alpha=2)


def test_dropped_blocks_and_branches_are_those_that_torchvision_drops() -> None:
    torch.manual_seed(1)
    close(ops.drop_block2d(BOXES["maps"], 0.2, 3), "drop_block2d")
    close(ops.stochastic_depth(BOXES["maps"], 0.5, "row"), "stochastic_depth")


def test_a_feature_pyramid_is_torchvisions() -> None:
    torch.manual_seed(2)
    pyramid = ops.FeaturePyramidNetwork([3, 5], 4)
    results = pyramid({"fine": BOXES["maps"], "coarse": torch.randn(2, 5, 5, 5)})
    close(results["fine"], "pyramid")


def test_regions_are_torchvisions() -> None:
    maps, rois = BOXES["maps"], BOXES["rois"]
    close(ops.roi_align(maps, rois, (3, 2), 1.0, 2, True), "roi_align")
    close(ops.roi_align(maps, rois, (3, 2), 1.0, -1, False), "roi_align_adaptive")


def test_samples_outside_of_the_maps_are_zero() -> None:
    maps = torch.ones(1, 1, 4, 4)
    out = ops.roi_align(maps, [torch.tensor([[-8.0, -8, 12, 12]])], 5, sampling_ratio=1)
    expected = torch.zeros(5, 5)
    expected[2, 2] = 1  # samples at -6, -2, 2, 6, 10: only 2 lies inside
    assert torch.equal(out[0, 0], expected)


def test_the_gradient_of_regions_is_the_transposed_map() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 0.4, 0.2, 4.1, 3.9], [1, 1, 1, 5, 4.5]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m: ops.roi_align(m, rois, 2, 1.0, 2), (maps,))
    assert torch.autograd.gradcheck(lambda m: ops.roi_pool(m, rois, 2), (maps,))


def test_pooled_regions_are_the_largest_pixels() -> None:
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    out = ops.roi_pool(x, torch.tensor([[0.0, 0, 0, 5, 5], [0, 2, 1, 3, 2]]), 2)
    assert out[:, 0].tolist() == [[[14, 17], [32, 35]], [[8, 9], [14, 15]]]


def test_a_pyramid_of_regions_takes_each_from_the_level_of_its_size() -> None:
    maps = OrderedDict(a=torch.ones(1, 1, 32, 32), b=2 * torch.ones(1, 1, 16, 16))
    pooled = ops.MultiScaleRoIAlign(["a", "b"], 2, 2, canonical_scale=32, canonical_level=3)
    rois = [torch.tensor([[0.0, 0, 64, 64], [0, 0, 8, 8]])]
    assert pooled(maps, rois, [(64, 64)])[:, 0, 0, 0].tolist() == [2, 1]


def suppressed(boxes: Any, scores: Any, threshold: float) -> list[int]:
    """By the definition, in float64."""
    order = list(np.argsort(-scores, kind="stable"))
    kept: list[int] = []
    for k in order:
        a = boxes[k].astype(np.float64)
        for other in kept:
            b = boxes[other].astype(np.float64)
            sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            shared = np.prod(np.maximum(sides, 0))
            union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
            if shared / union > threshold:
                break
        else:
            kept.append(int(k))
    return kept


@pytest.mark.parametrize("count", [0, 1, 7, 15, 16, 17, 130])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_suppression_keeps_what_its_definition_keeps(count: int, dtype: Any) -> None:
    rng = np.random.default_rng(count)
    corner = rng.random((count, 2)) * 20
    boxes = np.concatenate((corner, corner + rng.random((count, 2)) * 20 + 1), 1).astype(dtype)
    scores = rng.random(count).round(1).astype(dtype)  # with ties
    expected = suppressed(boxes, scores, 0.3)
    assert ops.nms(torch.tensor(boxes), torch.tensor(scores), 0.3).tolist() == expected
    ranked = torch.tensor(boxes[np.argsort(-scores, kind="stable")])
    packed = suppression._kept(suppression._struck(ranked, 0.3))
    assert np.argsort(-scores, kind="stable")[packed].tolist() == expected


def test_suppression_by_class_lets_other_classes_be() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 9, 10]])
    kept = ops.batched_nms(boxes, torch.tensor([0.5, 0.9, 0.7]), torch.tensor([1, 0, 1]), 0.5)
    assert kept.tolist() == [1, 2]


@pytest.mark.parametrize("start", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("end", ["xyxy", "xywh", "cxcywh"])
def test_forms_of_boxes_convert_back(start: str, end: str) -> None:
    there = ops.box_convert(BOXES["a"], start, end)
    torch.testing.assert_close(ops.box_convert(there, end, start), BOXES["a"])


def test_masks_have_the_boxes_around_them() -> None:
    masks = torch.zeros(3, 6, 8)
    masks[0, 2:5, 3:7] = 1
    masks[1, 5, 0] = 1
    assert ops.masks_to_boxes(masks).tolist() == [[3, 2, 6, 4], [0, 5, 0, 5], [0, 0, 0, 0]]


def test_small_boxes_go_and_others_end_at_the_border() -> None:
    boxes = torch.tensor([[-2.0, 1, 5, 9], [3, 3, 4, 9]])
    assert ops.clip_boxes_to_image(boxes, (8, 4)).tolist() == [[0, 1, 4, 8], [3, 3, 4, 8]]
    assert ops.remove_small_boxes(boxes, 2).tolist() == [0]


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(RuntimeError, match=r"nms: expected boxes \(N, 4\) and a score for each"):
        ops.nms(torch.zeros(3, 4), torch.zeros(2), 0.5)
    with pytest.raises(RuntimeError, match="four numbers"):
        ops.box_area(torch.zeros(3, 5))
    with pytest.raises(ValueError, match="forms"):
        ops.box_convert(torch.zeros(3, 4), "xyxy", "yxyx")


def test_frozen_batch_norm_loads_what_batch_norm_learned() -> None:
    torch.manual_seed(0)
    norm, frozen = torch.nn.BatchNorm2d(3), ops.FrozenBatchNorm2d(3)
    norm(torch.randn(4, 3, 5, 5))
    frozen.load_state_dict(norm.state_dict())
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(frozen(x), norm.eval()(x))
    assert list(frozen.parameters()) == []
