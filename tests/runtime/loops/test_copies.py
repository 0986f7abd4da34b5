"""Large copies whose elements change places."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch

ORDERS = [
    ((300, 400), (1, 0)),
    ((20, 30, 40), (2, 0, 1)),
    ((20, 30, 40), (0, 2, 1)),
    ((20, 30, 40), (1, 0, 2)),
    ((8, 16, 20, 30), (0, 3, 1, 2)),
    ((8, 16, 20, 30), (0, 1, 3, 2)),
    ((40, 300, 3), (2, 1, 0)),
    ((2, 3, 50, 6, 20), (0, 1, 2, 4, 3)),
]


@pytest.mark.parametrize(("shape", "order"), ORDERS)
def test_copies_in_another_order_have_the_same_values(
    shape: tuple[int, ...], order: tuple[int, ...]
) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for part in (x, x[1:], x[..., ::2]):
        copy = torch.from_numpy(part).permute(*order).contiguous()
        assert copy.is_contiguous()
        np.testing.assert_array_equal(copy.numpy(), part.transpose(order))


def test_what_is_seen_several_times_is_copied_as_often() -> None:
    x = np.random.default_rng(0).normal(size=300).astype(np.float32)
    rows = torch.from_numpy(x).expand(200, 300)
    wanted = np.broadcast_to(x, (200, 300))
    np.testing.assert_array_equal(rows.t().contiguous().numpy(), wanted.T)
    np.testing.assert_array_equal(rows.clone().numpy(), wanted)
