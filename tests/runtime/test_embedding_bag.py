"""Bags of rows of a table."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
from flambeau.nn import functional as F

WEIGHT = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 4.0], [-2.0, 0.0]], dtype=torch.float64)
INPUT = torch.tensor([0, 2, 3, 3, 1])
OFFSETS = torch.tensor([0, 2, 2])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("sum", [[1.5, 6.0], [0.0, 0.0], [-1.0, -1.0]]),
        ("mean", [[0.75, 3.0], [0.0, 0.0], [-1 / 3, -1 / 3]]),
        ("max", [[1.0, 4.0], [0.0, 0.0], [3.0, 0.0]]),
    ],
)
def test_bags_from_offsets(mode: str, expected: Any) -> None:
    found = F.embedding_bag(INPUT, WEIGHT, OFFSETS, mode=mode)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    last = torch.tensor([0, 2, 2, 5])
    again = F.embedding_bag(INPUT, WEIGHT, last, mode=mode, include_last_offset=True)
    assert torch.equal(again, found)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_gradients_equal_differences(mode: str) -> None:
    weight = WEIGHT.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda w: F.embedding_bag(torch.tensor([[0, 2], [3, 1]]), w, mode=mode), (weight,)
    )
    assert torch.autograd.gradgradcheck(
        lambda w: F.embedding_bag(INPUT, w, OFFSETS, mode=mode).square(), (weight,)
    )


def test_weighted_sums() -> None:
    scale = torch.tensor([[2.0, 1.0]], dtype=torch.float64, requires_grad=True)
    found = F.embedding_bag(torch.tensor([[0, 1]]), WEIGHT, per_sample_weights=scale, mode="sum")
    assert found.tolist() == [[5.0, 3.0]]
    found.sum().backward()
    assert scale.grad.tolist() == [[3.0, 2.0]]


def test_padding_rows_do_not_count() -> None:
    rows = torch.tensor([[0, 3, 3], [3, 3, 3]])
    mean = F.embedding_bag(rows, WEIGHT, padding_idx=-1)
    assert mean.tolist() == [[1.0, 2.0], [0.0, 0.0]]


def test_long_rows_are_scaled_in_place() -> None:
    weight = WEIGHT.clone()
    F.embedding_bag(torch.tensor([[2, 2]]), weight, max_norm=1.0)
    assert weight[2].norm().item() == pytest.approx(1.0)
    assert torch.equal(weight[:2], WEIGHT[:2])
    F.embedding(torch.tensor([0]), weight, max_norm=0.5)
    assert weight[0].norm().item() == pytest.approx(0.5)


def test_gradients_scaled_by_frequency() -> None:
    weight = WEIGHT.clone().requires_grad_()
    F.embedding(torch.tensor([0, 0, 0, 1]), weight, scale_grad_by_freq=True).sum().backward()
    assert torch.allclose(
        weight.grad[:, 0], torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((INPUT, WEIGHT), {}, "with offsets"),
        ((INPUT, WEIGHT, OFFSETS), {"mode": "min"}, "mode sum, mean or max"),
        ((INPUT + 9, WEIGHT, OFFSETS), {}, "indices from 0 to 3"),
        ((INPUT[None], WEIGHT, OFFSETS), {}, "input \\(bags, length\\) without"),
        ((INPUT, WEIGHT, OFFSETS + 1), {}, "offsets from 0 to at most 5"),
        (
            (INPUT, WEIGHT, OFFSETS),
            {"per_sample_weights": WEIGHT[0]},
            "per_sample_weights \\(5,\\), as input is",
        ),
    ],
)
def test_what_does_not_fit_is_refused(args: Any, options: Any, words: str) -> None:
    with pytest.raises((ValueError, RuntimeError, IndexError), match=words):
        F.embedding_bag(*args, **options)
