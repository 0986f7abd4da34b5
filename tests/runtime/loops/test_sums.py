"""Sums and means of large arrays against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch

RNG = np.random.default_rng(0)

CASES: dict[str, tuple[tuple[int, ...], Any]] = {
    "everything": ((300, 1001), None),
    "everything by an empty dim": ((300, 1001), ()),
    "long rows": ((5, 70_001), -1),
    "rows": ((900, 100), 1),
    "last two": ((40, 30, 50), (-1, 1)),
    "last two, any order": ((40, 30, 50), (2, 1)),
    "columns": ((900, 100), 0),
    "the middle": ((40, 30, 50), 1),
    "short rows": ((9_000, 7), 1),
}


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_sums_and_means_are_those_of_float64(case: str, keepdim: bool) -> None:
    shape, dim = CASES[case]
    x = RNG.normal(size=shape).astype(np.float32) + 1
    axis = None if dim in (None, ()) else dim
    for name in ("sum", "mean"):
        found = getattr(torch.from_numpy(x), name)(dim=dim, keepdim=keepdim)
        wanted = getattr(x.astype(np.float64), name)(axis=axis, keepdims=keepdim)
        assert tuple(found.shape) == wanted.shape
        assert found.dtype is torch.float32
        np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_variances_are_those_of_float64(case: str, keepdim: bool) -> None:
    shape, dim = CASES[case]
    x = RNG.normal(size=shape).astype(np.float32) * 3 + 100
    axis = None if dim in (None, ()) else dim
    for correction in (0, 1):
        found = torch.from_numpy(x).var(dim=dim, keepdim=keepdim, correction=correction)
        wanted = x.astype(np.float64).var(axis=axis, keepdims=keepdim, ddof=correction)
        assert tuple(found.shape) == wanted.shape
        assert found.dtype is torch.float32
        np.testing.assert_allclose(found.numpy(), wanted, rtol=5e-6)


@pytest.mark.parametrize("case", CASES)
def test_norms_are_those_of_float64(case: str) -> None:
    shape, dim = CASES[case]
    x = RNG.normal(size=shape).astype(np.float32)
    axis = None if dim in (None, ()) else dim
    found = torch.from_numpy(x).norm(dim=dim)
    wanted = np.sqrt((x.astype(np.float64) ** 2).sum(axis))
    assert found.dtype is torch.float32
    np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-6)


def test_a_variance_far_from_zero_keeps_its_digits() -> None:
    """Sums of squares minus a squared sum would leave none of them."""
    x = (10_000 + RNG.normal(size=3_000_001)).astype(np.float32)
    found = torch.from_numpy(x).var().item()
    np.testing.assert_allclose(found, x.astype(np.float64).var(ddof=1), rtol=1e-6)


def test_the_gradient_of_a_variance_is_twice_the_distance_from_the_mean() -> None:
    x = RNG.normal(size=(200, 300)).astype(np.float32)
    for dim in (None, 1):
        leaf = torch.from_numpy(x).requires_grad_()
        leaf.var(dim).sum().backward()
        centred = x - x.astype(np.float64).mean(dim, keepdims=True)
        count = x.size if dim is None else 300
        np.testing.assert_allclose(leaf.grad.numpy(), 2 * centred / (count - 1), atol=1e-7)


def test_transposed_arrays_and_others_in_between_are_summed_too() -> None:
    x = RNG.normal(size=(400, 300)).astype(np.float32) + 1
    for part in (x.T, x[:, ::2], x[::2]):
        np.testing.assert_allclose(
            torch.from_numpy(part).sum(-1).numpy(), part.astype(np.float64).sum(-1), rtol=2e-6
        )


def test_sums_of_a_nan_or_infinity_are_such() -> None:
    x = np.ones((400, 300), np.float32)
    x[3, 299], x[5, 0] = np.nan, np.inf
    rows = torch.from_numpy(x).sum(1)
    assert rows[3].isnan()
    assert rows[5].isinf()
    assert torch.from_numpy(x).mean().isnan()


def test_a_sum_of_millions_keeps_its_digits() -> None:
    x = np.full(4_000_000, 0.1, np.float32)
    found = torch.from_numpy(x).sum().item()
    np.testing.assert_allclose(found, x.astype(np.float64).sum(), rtol=1e-6)
