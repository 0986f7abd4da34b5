"""Reductions against NumPy: every dimension, however arrays lie, whole or in chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch

from .kit import DTYPES, assert_launched, assert_near, double, drawn
from .shim import HostDriver

# Shape, dimensions to reduce, and how the array is viewed first.
CASES: dict[str, tuple[tuple[int, ...], Any, Any]] = {
    "all": ((3, 5, 7), None, None),
    "all, in chunks": ((40_000,), None, None),
    "all, ragged": ((10_001,), None, None),
    "last": ((5, 40), 1, None),
    "last, one vector": ((9, 4), 1, None),
    "last, ragged": ((5, 43), -1, None),
    "last, a warp each": ((5, 101), 1, None),
    "last, long": ((2, 3000), 1, None),
    "last, in chunks": ((1, 9000), 1, None),
    "first": ((40, 24), 0, None),
    "first, ragged": ((40, 23), 0, None),
    "first, in chunks": ((3000, 8), 0, None),
    "first, wide": ((6, 300), 0, None),
    "middle": ((3, 17, 8), 1, None),
    "outer and inner": ((4, 3, 20), (0, 2), None),
    "two last": ((3, 5, 7), (-1, 1), None),
    "transposed": ((6, 10), 1, lambda x: x.t()),
    "channels last": ((2, 8, 3, 3), (0, 2, 3), lambda x: x.to(memory_format=torch.channels_last)),
    "steps": ((6, 20), 1, lambda x: x[::2, ::3]),
    "unaligned": ((6, 20), 1, lambda x: x[:, 1:17]),
    "expanded": ((1, 20), 0, lambda x: x.expand(5, 20)),
    "of size 1": ((5, 1, 3), 1, None),
    "no results": ((0, 4), 1, None),
}
NAMES: dict[str, Any] = {
    "sum": torch.sum, "mean": torch.mean, "prod": torch.prod, "amax": torch.amax,
    "amin": torch.amin, "logsumexp": torch.logsumexp,
    "norm": lambda x, d, k: torch.linalg.vector_norm(x, 2, d, k),
    "absolute sum": lambda x, d, k: torch.linalg.vector_norm(x, 1, d, k),
    "var": lambda x, d, k: torch.var(x, d, keepdim=k),
    "biased deviation": lambda x, d, k: torch.std(x, d, keepdim=k, correction=0),
    "any": lambda x, d, k: torch.any(x > 3, d, k), "all": lambda x, d, k: torch.all(x > -3, d, k),
}  # fmt: skip


def checked(host: HostDriver, function: Any, x: Any, dim: Any, keepdim: bool, units: float) -> None:
    host.launched.clear()
    dims = tuple(range(x.ndim)) if dim is None else dim
    found, wanted = function(x, dims, keepdim), function(double(x), dims, keepdim)
    if found.dtype is torch.bool:
        assert found.cpu().tolist() == wanted.tolist()
        assert found.shape == wanted.shape
    else:
        assert_near(found, wanted, units)
    if found.numel():
        assert_launched(host, "reduce_")


@pytest.mark.parametrize("name", NAMES)
def test_reducers(host: HostDriver, name: str) -> None:
    scale = 0.3 if name == "prod" else 1.0
    for case in ("last, ragged", "first", "all, in chunks", "first, in chunks"):
        if name == "prod" and "chunks" in case:
            continue
        shape, dim, _ = CASES[case]
        x = drawn(shape, "float32", scale=scale) + (name == "prod")
        if name == "prod" and dim is None:
            dim = 0
        function = NAMES[name]
        dims = dim if name != "prod" or dim is not None else 0
        checked(host, function, x, dims, False, 64)


@pytest.mark.parametrize("case", CASES)
def test_sums_and_extremes_of_any_dimensions(host: HostDriver, case: str) -> None:
    shape, dim, view = CASES[case]
    x = drawn(shape, "float32")
    x = x if view is None else view(x)
    checked(host, torch.sum, x, dim, case == "middle", 2 * max(x.numel(), 1) ** 0.5)
    checked(host, torch.amax, x, dim, case == "last", 0)
    checked(host, torch.amin, -x, dim, case == "first", 0)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "float32"])
def test_halves_are_summed_in_float32_and_rounded_once(host: HostDriver, dtype: str) -> None:
    for case in ("last", "last, ragged", "first", "last, in chunks"):
        shape, dim, _ = CASES[case]
        x = drawn(shape, dtype)
        units = 60 if dtype == "float64" else 3
        checked(host, torch.sum, x, dim, False, units)
        checked(host, torch.logsumexp, x, dim, False, units)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_indices_are_those_of_the_first_extreme(host: HostDriver, name: str) -> None:
    rng = np.random.default_rng(0)
    function = getattr(torch, name)
    for shape, dim in (((5, 43), 1), ((40, 8), 0), ((3, 4, 5), None), ((20_000,), None)):
        values = rng.integers(0, 50, shape).astype(np.float32)  # with ties
        for x in (values, np.where(values == 3, np.nan, values)):
            host.launched.clear()
            found = function(torch.tensor(x).cuda(), dim)
            assert found.dtype is torch.int64
            np.testing.assert_array_equal(found.cpu().numpy(), getattr(np, name)(x, dim))
            assert_launched(host, "reduce_")
    x = torch.tensor(rng.integers(0, 9, (6, 7)))
    assert function(x.cuda().t()).item() == function(x.t()).item()
    assert function(x.cuda(), 1, keepdim=True).cpu().tolist() == function(x, 1, True).tolist()


def test_integers_and_truth_values(host: HostDriver) -> None:
    x = torch.tensor(np.random.default_rng(0).integers(-100, 100, (7, 33)))
    for dtype in (torch.int8, torch.int64):
        a, b = x.to(dtype), x.to(dtype).cuda()
        for name in ("sum", "amax", "amin", "argmax", "all", "any", "prod"):
            found, wanted = getattr(torch, name)(b, 1), getattr(torch, name)(a, 1)
            assert (found.dtype, found.cpu().tolist()) == (wanted.dtype, wanted.tolist()), name
    assert (x.cuda() > 0).sum().item() == (x > 0).sum().item()
    assert torch.any(x.to(torch.uint8).cuda(), 0).dtype is torch.uint8


def test_nan_and_empty_reductions(host: HostDriver) -> None:
    x = torch.tensor([[1.0, np.nan, 3.0], [-np.inf, -np.inf, -np.inf], [np.inf, 1.0, 2.0]])
    for name in ("amax", "amin", "logsumexp", "sum"):
        function = getattr(torch, name)
        found = function(x.cuda(), 1).cpu().numpy()
        np.testing.assert_allclose(found, function(x, 1).numpy(), rtol=1e-6)
    empty = torch.zeros(3, 0).cuda()
    assert empty.sum(1).cpu().tolist() == [0, 0, 0]
    assert empty.prod(1).cpu().tolist() == [1, 1, 1]
    assert torch.isnan(empty.mean()).item()
    assert torch.isnan(empty.var()).item()
    assert torch.isnan(torch.ones(1, device="cuda").var()).item()
    assert empty.logsumexp(1).cpu().tolist() == [-np.inf] * 3


def test_gradients_of_broadcast_operands_are_summed(host: HostDriver) -> None:
    x = drawn((5, 6, 8), "float32")
    for shape in ((8,), (6, 1), (5, 1, 8), ()):
        w = drawn(shape, "float32", 1).requires_grad_()
        (x * w).sum().backward()
        wanted = double(w)
        (double(x) * wanted).sum().backward()
        assert_near(w.grad, wanted.grad, 64)
