"""Sums of halves and float32 read the halves as they are."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch

from .kit import assert_near, double, drawn
from .shim import HostDriver


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_no_copy_in_float32_is_made(host: HostDriver, dtype: str) -> None:
    wide, half = drawn((4, 6), "float32"), drawn((4, 6), dtype, 1)
    row, g = drawn((6,), dtype, 2), drawn((4, 6), "float32", 3)
    found = [t.requires_grad_() for t in (wide, half, row)]
    wanted = [double(t) for t in found]

    def sums(x: Any, y: Any, z: Any) -> Any:
        return x + y - z

    host.launched.clear()
    out, reference = sums(*found), sums(*wanted)
    assert host.launched == ["pointwise_plus", "pointwise_minus"]
    assert out.dtype == torch.float32
    assert_near(out, reference)
    out.backward(g)
    reference.backward(double(g))
    for a, b in zip(found, wanted, strict=True):
        assert a.grad.dtype == a.dtype
        assert_near(a.grad, b.grad)


def test_second_derivatives_and_layouts(host: HostDriver) -> None:
    wide = drawn((2, 4, 3, 3), "float32").to(memory_format=torch.channels_last)
    half = drawn((2, 4, 3, 3), "bfloat16", 1).requires_grad_()
    (g,) = torch.autograd.grad(((wide + half) ** 3).sum(), half, create_graph=True)
    (found,) = torch.autograd.grad(g.sum(), half)
    assert_near(found, 6 * (double(wide) + double(half).detach()), 4)


def test_a_half_that_was_changed_since_is_told_of(host: HostDriver) -> None:
    half = drawn((4,), "float16").requires_grad_()
    y = half.exp()
    total = (y + drawn((4,), "float32")).sum()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="exp"):
        total.backward()
