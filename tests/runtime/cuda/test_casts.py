"""Conversions among number types, against NumPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cuda import casts, launch
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


def test_whole_numbers_and_truth_values(host: HostDriver) -> None:
    kinds = ("int8", "uint8", "int32", "int64", "bool")
    values = torch.tensor(np.random.default_rng(0).uniform(0, 120, 77))
    text = launch.source("casts").text
    pairs = [(a, b) for a in casts.NUMBERS for b in casts.NUMBERS if {a, b} & {*kinds} and a != b]
    host.build(text, [casts.CAST.expression(pair) for pair in pairs])
    for source, target in pairs:
        x = values.to(getattr(torch, source))
        host.launched.clear()
        found = x.cuda().to(getattr(torch, target))
        assert_launched(host, "cast")
        assert found.dtype is getattr(torch, target)
        assert torch.equal(found.cpu(), x.to(getattr(torch, target))), (source, target)


def test_images_keep_their_channels_innermost(host: HostDriver) -> None:
    x = torch.randn(2, 3, 5, 6).to(memory_format=torch.channels_last)
    found = x.cuda().bfloat16()
    assert_launched(host, "cast")
    assert found.stride() == x.stride()
    assert torch.equal(found.cpu(), x.bfloat16())
