"""Conversions among floating-point types, against NumPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cuda.registry import FLOATS

from .kit import assert_launched
from .shim import HostDriver


@pytest.mark.parametrize("source", FLOATS)
@pytest.mark.parametrize("target", FLOATS)
def test_casts_round_as_numpys(host: HostDriver, source: str, target: str) -> None:
    special = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-8, 7e4, -7e4, 1e30, 1.00390625]
    for count in (0, 1, 10, 2_051):
        values = np.random.default_rng(count).normal(size=count) * 100
        values[: min(count, 10)] = special[: min(count, 10)]
        x = torch.tensor(values).to(getattr(torch, source))
        wanted = x.to(getattr(torch, target))
        host.launched.clear()
        found = x.cuda().to(getattr(torch, target))
        assert found.dtype is wanted.dtype
        if count and source != target:
            assert_launched(host, "cast")
        np.testing.assert_array_equal(found.cpu().double().numpy(), wanted.double().numpy())


def test_views_at_odd_places_and_transposed_ones(host: HostDriver) -> None:
    x = torch.arange(21.0)
    assert torch.equal(x.cuda()[1:].half().cpu(), x[1:].half())
    y = x[:20].reshape(4, 5)
    assert torch.equal(y.cuda().t().double().cpu(), y.t().double())
