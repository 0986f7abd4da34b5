"""Reductions of segments, chunks side by side, indexing behind a mask: recorded from PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as torch

LENGTHS = [1, 0, 5]
RECORDED = {
    "sum": ([0.0, 0.0, 15.0], [2.0, 2.0, 17.0]),
    "mean": ([0.0, math.nan, 3.0], [2.0, 2.0, 3.4]),
    "max": ([0.0, -math.inf, 5.0], [2.0, 2.0, 5.0]),
    "min": ([0.0, math.inf, 1.0], [0.0, 2.0, 1.0]),
    "prod": ([0.0, 1.0, 120.0], [0.0, 2.0, 240.0]),
}


@pytest.mark.parametrize("reduce", RECORDED)
@pytest.mark.parametrize("by", ["lengths", "offsets"])
def test_segments_reduce_as_recorded(reduce: str, by: str) -> None:
    data = torch.arange(6.0)
    given = {by: torch.tensor(LENGTHS if by == "lengths" else [0, 1, 1, 6])}
    plain, with_initial = RECORDED[reduce]
    assert torch.segment_reduce(data, reduce, **given).numpy() == pytest.approx(plain, nan_ok=True)
    found = torch.segment_reduce(data, reduce, initial=2, **given)
    assert found.numpy() == pytest.approx(with_initial)


@pytest.mark.parametrize(
    ("reduce", "values", "initial", "gradient"),
    [
        ("max", [1.0, 3, 3, 2], None, [0, 0.5, 0.5, 0]),
        ("max", [1.0, 3, 3, 2], 3.0, [0, 0.5, 0.5, 0]),
        ("max", [1.0, 3, 3, 2], 4.0, [0, 0, 0, 0]),
        ("prod", [1.0, 3, 0, 2], None, [0, 0, 6, 0]),
        ("mean", [1.0, 3, 0, 2], 10.0, [0.25] * 4),
    ],
)
def test_gradients_of_segments(reduce: str, values: Any, initial: Any, gradient: Any) -> None:
    x = torch.tensor(values, requires_grad=True)
    torch.segment_reduce(x, reduce, lengths=torch.tensor([4]), initial=initial).backward()
    assert x.grad.tolist() == gradient


def test_segments_of_rows() -> None:
    data = torch.arange(12.0).reshape(2, 3, 2)
    found = torch.segment_reduce(data, "sum", lengths=torch.tensor([[1, 2], [3, 0]]), axis=1)
    assert found.tolist() == [[[0.0, 1.0], [6.0, 8.0]], [[24.0, 27.0], [0.0, 0.0]]]


@pytest.mark.parametrize(
    ("reduce", "options", "words"),
    [
        ("median", {"lengths": [6]}, "Got reduce 'median'"),
        ("sum", {}, "Got neither"),
        ("sum", {"indices": [0]}, "Got indices"),
        ("sum", {"lengths": [1, 2]}, "add up to 6"),
        ("sum", {"lengths": [-1, 7]}, "negative"),
        ("sum", {"lengths": [[6]]}, "with 1 dimensions"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(reduce: str, options: Any, words: str) -> None:
    given = {name: torch.tensor(value) for name, value in options.items()}
    with pytest.raises(RuntimeError, match=words):
        torch.segment_reduce(torch.arange(6.0), reduce, **given)


def test_chunks_side_by_side() -> None:
    tensors = [torch.arange(6.0).reshape(3, 2), torch.arange(4.0)]
    found = torch._chunk_cat(tensors, 0, 2)
    assert found.tolist() == [[0, 1, 2, 3, 0, 1], [4, 5, 0, 0, 2, 3]]
    with pytest.raises(RuntimeError, match="as ranks differ"):
        torch._chunk_cat(tensors, -1, 2)


def test_indices_behind_the_mask_may_lie_outside() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    mask, places = torch.tensor([True, False]), [torch.tensor([0, 9]), torch.tensor([1, 1])]
    assert torch._unsafe_masked_index(x, mask, places, -7).tolist() == [1.0, -7.0]
    added = torch._unsafe_masked_index_put_accumulate(x, mask, places, torch.tensor([5.0, 5.0]))
    assert added.tolist() == [[0.0, 6.0, 2.0], [3.0, 4.0, 5.0]]


def test_histogramdd_equals_numpys() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    weight = np.random.default_rng(1).uniform(size=50)
    limits = [-1.0, 1.0, -2.0, 2.0, -1.5, 3.0]
    found = torch.histogramdd(
        torch.tensor(points), [2, 3, 4], range=limits, weight=torch.tensor(weight), density=True
    )
    pairs = [tuple(limits[k : k + 2]) for k in (0, 2, 4)]
    cells, edges = np.histogramdd(points, (2, 3, 4), range=pairs, weights=weight, density=True)
    np.testing.assert_allclose(found.hist.numpy(), cells)
    for mine, wanted in zip(found.bin_edges, edges, strict=True):
        np.testing.assert_allclose(mine.numpy(), wanted)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: torch.histogramdd(x, [2]), "for 2 dimensions"),
        (lambda x: torch.histogramdd(x[0], [2]), "at least 2 dimensions"),
        (lambda x: torch.histogramdd(x, 2, weight=torch.ones(2)), "a weight for each point"),
        (lambda x: torch.histogramdd(x, 2, range=[0.0, 1.0]), "a range of 4 numbers"),
        (lambda x: torch.histogramdd(x.long(), 2), "floating-point"),
        (lambda x: torch.histogram(x, 3, range=(1.0, 0.0)), "min not above max"),
    ],
)
def test_histograms_refuse_what_does_not_fit(call: Any, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        call(torch.rand(4, 2))


def test_edges_in_a_list_are_refused() -> None:
    with pytest.raises(TypeError, match="Got list"):
        torch.histogram(torch.rand(4), [0.0, 1.0])
