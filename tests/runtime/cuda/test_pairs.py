"""Both gradients of an operation in one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import flambeau as torch
from flambeau.backends.cuda import launch, nvrtc
from flambeau.backends.cuda.pairs import Pair
from flambeau.core.dispatch import key_of, operations

from .kit import assert_near, double, drawn
from .shim import HostDriver
from .test_compilation import needs_nvrtc

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "mul": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "hypot": torch.hypot,
}


def gradients(function: Any, g: Any, x: Any, y: Any) -> Any:
    out = function(x, y)
    return torch.autograd.grad(out.sum() if g is None else out, (x, y), g)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_of_arrays_that_lie_alike(host: HostDriver, name: str, dtype: str) -> None:
    for shape in ((4, 8), (3, 5, 7)):
        x, y = drawn(shape, dtype), drawn(shape, dtype, 1).abs() + 1
        x, y = x.requires_grad_(), y.detach().requires_grad_()
        for g in (drawn(shape, dtype, 2), None):  # None: the gradient of a sum repeats one number
            host.launched.clear()
            found = gradients(OPERATIONS[name], g, x, y)
            assert sum("gradient" in e for e in host.launched) == 1
            assert any(e.startswith(f"pair_{name}_") for e in host.launched)
            wide = None if g is None else double(g)
            for a, b in zip(
                found, gradients(OPERATIONS[name], wide, double(x), double(y)), strict=True
            ):
                assert_near(a, b, 16)


@pytest.mark.parametrize("shapes", [((4, 6), (6,)), ((0, 3), (0, 3)), ((), ()), ((5, 1), (5, 4))])
def test_others_go_through_two_launches_or_none(
    host: HostDriver, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    x, y = (drawn(s, "float32", k).requires_grad_() for k, s in enumerate(shapes))
    found = gradients(OPERATIONS["mul"], None, x, y)
    for a, b in zip(found, gradients(OPERATIONS["mul"], None, double(x), double(y)), strict=True):
        assert_near(a, b, 16)


def test_views_that_lie_otherwise(host: HostDriver) -> None:
    x = drawn((6, 4), "float32").t().requires_grad_()
    y = drawn((4, 7), "float32", 1)[:, 1:].requires_grad_()
    found = gradients(OPERATIONS["divide"], None, x, y)
    wanted = gradients(OPERATIONS["divide"], None, double(x), double(y))
    for a, b in zip(found, wanted, strict=True):
        assert_near(a, b, 64)


@needs_nvrtc
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pairs_compile(host: HostDriver, dtype: str) -> None:
    key = key_of(torch.device("cuda:0"), getattr(torch, dtype))
    names = ["mul_input_gradient", "mul_other_gradient"]
    gradients(OPERATIONS["mul"], None, *(drawn((2,), dtype).requires_grad_() for _ in range(2)))
    pair = Pair([operations[n] for n in names], [(0, 1), (0, 2)], key)
    for repeats in ((True, False, False), (False, False, False)):
        source = pair.compiled(repeats)
        nvrtc.compiled(
            source.source.text, source.source.label, (source.expression,), launch.options("sm_90")
        )
