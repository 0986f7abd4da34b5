"""Transforms: torchvision's results from the same image and seed, and errors that help."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import flambeau as torch
from flambeau.vision import transforms as T

from .transform_cases import CASES, forms, picture, seeded

RECORDED = json.loads(
    (Path(__file__).parents[1] / "recorded" / "vision_transforms.json").read_text()
)
F = T.functional


def recorded(name: str) -> Any:
    row = RECORDED[name]
    whole = zlib.decompress(base64.b64decode(row["bytes"]))
    return np.frombuffer(whole, row["dtype"]).reshape(row["shape"])


@pytest.mark.parametrize("name", CASES)
def test_the_same_image_and_seed_give_torchvisions_result(name: str) -> None:
    kinds, make = CASES[name]
    for kind, image in forms(torch, T).items():
        if kind not in kinds:
            continue
        result = seeded(torch, make(T), image)
        array = np.asarray(result) if isinstance(result, Image.Image) else result.numpy()
        expected = recorded(f"{name} {kind}").astype(np.float64)
        if array.dtype.kind == "f":
            array, slack = array.astype(np.float64) * 10_000, 1.2
        else:  # sums in another order round halves elsewhere; Pillow's own results are the same
            array, slack = array.astype(np.float64), 0 if kind == "p" else 1
        assert array.shape == expected.shape
        assert np.abs(array - expected).max() <= slack


def test_images_arrays_and_tensors_convert_back() -> None:
    image = picture()
    array = np.asarray(image)
    tensor = F.to_tensor(image)
    assert tensor.dtype is torch.float32
    assert np.array_equal(np.asarray(F.to_pil_image(tensor)), array)
    assert torch.equal(F.to_tensor(array), tensor)
    assert torch.equal(F.convert_image_dtype(tensor, torch.uint8), F.pil_to_tensor(image))
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert F.to_tensor(grey).shape == (1, 3, 4)
    assert F.to_pil_image(F.to_tensor(grey)).mode == "L"


def test_a_pipeline_makes_batches_ready_for_a_model() -> None:
    pipeline = T.Compose(
        [T.Resize(20), T.CenterCrop(16), T.ToTensor(), T.Normalize((0.5,) * 3, (0.25,) * 3)]
    )
    out = pipeline(picture())
    assert out.shape == (3, 16, 16)
    by_hand = (F.to_tensor(F.center_crop(F.resize(picture(), 20), 16)) - 0.5) / 0.25
    torch.testing.assert_close(out, by_hand)
    assert repr(pipeline).splitlines()[1:3] == [
        "    Resize(size=20, interpolation=bilinear, max_size=None, antialias=True)",
        "    CenterCrop(size=(16, 16))",
    ]


def test_crops_beyond_the_border_are_black() -> None:
    x = torch.ones(1, 4, 4)
    out = F.crop(x, -1, 2, 3, 4)
    assert out[0].tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert F.five_crop(x, 2)[3].shape == (1, 2, 2)
    assert len(T.TenCrop(2)(x)) == 10


def test_policies_have_the_pairs_of_their_paper() -> None:
    for policy in T.AutoAugmentPolicy:
        pairs = T.AutoAugment(policy).policies
        assert [len(pair) for pair in pairs] == [2] * 25
    assert pairs[0] == [("ShearX", 0.9, 4), ("Invert", 0.2, None)]


@pytest.mark.parametrize("kind", [T.v2.MixUp, T.v2.CutMix])
def test_mixed_batches_hold_as_much_of_each_image_as_their_labels_say(kind: Any) -> None:
    torch.manual_seed(0)
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 8, 8)
    mixed, shares = kind(num_classes=3)(images, torch.arange(3))
    torch.testing.assert_close(shares.sum(1), torch.ones(3))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), shares @ torch.arange(3.0))
    assert 0 < shares[1, 1] < 1


def test_the_second_interface_makes_tensors_of_all_images() -> None:
    pipeline = T.v2.Compose([T.v2.ToImage(), T.v2.ToDtype(torch.float32, scale=True)])
    expected = F.to_tensor(picture())
    assert torch.equal(pipeline(picture()), expected)
    assert torch.equal(pipeline(np.asarray(picture())), expected)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(TypeError, match=r"use ToTensor\(\) or ConvertImageDtype"):
        F.normalize(torch.zeros(3, 2, 2, dtype=torch.uint8), [0.5], [0.5])
    with pytest.raises(ValueError, match="pad_if_needed"):
        T.RandomCrop(9)(torch.zeros(3, 4, 4))
    with pytest.raises(TypeError, match="expected a PIL image or a tensor"):
        F.resize(np.zeros((4, 4)), 3)
    with pytest.raises(TypeError, match="expected a PIL image or an array"):
        F.to_tensor("cat.png")
    with pytest.raises(ValueError, match="positive number"):
        T.RandomRotation(-3)
