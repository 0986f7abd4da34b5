"""Indices that mix numbers with index tensors, and values of fewer dimensions than their index."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch


def test_numbers_select_before_index_tensors() -> None:
    x = torch.arange(24).reshape(2, 3, 4)
    i = torch.tensor([0, 3, 3, 1, 2])
    assert x[0, :, i].shape == (3, 5)
    assert x[torch.tensor(1), :, i].shape == (3, 5)
    assert x[0, None, :, i].shape == (1, 3, 5)
    assert x[torch.tensor([1]), :, i].shape == (5, 3)
    assert x[0, :, i].tolist() == x.numpy()[0][:, i.numpy()].tolist()


def test_writing_at_numbers_and_index_tensors_takes_values_of_the_shape_read() -> None:
    x = torch.zeros(2, 3, 4, requires_grad=True)
    v = torch.arange(6.0).reshape(3, 2).requires_grad_()
    out = x * 1
    out[1, :, torch.tensor([3, 0])] = v
    assert out[1].tolist() == [[1, 0, 0, 0], [3, 0, 0, 2], [5, 0, 0, 4]]
    (out * torch.arange(24.0).reshape(2, 3, 4)).sum().backward()
    assert v.grad.tolist() == [[15, 12], [19, 16], [23, 20]]
    assert x.grad[1].tolist() == [[0, 13, 14, 0], [0, 17, 18, 0], [0, 21, 22, 0]]


def test_accumulating_broadcasts_values_along_the_dimensions_of_the_index() -> None:
    index = (torch.tensor([[0, 1], [2, 3], [0, 0]]),)
    out = torch.zeros(4).index_put(index, torch.tensor([10.0, 20.0]), accumulate=True)
    np.testing.assert_array_equal(out.numpy(), [40, 20, 10, 20])


def test_take_along_dim_broadcasts_a_one_against_an_empty_dimension() -> None:
    assert torch.zeros(0, 3).take_along_dim(torch.zeros(1, 2, dtype=torch.int64), 1).shape == (0, 2)
    with pytest.raises(RuntimeError, match="as many dimensions"):
        torch.zeros(2, 3).take_along_dim(torch.tensor([0]), 0)


def test_what_scatter_add_does_not_read_has_a_gradient_of_zero() -> None:
    src = torch.ones(2, 2, requires_grad=True)
    torch.zeros(2, 3).scatter_add(0, torch.tensor([[1]]), src).sum().backward()
    assert src.grad.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("index", [
    "i", ":, i", "i, :, j", ":, i, j", "0, :, i", ":, i, 1", "..., i", "i, ..., j",
    "None, i, None, j", "i, None, j", "1:, ..., 0, j", "i[:, None, None], j", ":, ::2, i",
])  # fmt: skip
def test_the_meta_device_tells_the_shape_of_an_index(index: str) -> None:
    shapes = {}
    for device in ("cpu", "meta"):
        names = {
            "x": torch.zeros(2, 3, 4, 5, device=device),
            "i": torch.zeros(2, dtype=torch.int64, device=device),
            "j": torch.zeros(6, 2, dtype=torch.int64, device=device),
        }
        shapes[device] = eval(f"x[{index}]", names).shape
    assert shapes["meta"] == shapes["cpu"]


def test_an_empty_index_on_the_meta_device_may_meet_an_empty_dimension() -> None:
    nowhere = torch.empty(0, dtype=torch.int64, device="meta")
    assert torch.empty(0, 3, device="meta")[nowhere].shape == (0, 3)
    with pytest.raises(IndexError):
        torch.empty(0, 3, device="meta")[torch.empty(2, dtype=torch.int64, device="meta")]


def test_an_index_on_the_meta_device_takes_no_memory_of_its_size() -> None:
    places = torch.empty(10**9, 10**9, dtype=torch.int64, device="meta")
    assert torch.empty(8, 10, device="meta")[:, places].shape == (8, 10**9, 10**9)
    with pytest.raises(RuntimeError, match=r"broadcast. Got shapes \[\(2,\), \(3,\)\]"):
        torch.empty(4, 4, device="meta")[
            torch.empty(2, dtype=torch.int64, device="meta"),
            torch.empty(3, dtype=torch.int64, device="meta"),
        ]
