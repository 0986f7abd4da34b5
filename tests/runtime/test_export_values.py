"""Models in which values decide how many elements there are: places, choices, counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.export import Dim
from flambeau.vision.ops import batched_nms, nms

pytest.importorskip("onnxruntime")


def places(x: Any) -> Any:
    k = torch.nonzero(x[:, 0] > 0).flatten()
    return x[k].reshape(k.shape[0], 2, 3).sum(1), torch.where(x > 0)


def masked(x: Any) -> Any:
    chosen = x[x > 0.3]
    return chosen.reshape(1, -1) * 2, torch.arange(chosen.numel()), chosen.numel() + x.sum()


def rows(x: Any) -> Any:
    kept = x[x[:, 1] > 0]
    return torch.cat([kept, kept.softmax(1)], 1), torch.zeros(len(kept), 3) + kept[:, :3]


def distinct(x: Any) -> Any:
    values, inverse, counts = torch.unique((x * 2).int(), return_inverse=True, return_counts=True)
    return values, inverse, values[inverse].float(), counts, torch.unique(x.round())


def boxes(x: Any) -> Any:
    corners = torch.cat([x[:, :2], x[:, :2] + 3 * x[:, 2:4].abs()], 1)
    kept = nms(corners, x[:, 5], 0.2)
    apart = batched_nms(corners, x[:, 5], (x[:, 4] > 0).long(), 0.2)
    return corners[kept], x[kept, 5], apart


def counted(x: Any) -> Any:
    numbers = (x[:, 0].abs() * 3).long()
    return (
        torch.bincount(numbers, minlength=3),
        torch.bincount(numbers, x[:, 1]),
        torch.histc(x, 5, -2, 2),
        torch.bucketize(x, torch.linspace(-2, 2, 5)),
        torch.searchsorted(x.sort(1).values, x.flip(0), right=True),
        torch.isin(numbers, torch.tensor([0, 2])),
        F.one_hot(numbers.clamp(max=3), 4),
    )


@pytest.mark.parametrize("shapes", [None, ({0: Dim("n")},)], ids=["fixed", "open"])
@pytest.mark.parametrize(
    "model", [places, masked, rows, distinct, boxes, counted], ids=lambda m: m.__name__
)
def test_as_many_elements_as_values_say(model: Callable[[Any], Any], shapes: Any) -> None:
    draw = torch.Generator().manual_seed(3)
    program = torch.onnx.export(
        model, (torch.randn(7, 6, generator=draw),), dynamic_shapes=shapes, opset_version=18
    )
    again = program.exported_program.module()
    for n in (7, 7) if shapes is None else (5, 8):
        x = torch.randn(n, 6, generator=draw)
        expected = torch.utils._pytree.tree_leaves(model(x))
        for results in (again(x), program(x)):
            found = torch.utils._pytree.tree_leaves(results)
            for one, wanted in zip(found, expected, strict=True):
                assert one.dtype is wanted.dtype
                np.testing.assert_allclose(one.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_a_program_with_steps_comes_back_from_its_file(tmp_path: Any) -> None:
    x = torch.randn(7, 6)
    torch.export.save(torch.export.export(places, (x,)), tmp_path / "model.pt2")
    found = torch.export.load(tmp_path / "model.pt2").module()(x)
    assert torch.equal(found[0], places(x)[0])
