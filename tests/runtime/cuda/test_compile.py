"""Compiled functions on the GPU: chains of formulas in one launch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import flambeau as torch
from flambeau.compiler import fusion, region

from .kit import assert_near, double, drawn


@pytest.fixture(autouse=True)
def small_tensors_wait_too(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(region, "LEAST", 0)
    monkeypatch.setattr(fusion, "LEAST_FUSED", 1)
    yield
    torch.compiler.reset()


def function(x: Any, bias: Any, rest: Any) -> Any:
    y = (x + bias) * torch.sigmoid(1.702 * (x + bias))
    return torch.where(rest > 0, y * rest, y - rest)


def test_a_chain_of_formulas_is_one_launch_each_way(host: Any) -> None:
    dtype = "float32"
    leaves = [drawn(s, dtype, k).requires_grad_() for k, s in enumerate([(9, 70), (70,), (9, 70)])]
    g = drawn((9, 70), dtype, 5)
    compiled = torch.compile(function)
    host.launched.clear()
    out = compiled(*leaves)
    assert len(host.launched) == 1, host.launched
    assert host.launched[0].startswith("pointwise_fused")
    grads = torch.autograd.grad(out, leaves, g)
    doubles = [double(x) for x in leaves]
    wanted = function(*doubles)
    assert_near(out, wanted, 64)
    for found, true in zip(grads, torch.autograd.grad(wanted, doubles, double(g)), strict=True):
        assert_near(found, true, 256)


def test_what_no_kernel_takes_is_computed_by_operations(host: Any) -> None:
    leaves = [drawn(s, "float32", k) for k, s in enumerate([(6, 5), (5,), (6, 5)])]
    leaves[0] = leaves[0][:, ::2].sum(1, keepdim=True)
    assert_near(torch.compile(function)(*leaves), function(*map(double, leaves)), 64)
