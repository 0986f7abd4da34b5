"""Running sums of large arrays against float64."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch

RNG = np.random.default_rng(0)

CASES: dict[str, tuple[tuple[int, ...], int]] = {
    "rows": ((170, 100), 1),
    "rows of whole vectors": ((40, 512), -1),
    "one long row": ((300_001,), 0),
    "columns": ((900, 300), 0),
    "few columns": ((9_000, 3), 0),
    "the middle": ((30, 40, 50), 1),
    "the first of three": ((30, 40, 50), 0),
    "one of each": ((1, 20_000), 0),
}


@pytest.mark.parametrize("case", CASES)
def test_running_sums_are_those_of_float64(case: str) -> None:
    shape, dim = CASES[case]
    x = RNG.normal(size=shape).astype(np.float32) + 0.5
    found = torch.from_numpy(x).cumsum(dim)
    assert found.dtype is torch.float32
    wanted = x.astype(np.float64).cumsum(dim)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-5, atol=1e-5)


def test_a_running_sum_keeps_nan_and_infinity_from_where_they_are() -> None:
    x = np.ones((200, 100), np.float32)
    x[0, 50], x[1, 50], x[2, 50], x[2, 70] = np.nan, np.inf, np.inf, -np.inf
    found = torch.from_numpy(x).cumsum(1).numpy()
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(found, x.cumsum(1))


def test_a_running_sum_of_millions_keeps_its_digits() -> None:
    x = np.full(4_000_000, 0.1, np.float32)
    last = torch.from_numpy(x).cumsum(0)[-1].item()
    np.testing.assert_allclose(last, x.astype(np.float64).sum(), rtol=1e-6)
