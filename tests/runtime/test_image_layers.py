"""Layers for images against PyTorch's, recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.errors import ShapeError

from .recorded import image_layers

RECORDED = json.loads(image_layers.RECORD.read_text())


@pytest.mark.parametrize(
    "place", range(len(image_layers.CASES)), ids=lambda k: image_layers.CASES[k][0]
)
def test_a_layer_is_pytorchs(place: int) -> None:
    found: dict[str, Any] = image_layers.outcome(torch, image_layers.CASES[place])
    wanted = RECORDED[place]
    assert found["repr"] == wanted["repr"]
    assert found["state"].keys() == wanted["state"].keys()
    for mode in ("train", "eval"):
        if mode in wanted:
            assert found[mode][0] == wanted[mode][0]
            assert found[mode][1:] == pytest.approx(wanted[mode][1:], rel=1e-4, abs=1e-4)
    for name, values in wanted["state"].items():
        assert found["state"][name] == values, name  # to the last bit


def test_transposed_convolutions_reach_a_size_asked_for() -> None:
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
    x = torch.randn(1, 1, 4, 4)
    assert layer(x).shape == (1, 1, 7, 7)
    assert layer(x, output_size=(8, 7)).shape == (1, 1, 8, 7)
    with pytest.raises(ShapeError, match=r"output_size from \[7, 7\] to \[8, 8\]"):
        layer(x, output_size=(9, 9))


def test_batch_normalizations_are_converted() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm1d(3)))
    weight = net[1].weight
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert isinstance(converted[1], nn.SyncBatchNorm)
    assert isinstance(converted[2][0], nn.SyncBatchNorm)
    assert converted[1].weight is weight


def test_distances() -> None:
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    assert torch.equal(nn.CosineSimilarity()(a, b), torch.cosine_similarity(a, b))
    assert nn.PairwiseDistance(p=1.0, keepdim=True)(a, b).shape == (4, 1)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="num_groups that divides num_channels"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match="InstanceNorm2d: expected input with 3 or 4 dimensions"):
        nn.InstanceNorm2d(3)(torch.ones(2, 3))
    with pytest.raises(ValueError, match="padding_mode to be one of zeros, reflect"):
        nn.Conv2d(1, 1, 3, padding_mode="mirror")
    with pytest.raises(ValueError, match="either output_size or output_ratio"):
        nn.FractionalMaxPool2d(2)


def test_circular_padding_goes_round_what_negative_widths_leave() -> None:
    x = torch.arange(4.0)[None]
    assert nn.functional.pad(x, (-1, 1), "circular").tolist() == [[1, 2, 3, 1]]
    assert nn.functional.pad(x, (2, -2), "circular").tolist() == [[0, 1, 0, 1]]
    assert nn.functional.pad(x, (1, 2), "circular").tolist() == [[3, 0, 1, 2, 3, 0, 1]]
