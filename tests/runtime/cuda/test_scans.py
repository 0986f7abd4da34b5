"""Running sums, products, logarithmic sums and extremes, against the CPU in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cuda import scans

from .kit import HALF, assert_launched, drawn
from .shim import HostDriver

SHAPES = [
    ((), 0), ((0,), 0), ((3, 0), 1), ((3, 0), 0), ((1,), 0), ((5,), 0), ((2, 1_025), 1),
    ((1, 20_003), 1), ((3, 2, 7), 1), ((300, 3), 0), ((1_000, 2), 0), ((40, 300), 0), ((2, 9), -1),
]  # fmt: skip
"""Shapes and dimensions: nothing, one element, several rounds of a block, several segments of a
row and of a column."""

SUMS = {"cumsum": 1.0, "logcumsumexp": 1.0}


def check(name: str, x: Any, dim: int, units: float) -> None:
    found = getattr(torch, name)(x, dim).cpu()
    wanted = getattr(torch, name)(x.cpu().double(), dim)
    assert (found.dtype, found.shape) == (x.dtype, wanted.shape)
    if not found.numel():
        return
    size = float(wanted.abs().max())
    tolerance = units * HALF[str(x.dtype).removeprefix("torch.")] * max(size, 1.0)
    assert float((found.double() - wanted).abs().max()) <= tolerance


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("name", ["cumsum", "logcumsumexp", "cumprod"])
def test_float32(host: HostDriver, name: str, shape: tuple[int, ...], dim: int) -> None:
    x = drawn(shape, "float32")
    if name == "cumprod":
        x = 1 + 0.01 * x
    # Sums of n terms, in groups: each takes some tens of roundings of numbers below the largest.
    check(name, x, dim, 40 if name != "cumprod" else 400)
    if shape and x.numel():
        assert_launched(host, "scan_")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", ["cumsum", "logcumsumexp"])
def test_other_types_compute_in_their_wide_type(host: HostDriver, name: str, dtype: str) -> None:
    check(name, drawn((3, 2_000), dtype, scale=0.1), 1, 2.0 if dtype != "float64" else 40)


def test_int64_is_exact(host: HostDriver) -> None:
    x = torch.tensor(np.random.default_rng(0).integers(-(2**40), 2**40, (2, 5_000)))
    assert torch.equal(x.cuda().cumsum(1).cpu(), x.cumsum(1))


@pytest.mark.parametrize("name", ["cummax", "cummin"])
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_extremes_and_their_places_with_ties_and_nan(
    host: HostDriver, name: str, shape: tuple[int, ...], dim: int, dtype: Any
) -> None:
    # From -13 to -1, or from 1 to 13: 0, with which nothing begins, must not win.
    values = np.random.default_rng(1).integers(1, 14, shape) * (-1.0 if name == "cummax" else 1.0)
    if dtype is not torch.int64 and values.size > 20:
        values.reshape(-1)[values.size // 2] = np.nan
    x = torch.tensor(values).to(dtype)
    wanted = getattr(torch, name)(x, dim)
    found = getattr(torch, name)(x.cuda(), dim)
    np.testing.assert_array_equal(found.indices.cpu().numpy(), wanted.indices.numpy())
    np.testing.assert_array_equal(
        found.values.cpu().double().numpy(), wanted.values.double().numpy()
    )


def test_logarithmic_sums_of_infinities(host: HostDriver) -> None:
    inf = float("inf")
    x = torch.tensor([-inf, -inf, 1.0, -inf, inf, 2.0, inf, float("nan"), 1.0])
    np.testing.assert_array_equal(x.cuda().logcumsumexp(0).cpu().numpy(), x.logcumsumexp(0).numpy())


def test_few_long_lines_are_shared_by_blocks(host: HostDriver) -> None:
    length, count = scans._segments(20_000, 1, scans.LEAST_ROW_SEGMENT)
    assert (length, count) == (5_000, 4)
    assert scans._segments(20_000, 500, scans.LEAST_ROW_SEGMENT) == (20_000, 1)
    torch.ones(20_000, device="cuda").cumsum(0)
    assert [e.split("<")[0] for e in host.launched][-3:] == [
        "scan_rows",
        "scan_totals",
        "scan_rows",
    ]


def test_views_are_scanned_in_their_own_order(host: HostDriver) -> None:
    x = drawn((6, 40), "float32")
    np.testing.assert_allclose(
        x.t()[::2].cumsum(0).cpu().numpy(), x.cpu().numpy().T[::2].cumsum(0), rtol=1e-5, atol=1e-5
    )
