"""Layer norm, group norm and their gradients against float64 on the CPU."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F

from .kit import DTYPES, assert_launched, assert_near, double, drawn
from .shim import HostDriver

# A few threads for a row, a block, and one that is read again in each pass; vectors or not.
SHAPES = [(70, 8), (5, 33), (3, 2, 260), (2, 1030), (2, 8200)]
CASES = [("float32", s) for s in SHAPES]
CASES += [(d, s) for d in DTYPES if d != "float32" for s in [(9, 33), (2, 520)]]


def gradients(function: Any, g: Any, *given: Any) -> list[Any]:
    out = function(*given)
    return [out, *torch.autograd.grad(out, [x for x in given if x is not None], g)]


@pytest.mark.parametrize(("dtype", "shape"), CASES)
def test_layer_norm(host: HostDriver, dtype: str, shape: tuple[int, ...]) -> None:
    x = (drawn(shape, dtype) + 3).requires_grad_()
    weight, bias = (drawn(shape[-1:], dtype, k).requires_grad_() for k in (1, 2))
    g = drawn(shape, dtype, 3)

    def norm(x: Any, *parameters: Any) -> Any:
        return F.layer_norm(x, shape[-1:], *parameters)

    found = gradients(norm, g, x, weight, bias)
    assert_launched(host, "normalize_rows_gradient")
    wanted = gradients(norm, double(g), *map(double, (x, weight, bias)))
    for a, b in zip(found, wanted, strict=True):
        assert_near(a, b, 60)


@pytest.mark.parametrize(("dtype", "shape"), CASES)
def test_rms_norm(host: HostDriver, dtype: str, shape: tuple[int, ...]) -> None:
    x, g = (drawn(shape, dtype) + 1).requires_grad_(), drawn(shape, dtype, 3)
    weight = drawn(shape[-1:], dtype, 1).requires_grad_()

    def norm(x: Any, weight: Any) -> Any:
        return F.rms_norm(x, shape[-1:], weight, 1e-5)

    for given in ((x, weight), (x, None)):
        host.launched.clear()
        found = gradients(norm, g, *given)
        names = [name.partition("<")[0] for name in host.launched]
        assert names[:2] == ["scale_rows", "scale_rows_gradient"]
        assert len(names) <= (2 if given[1] is None else 4)
        wanted = gradients(norm, double(g), *[None if t is None else double(t) for t in given])
        for a, b in zip(found, wanted, strict=True):
            assert_near(a, b, 60)


def test_layer_norm_without_parameters_or_over_two_dimensions(host: HostDriver) -> None:
    x, g = drawn((3, 5, 8), "float32").requires_grad_(), drawn((3, 5, 8), "float32", 2)
    for given in ([], [drawn((5, 8), "float32", 1)], [None, drawn((5, 8), "float32", 1)]):
        host.launched.clear()
        out = F.layer_norm(x, (5, 8), *given)
        assert_launched(host, "normalize_rows")
        (found,) = torch.autograd.grad(out, x, g)
        wide = double(x)
        parameters = [None if p is None else double(p) for p in given]
        normal = F.layer_norm(wide, (5, 8), *parameters)
        (wanted,) = torch.autograd.grad(normal, wide, double(g))
        assert_near(out, normal, 60)
        assert_near(found, wanted, 200)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("shape", "is_last"), [((2, 4, 3, 5), False), ((2, 16, 5, 6), True), ((2, 4, 60, 70), False)]
)
@pytest.mark.parametrize("name", ["group_norm", "instance_norm"])
def test_groups_of_channels(
    host: HostDriver, name: str, shape: tuple[int, ...], is_last: bool, dtype: str
) -> None:
    x, g = drawn(shape, dtype) + 3, drawn(shape, dtype, 1)
    if is_last:
        x = x.to(memory_format=torch.channels_last)
    x.requires_grad_()
    weight, bias = (drawn(shape[1:2], dtype, k).requires_grad_() for k in (2, 3))

    def norm(x: Any, weight: Any, bias: Any) -> Any:
        if name == "group_norm":
            return F.group_norm(x, 2, weight, bias)
        return F.instance_norm(x, weight=weight, bias=bias)

    for given in ((x, weight, bias), (x, None, None)):
        found = gradients(norm, g, *given)
        assert found[0].is_contiguous() == x.is_contiguous()
        assert_launched(host, "pointwise_group_norm_gradient")
        wide = [None if t is None else double(t) for t in given]
        for a, b in zip(found, gradients(norm, double(g), *wide), strict=True):
            assert_near(a, b, 300 if dtype == "float32" else 20)


def test_empty_rows_and_views(host: HostDriver) -> None:
    x = drawn((6, 9), "float32")
    for view in (x.t(), x[:, 1:], x[:0], x[::2]):
        found = F.layer_norm(view, view.shape[-1:])
        assert_near(found, F.layer_norm(double(view), view.shape[-1:]), 60)
