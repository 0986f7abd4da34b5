"""Softmax, cross-entropy and normalization of large arrays, against float64 and small pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional as F
from flambeau.ops import fused

RNG = np.random.default_rng(0)

Function = Callable[..., Any]
CASES: dict[str, tuple[Function, int]] = {
    "softmax": (lambda x: torch.softmax(x, -1), 0),
    "log_softmax": (lambda x: torch.log_softmax(x, 1), 0),
    "cross_entropy": (lambda x: F.cross_entropy(x, _targets(x)), 0),
    "cross_entropy, sum": (lambda x: F.cross_entropy(x, _targets(x), reduction="sum"), 0),
    "cross_entropy, none": (lambda x: F.cross_entropy(x, _targets(x), reduction="none"), 0),
    "cross_entropy, ignored": (lambda x: F.cross_entropy(x, _targets(x), ignore_index=3), 0),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, x.shape[1:], w, b), 2),
    "layer_norm without bias": (lambda x, w: F.layer_norm(x, x.shape[1:], w), 1),
    "layer_norm without weight": (lambda x, b: F.layer_norm(x, x.shape[1:], None, b), 1),
    "layer_norm, bare": (lambda x: F.layer_norm(x, x.shape[1:]), 0),
    "rms_norm": (lambda x, w: F.rms_norm(x, x.shape[1:], w, 1e-5), 1),
    "rms_norm, bare": (lambda x: F.rms_norm(x, x.shape[1:], None, 1e-5), 0),
    "group_norm": (lambda x: F.group_norm(x[:, None], 1), 0),
}
"""Functions of rows, and how many parameters of a row's length they take."""


def _targets(x: Any) -> Any:
    return torch.arange(len(x)) * 7 % x.shape[1]


def run(function: Function, dtype: Any, *arrays: Any) -> list[Any]:
    """The result, and the gradients of its sum weighted by cosines."""
    leaves = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in arrays]
    out = function(*leaves)
    (out * torch.arange(out.numel(), dtype=dtype).reshape(out.shape).cos()).sum().backward()
    return [out.detach().numpy(), *[leaf.grad.numpy() for leaf in leaves]]


@pytest.mark.parametrize("columns", [16, 33, 700])
@pytest.mark.parametrize("case", CASES)
def test_loops_over_rows_agree_with_float64(case: str, columns: int) -> None:
    function, parameters = CASES[case]
    x = RNG.normal(size=(fused.LARGE // columns + 50, columns)).astype(np.float32)
    rest = [RNG.normal(size=columns).astype(np.float32) for _ in range(parameters)]
    found = run(function, torch.float32, x, *rest)
    wanted = run(function, torch.float64, x, *rest)
    for a, b in zip(found, wanted, strict=True):
        scale = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6 * scale)


@pytest.mark.parametrize("case", ["softmax", "log_softmax"])
def test_rows_with_nan_and_infinities_are_those_of_small_arrays(case: str) -> None:
    function, _ = CASES[case]
    x = RNG.normal(size=(2_000, 40)).astype(np.float32)
    x[1, 5], x[2, 39], x[3, 0], x[4], x[5] = np.nan, np.inf, -np.inf, -np.inf, 1e4
    large = function(torch.from_numpy(x)).numpy()
    small = function(torch.from_numpy(x[:20])).numpy()
    np.testing.assert_allclose(large[:20], small, rtol=1e-5)


@pytest.mark.parametrize("name", ["amax", "amin"])
def test_extremes_of_rows_are_exact_and_nan_where_one_is(name: str) -> None:
    x = RNG.normal(size=(700, 3, 50)).astype(np.float32)
    x[1, 0, 49], x[2, 1, 3], x[3] = np.nan, np.inf, -np.inf
    for dim in (-1, (1, 2)):
        found = getattr(torch.from_numpy(x), name)(dim, keepdim=True).numpy()
        np.testing.assert_array_equal(found, getattr(np, name)(x, dim, keepdims=True))


def test_a_class_that_is_not_there_is_refused() -> None:
    x, target = torch.zeros(2_000, 40), torch.zeros(2_000, dtype=torch.int64)
    target[7] = 40
    with pytest.raises(IndexError, match="40"):
        F.cross_entropy(x, target)


def test_the_order_of_threads_leaves_no_trace() -> None:
    x = RNG.normal(size=(4_000, 65)).astype(np.float32)
    parameters = [RNG.normal(size=65).astype(np.float32) for _ in range(2)]
    results = []
    threads = torch.get_num_threads()
    for count in (1, 3, 2):
        torch.set_num_threads(count)
        results.append(run(CASES["layer_norm"][0], torch.float32, x, *parameters))
    torch.set_num_threads(threads)
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


def test_second_derivatives_go_through_fused_gradients() -> None:
    x = torch.tensor(RNG.normal(size=(1_100, 16)).astype(np.float32), requires_grad=True)
    found = []
    for rows in (1_100, 10):
        y = torch.log_softmax(x[:rows], -1) + F.layer_norm(x[:rows], (16,), torch.ones(16))
        (g,) = torch.autograd.grad((y**2).sum(), x, create_graph=True)
        (h,) = torch.autograd.grad((g**2).sum(), x)
        found.append(h.numpy()[:10])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-4)
