"""Transforms of whole samples: torchvision's results for masks, boxes and key points from the same
seed, what kinds of tensors keep, and errors that help."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.utils.data import default_collate
from flambeau.vision import tv_tensors as tv
from flambeau.vision.transforms import v2

from .sample_cases import results, sample
from .transform_cases import picture

RECORDED = json.loads((Path(__file__).parents[1] / "recorded" / "vision_samples.json").read_text())


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return results(torch, v2, tv)


@pytest.mark.parametrize("name", RECORDED)
def test_the_same_sample_and_seed_give_torchvisions_result(name: str, made: Any) -> None:
    assert made[name].keys() == RECORDED[name].keys()
    for key, expected in RECORDED[name].items():
        found = made[name][key]
        assert found[:-1] == expected[:-1], key
        if key != "name":
            # torchvision resizes bytes by whole numbers and cuts boxes off earlier.
            slack = {"image": 0.2, "whole": 1.0, "masks": 1.0}.get(key, 2e-4)
            np.testing.assert_allclose(found[-1], expected[-1], atol=slack, err_msg=key)


def boxes(values: Any, **options: Any) -> Any:
    return tv.BoundingBoxes(values, **{"format": "XYXY", "canvas_size": (19, 23), **options})


def test_boxes_lie_on_the_pixels_of_their_object_after_every_move() -> None:
    image = torch.zeros(1, 40, 50)
    image[:, 10:24, 8:31] = 1
    given = boxes([[8, 10, 31, 24]], canvas_size=(40, 50))
    moves = [v2.CenterCrop((55, 37)), v2.RandomRotation((90, 90), expand=True), v2.Resize((20, 25)),
             v2.RandomHorizontalFlip(1.0), v2.Pad((3, 1)), v2.RandomZoomOut(p=1.0)]  # fmt: skip
    for move in moves:
        new, box = move(tv.Image(image), given)
        rows, columns = (new.numpy()[0] > 0.5).nonzero()
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(box.tolist()[0], found, atol=0.51, err_msg=str(move))
        assert box.canvas_size == new.shape[1:]


def test_operations_forget_the_kind_and_copies_keep_it() -> None:
    x = boxes(torch.tensor([[1.0, 2, 3, 4]]))
    assert type(x + 1) is type(x[0]) is type(torch.stack([x, x])) is torch.Tensor
    kept = (x.clone(), x.detach(), x.to(torch.float64), copy.deepcopy(x),
            pickle.loads(pickle.dumps(x)), tv.wrap(x * 2, like=x))  # fmt: skip
    for y in kept:
        assert (type(y), y.format, y.canvas_size) == (type(x), x.format, (19, 23))
    assert tv.wrap(x * 2, like=x, canvas_size=(3, 4)).canvas_size == (3, 4)
    assert repr(x).endswith("canvas_size=(19, 23))")
    assert default_collate([tv.Image(picture())] * 2).shape == (2, 3, 19, 23)


def test_of_plain_tensors_the_first_is_the_image_unless_there_is_another() -> None:
    x = torch.arange(4.0).reshape(1, 2, 2)
    flip = v2.RandomHorizontalFlip(1.0)
    first, second = flip(x, {"more": x})
    assert (first.tolist(), second["more"] is x) == ([[[1, 0], [3, 2]]], True)
    image, plain = flip(picture(), x)
    assert plain is x
    assert np.array_equal(np.asarray(image)[:, ::-1], np.asarray(picture()))


def test_no_boxes_pass_through_everything() -> None:
    image, _ = sample(torch, tv)
    for size in ((0, 4), (0,)):
        none = boxes(torch.zeros(size))
        pipeline = [v2.RandomIoUCrop(), v2.RandomAffine(20), v2.RandomPerspective(p=1.0),
                    v2.Resize(9), v2.SanitizeBoundingBoxes()]  # fmt: skip
        _, target = v2.Compose(pipeline)(image, {"boxes": none, "labels": torch.zeros(0)})
        assert (target["boxes"].shape, len(target["labels"])) == ((0, 4), 0)


def test_an_overlap_that_no_crop_has_leaves_the_image_whole() -> None:
    image, _ = sample(torch, tv)
    far = boxes([[100.0, 100, 120, 120]])
    crop = v2.RandomIoUCrop(sampler_options=[0.5], trials=1)
    assert crop(image, far)[0] is image


def test_masks_keep_their_values_when_images_are_smoothed() -> None:
    mask = tv.Mask(torch.tensor(np.eye(8, dtype=np.uint8) * 7)[None])
    for move in (v2.Resize(13), v2.RandomRotation((33, 33), interpolation=v2.InterpolationMode(
            "bilinear")), v2.RandomPerspective(p=1.0), v2.GaussianBlur(3)):  # fmt: skip
        assert set(move(mask).flatten().tolist()) <= {0, 7}


def test_mixed_batches_may_be_pairs_and_dicts() -> None:
    images, labels = torch.rand(4, 3, 5, 5), torch.tensor([0, 1, 2, 0])
    torch.manual_seed(1)
    expected, shares = v2.MixUp(num_classes=3)(images, labels)
    torch.manual_seed(1)
    batch = v2.MixUp(num_classes=3)({"image": images, "label": labels, "name": "a"})
    assert torch.equal(batch["image"], expected)
    assert torch.equal(batch["label"], shares)
    assert batch["name"] == "a"
    again = v2.CutMix()((images, shares))[1]
    torch.testing.assert_close(again.sum(1), torch.ones(4))


def test_drawn_parameters_are_given_for_transforms_of_pairs() -> None:
    image, mask = torch.rand(3, 9, 9), torch.rand(1, 9, 9)
    place = v2.RandomCrop.get_params(image, (5, 4))
    assert v2.functional.crop(image, *place).shape[1:] == (5, 4)
    assert v2.functional.crop(mask, *place).shape[1:] == (5, 4)
    order, brightness, *_ = v2.ColorJitter.get_params((0.5, 0.6), None, None, None)
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    assert 0.5 <= brightness <= 0.6
    assert v2.RandomAffine.get_params((3, 3), None, None, None, (9, 9)) == (3, (0, 0), 1, (0, 0))


def test_what_does_not_fit_is_told() -> None:
    image, target = sample(torch, tv)
    with pytest.raises(ValueError, match=r"XYXY, XYWH, CXCYWH\. Got 'corners'"):
        boxes([[1, 2, 3, 4]], format="corners")
    with pytest.raises(RuntimeError, match=r"expected 4 numbers each.*\(2, 3\)"):
        boxes(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="one size in a sample"):
        v2.RandomCrop(4)(image, boxes([[1, 2, 3, 4]], canvas_size=(5, 5)))
    with pytest.raises(ValueError, match="pass labels_getter"):
        v2.SanitizeBoundingBoxes()(image, {"boxes": target["boxes"]})
    with pytest.raises(ValueError, match=r"each of 3\. Got 2"):
        v2.SanitizeBoundingBoxes()(image, {"boxes": target["boxes"], "labels": torch.zeros(2)})
    with pytest.raises(TypeError, match=r"its tv_tensors\.BoundingBoxes"):
        v2.RandomIoUCrop()(image, torch.zeros(3))
    with pytest.raises(ValueError, match="expected a type for Mask"):
        v2.ToDtype({tv.Image: torch.float32})(image, target["masks"])
    with pytest.raises(ValueError, match="num_classes for labels that are numbers"):
        v2.MixUp()(torch.rand(2, 3, 4, 4), torch.tensor([0, 1]))
