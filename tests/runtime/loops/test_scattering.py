"""Adding at places that repeat: large arrays against NumPy's `add.at` in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.accumulation import LARGE, add_at

RNG = np.random.default_rng(0)


def _places(count: int, size: int) -> Any:
    return RNG.integers(-size, size, count)


CASES: dict[str, tuple[tuple[int, ...], Any]] = {
    "numbers": ((50,), _places(3 * LARGE, 50)),
    "short rows": ((50, 3), _places(LARGE, 50)),
    "rows": ((50, 200), _places(300, 50)),
    "rows of rows": ((7, 5, 33), _places(400, 7)),
    "two dimensions": ((7, 5, 33), (_places(400, 7), _places(400, 5))),
    "a grid": ((70, 50), (_places(70, 70)[:, None], _places(50, 50)[None, :])),
    "rows, then a slice": ((7, 90, 4), (_places(400, 7), slice(2, 80))),
    "a mask": ((40, 99), RNG.random(40) < 0.7),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_repeated_places_add_up(case: str, dtype: Any) -> None:
    shape, index = CASES[case]
    out = RNG.normal(size=shape).astype(dtype)
    values = RNG.normal(size=out[index].shape).astype(dtype)
    wanted = out.astype(np.float64)
    np.add.at(wanted, index, values.astype(np.float64))
    add_at(np, out, index, values)
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-4 if dtype is np.float32 else 1e-11)


def test_places_that_are_not_there_are_refused_before_anything_is_written() -> None:
    out, index = np.zeros((5, 40), np.float32), np.zeros(100, np.int64)
    index[-1] = 5
    with pytest.raises(IndexError, match="5"):
        add_at(np, out, index, np.ones((100, 40), np.float32))
    assert not out.any()


def test_rows_are_taken_by_their_numbers() -> None:
    weight = torch.from_numpy(RNG.normal(size=(400, 67)).astype(np.float32))
    places = torch.tensor(RNG.integers(0, 400, (30, 20)))
    for part in (places, places.t(), places[::2]):
        found = torch.nn.functional.embedding(part, weight)
        np.testing.assert_array_equal(found.numpy(), weight.numpy()[part.numpy()])
    places[3, 4] = 400
    with pytest.raises(IndexError, match="400"):
        torch.nn.functional.embedding(places, weight)


def test_gradients_of_rows_taken_often_are_their_sums() -> None:
    weight = torch.zeros(9, 130, requires_grad=True)
    places = torch.tensor(RNG.integers(0, 9, 500))
    g = RNG.normal(size=(500, 130)).astype(np.float32)
    torch.nn.functional.embedding(places, weight, padding_idx=4).backward(torch.from_numpy(g))
    wanted = np.zeros((9, 130))
    np.add.at(wanted, places.numpy(), g.astype(np.float64))
    wanted[4] = 0
    np.testing.assert_allclose(weight.grad.numpy(), wanted, rtol=1e-5, atol=1e-4)
    weight.grad = None
    weight[places].backward(torch.from_numpy(g))
    assert weight.grad[4].abs().sum() > 0
