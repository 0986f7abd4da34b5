"""Conversions to half types and back: NumPy's and ml_dtypes' bits."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from flambeau.backends.cpu.loops import casts
from flambeau.backends.halves import converted

HALVES = [np.float16, ml_dtypes.bfloat16]
EVERY = np.arange(1 << 16, dtype=np.uint16)


def _same(found: Any, wanted: Any) -> None:
    """Equal bits, or both NaN."""
    assert found.dtype == wanted.dtype
    nan = np.isnan(wanted)
    np.testing.assert_array_equal(np.isnan(found), nan)
    bits = f"u{wanted.itemsize}"
    np.testing.assert_array_equal(found.view(bits)[~nan], wanted.view(bits)[~nan])


@pytest.mark.parametrize("half", HALVES)
def test_every_half_number_is_widened_exactly(half: Any) -> None:
    x = EVERY.view(half)
    assert casts.serves(x, np.dtype(np.float32))
    _same(converted(x, np.float32), x.astype(np.float32))


@pytest.mark.parametrize("half", HALVES)
def test_numbers_become_the_nearest_halves_and_ties_even_ones(half: Any) -> None:
    exact = EVERY.view(half).astype(np.float32)
    finite = exact[np.isfinite(exact)]
    above = np.nextafter(finite, np.float32(np.inf))
    following = (finite.astype(half).view(np.uint16) + 1).view(half).astype(np.float32)
    halfway = finite / 2 + following / 2
    random = np.arange(0, 1 << 32, 4099, np.uint32).view(np.float32)
    x = np.concatenate([exact, above, halfway, random])
    assert casts.serves(x, np.dtype(half))
    with np.errstate(all="ignore"):
        _same(converted(x, half), x.astype(half))
