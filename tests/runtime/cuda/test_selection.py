"""The largest and smallest elements of rows, and those of a rank, against a stable sort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cuda import selection

from .kit import assert_launched, drawn
from .shim import HostDriver


def ordered(x: Any, dim: int, largest: bool) -> Any:
    """Positions in NumPy's stable order, NaN as the largest."""
    values = x.cpu().double().numpy()
    if not largest:
        return np.argsort(values, dim, kind="stable")
    backwards = np.flip(np.argsort(np.flip(values, dim), dim, kind="stable"), dim)
    return values.shape[dim] - 1 - backwards


@pytest.mark.parametrize("dtype", selection.NUMBERS)
@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize(("shape", "dim", "k"), [
    ((1,), 0, 1), ((3, 700), 1, 1), ((2, 700), 1, 700), ((600, 3), 0, 20), ((2, 1_500, 2), 1, 513),
])  # fmt: skip
def test_the_first_in_order(
    host: HostDriver, dtype: str, largest: bool, shape: tuple[int, ...], dim: int, k: int
) -> None:
    x = drawn(shape, dtype, scale=9.0)  # of halves and integers many are equal
    wanted = np.take(ordered(x, dim, largest), range(k), dim)
    found = torch.topk(x, k, dim, largest)
    assert_launched(host, "select_rows")
    np.testing.assert_array_equal(found.indices.cpu().numpy(), wanted)
    values = x.cpu().double().numpy()
    np.testing.assert_array_equal(
        found.values.cpu().double().numpy(), np.take_along_axis(values, wanted, dim)
    )


@pytest.mark.parametrize("dtype", selection.NUMBERS)
def test_ranks(host: HostDriver, dtype: str) -> None:
    x = drawn((4, 1_201), dtype, scale=9.0)
    order = ordered(x, 1, False)
    for k in (1, 600, 1_201):
        found = torch.kthvalue(x, k, 1)
        np.testing.assert_array_equal(found.indices.cpu().numpy(), order[:, k - 1])
    assert_launched(host, "select_rows")
    np.testing.assert_array_equal(x.median(1).indices.cpu().numpy(), order[:, 600])


def test_nan_infinities_and_zeros(host: HostDriver) -> None:
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([0.0, nan, -inf, -0.0, inf, nan, 0.0])
    for largest in (True, False):
        wanted = torch.topk(x, 7, largest=largest).indices
        assert torch.topk(x.cuda(), 7, largest=largest).indices.tolist() == wanted.tolist()


def test_much_of_one_row_is_sorted(host: HostDriver) -> None:
    x = drawn((1_400,), "float32")
    found = torch.topk(x, 1_025)
    assert "select_rows" not in " ".join(host.launched)
    np.testing.assert_array_equal(found.indices.cpu().numpy(), ordered(x, 0, True)[:1_025])


def test_nothing(host: HostDriver) -> None:
    assert torch.topk(torch.zeros(3, 4, device="cuda"), 0).values.shape == (3, 0)
    assert torch.topk(torch.zeros(0, 4, device="cuda"), 2).values.shape == (0, 2)
