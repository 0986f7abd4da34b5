"""Gradients at ties, kinks, thresholds, origins, infinities and NaN, as PyTorch has them."""

from __future__ import annotations

import math

import pytest

import flambeau as torch
import flambeau.nn.functional as F

INF, NAN = math.inf, math.nan

UNARY = {
    "relu": (torch.relu, [0.0, 1.0, NAN], [0.0, 1.0, 1.0]),
    "abs": (torch.abs, [0.0, -2.0, NAN], [0.0, -1.0, 0.0]),
    "elu": (F.elu, [-INF, 0.0, INF], [0.0, 1.0, 1.0]),
    "elu alpha": (lambda x: F.elu(x, 0.7), [0.0], [0.7]),
    "celu": (lambda x: F.celu(x, 0.5), [0.0], [1.0]),
    "selu": (F.selu, [0.0], [1.7580993408473766]),
    "softplus": (lambda x: F.softplus(x, 2.0, 1.0), [0.5, 0.6], [0.7310585786300049, 1.0]),
    "hardswish": (F.hardswish, [-INF, -3.0, 0.0, INF], [0.0, 0.0, 0.5, 1.0]),
    "softshrink": (F.softshrink, [0.5, NAN, -INF], [0.0, 1.0, 1.0]),
    "floor": (torch.floor, [1.5], [0.0]),
    "sign": (torch.sign, [1.5, NAN], [0.0, 0.0]),
}

BINARY = {
    "atan2": (torch.atan2, (0.0, 0.0), (0.0, 0.0)),
    "logaddexp": (torch.logaddexp, (INF, 0.0), (1.0, 0.0)),
    "logaddexp2": (torch.logaddexp2, (0.0, INF), (0.0, 1.0)),
    "maximum of NaN": (torch.maximum, (NAN, 1.0), (1.0, 1.0)),
    "maximum of equals": (torch.maximum, (1.0, 1.0), (0.5, 0.5)),
    "minimum of NaN": (torch.minimum, (1.0, NAN), (1.0, 1.0)),
    "clamp at its limit": (torch.clamp, (1.0, 1.0), (1.0, 0.0)),
    "clamp below its limit": (torch.clamp, (0.0, 1.0), (0.0, 1.0)),
    "clamp_max above its limit": (torch.clamp_max, (2.0, 1.0), (0.0, 1.0)),
    "pow of 0 to -1": (torch.pow, (0.0, -1.0), (-INF, -INF)),
    "pow of 0 to 0": (torch.pow, (0.0, 0.0), (0.0, 0.0)),
    "remainder": (torch.remainder, (1.0, 0.001), (1.0, -999.0)),
}


def close(got: torch.Tensor, expected: list[float]) -> bool:
    return torch.allclose(got, torch.tensor(expected, dtype=got.dtype), equal_nan=True)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_where_slopes_change(name: str, dtype: torch.dtype) -> None:
    function, points, slopes = UNARY[name]
    x = torch.tensor(points, dtype=dtype, requires_grad=True)
    function(x).sum().backward()
    assert close(x.grad, slopes)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_pairs_at_corners(name: str, dtype: torch.dtype) -> None:
    function, (a, b), slopes = BINARY[name]
    x = torch.tensor([a], dtype=dtype, requires_grad=True)
    y = torch.tensor([b], dtype=dtype, requires_grad=True)
    function(x, y).sum().backward()
    assert close(torch.cat([x.grad, y.grad]), list(slopes))


@pytest.mark.parametrize("function", [torch.relu, torch.abs, F.leaky_relu, F.hardtanh])
def test_second_derivatives_that_vanish_are_zeros_not_missing(function: object) -> None:
    x = torch.tensor([0.5, -0.5], requires_grad=True)
    (slope,) = torch.autograd.grad(function(x * 1.0).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), x)
    assert second.tolist() == [0.0, 0.0]


def test_lerp_reaches_its_end_exactly() -> None:
    start, end = torch.tensor([0.1, 1e8]), torch.tensor([0.7, 0.3])
    assert torch.equal(torch.lerp(start, end, 1.0), end)
    assert torch.equal(torch.lerp(start, end, torch.ones(2)), end)


def test_signs_and_gammas_of_no_numbers() -> None:
    x = torch.tensor([NAN, -INF])
    assert torch.sign(x).tolist() == [0.0, -1.0]
    assert torch.lgamma(x)[1].item() == INF
    assert math.isnan(F.softshrink(x)[0].item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_norms_of_large_arrays_have_the_gradient_of_their_direction(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 64, dtype=torch.float64)
    x[3] = 0.0
    wanted = x / x.norm(dim=1, keepdim=True).clamp(min=1e-300)
    x = x.to(dtype).requires_grad_()
    x.norm(dim=1).sum().backward()
    assert torch.allclose(x.grad.double(), wanted, atol=4 * torch.finfo(dtype).eps)
    assert torch.all(x.grad[3] == 0)
