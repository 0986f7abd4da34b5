"""Products of 8-bit integers against exact ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flambeau.backends.cpu.onednn import integer_products
from flambeau.backends.cpu.onednn.integer_products import integer_product

GENERATOR = np.random.default_rng(0)


def integers(dtype: Any, *shape: int, high: int) -> Any:
    low = 0 if dtype == np.uint8 else -high
    return GENERATOR.integers(low, high, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("zeros", [(0, 0), (3, 0), (0, -2), (7, 5)])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_products_are_exact(
    dtype: Any, zeros: Any, is_transposed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integer_products, "LEAST", 1)
    for n, k, m in [(5, 7, 3), (1, 64, 33), (40, 130, 50), (64, 1, 1)]:
        x, y = integers(dtype, n, k, high=127), integers(np.int8, k, m, high=60)
        if is_transposed:
            x, y = np.asfortranarray(x), np.asfortranarray(y)
        found = integer_product(x, y, *zeros)
        expected = (x.astype(int) - zeros[0]) @ (y.astype(int) - zeros[1])
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, expected)


def test_large_and_small_products_and_empty_ones_agree() -> None:
    x, y = integers(np.uint8, 64, 256, high=127), integers(np.int8, 256, 64, high=60)
    whole = integer_product(x, y)
    np.testing.assert_array_equal(whole[:2, :2], integer_product(x[:2], y[:, :2]))
    assert integer_product(x[:0], y).shape == (0, 64)
    assert not integer_product(x[:, :0], y[:0]).any()


def test_what_does_not_fit_is_refused() -> None:
    x, y = integers(np.uint8, 4, 5, high=9), integers(np.int8, 5, 3, high=9)
    with pytest.raises(ValueError, match=r"Got \(4, 5\) and \(3, 5\)"):
        integer_product(x, y.T)
    with pytest.raises(TypeError, match="Got uint8 by uint8"):
        integer_product(x, x.T)
