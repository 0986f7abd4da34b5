"""Gradients through writes in place and through views: values recorded from PyTorch 2.13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch

Gradients = tuple[list[float], list[float] | None]

WRITES: dict[str, tuple[Callable[[Any, Any], Any], Gradients]] = {
    "sin_": (lambda x, y: x.sin_(), ([0.9553364891, 0.8775825619, 0.3623577545], None)),
    "mul_": (lambda x, y: x.mul_(y), ([2.0, 3.0, 4.0], [0.3, 0.5, 1.2])),
    "pow_": (lambda x, y: x.pow_(2), ([0.6, 1.0, 2.4], None)),
    "clamp_": (lambda x, y: x.clamp_(0.4, 1), ([0.0, 1.0, 0.0], None)),
    "cumprod_": (lambda x, y: x.cumprod_(0), ([2.1, 0.66, 0.15], None)),
    "xlogy_": (
        lambda x, y: x.xlogy_(y),
        ([0.6931471806, 1.0986122887, 1.3862943611], [0.15, 0.1666666667, 0.3]),
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_keeps_for_its_own_gradient_what_it_overwrites(name: str) -> None:
    function, (by_x, by_y) = WRITES[name]
    x = torch.tensor([0.3, 0.5, 1.2], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64, requires_grad=True)
    function(x * 1, y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), by_x, rtol=1e-9)
    if by_y is not None:
        np.testing.assert_allclose(y.grad.numpy(), by_y, rtol=1e-9)


@pytest.mark.parametrize("other", [lambda x: x, lambda x: x.t()], ids=["itself", "its transpose"])
def test_a_second_operand_in_the_overwritten_memory_is_refused_at_backward(other: Any) -> None:
    x = torch.ones(2, 2, requires_grad=True) * 2
    x.mul_(other(x))
    with pytest.raises(RuntimeError, match="changed in place"):
        x.sum().backward()


EXPANDED: dict[str, tuple[Callable[[Any], Any], list[list[float]]]] = {
    "diagonal": (lambda e: e.diagonal(), [[1, 0, 0], [0, 2, 0], [0, 0, 3]]),
    "unfold along rows": (lambda e: e.unfold(0, 2, 1), [[1, 3, 5], [9, 13, 17], [8, 10, 12]]),
    "unfold along columns": (lambda e: e.unfold(1, 2, 1), [[1, 5, 4], [5, 13, 8], [9, 21, 12]]),
    "as_strided": (lambda e: e.as_strided((2, 2), (1, 1)), [[1 / 3, 5 / 3, 4 / 3]] * 3),
}


@pytest.mark.parametrize("name", EXPANDED)
def test_views_of_an_expanded_tensor_give_its_elements_their_own_gradients(name: str) -> None:
    function, expected = EXPANDED[name]
    x = torch.arange(3.0, dtype=torch.float64).requires_grad_()
    e = x.expand(3, 3)
    out = function(e)
    weights = torch.arange(1.0, out.numel() + 1, dtype=torch.float64).reshape(out.shape)
    by_e, by_x = torch.autograd.grad((out * weights).sum(), [e, x])
    np.testing.assert_allclose(by_e.numpy(), expected)
    np.testing.assert_allclose(by_x.numpy(), np.sum(expected, 0))


def test_a_write_through_a_view_of_memory_with_gaps_reaches_its_elements() -> None:
    memory = np.arange(24.0).reshape(4, 6)
    base = torch.from_numpy(memory[::2, ::3])
    w = torch.tensor([2.0, 5.0], dtype=torch.float64, requires_grad=True)
    base[1].mul_(w)
    (base * torch.tensor([[1.0, 10.0], [100.0, 1000.0]], dtype=torch.float64)).sum().backward()
    np.testing.assert_array_equal(memory[::2, ::3], [[0, 3], [24, 75]])
    np.testing.assert_array_equal(w.grad.numpy(), [1200, 15000])


def _pairs(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(x)


PARTED = {
    "pairs": (True, _pairs),
    "real part": (True, lambda x: x.real),
    "a pair's half": (True, lambda x: _pairs(x)[..., 1]),
    "complex": (False, torch.view_as_complex),
}


@pytest.mark.parametrize("name", PARTED)
def test_a_write_through_parts_of_complex_numbers_has_gradients(name: str) -> None:
    is_complex, view = PARTED[name]

    def made(x: torch.Tensor) -> torch.Tensor:
        return torch.complex(x[..., 0], x[..., 1]) if is_complex else x * 1

    def written(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        base, other = made(x), made(y)
        before = base[1:]
        view(base).mul_(view(other))
        out = base**2 * 3 + base * before.sum()
        return torch.view_as_real(out) if is_complex else out

    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    y = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(written, (x, y))
    assert torch.autograd.gradgradcheck(written, (x, y))


def test_other_parts_of_complex_numbers_see_what_was_written() -> None:
    x = torch.ones(2, dtype=torch.complex64, requires_grad=True)
    base = x * 1
    real = base.real
    base.mul_(3)
    (slope,) = torch.autograd.grad(real.sum(), x)
    assert slope.tolist() == [3, 3]


def test_an_index_without_dimensions_is_one_place() -> None:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    place = torch.tensor(1)
    picked = x.gather(0, place)
    assert picked.shape == ()
    (slope,) = torch.autograd.grad(picked * 5, x)
    assert slope.tolist() == [0.0, 5.0, 0.0]
    other = torch.tensor(7.0, requires_grad=True)
    written = x.scatter(0, place, other)
    assert written.tolist() == [1.0, 7.0, 3.0]
    assert torch.autograd.grad(written.sum(), (x, other))[1] == 1
    assert x.detach().scatter_reduce(0, place, torch.tensor(9.0), "amax").tolist() == [1, 9, 3]
    assert x.detach().scatter_add(0, place, torch.tensor(9.0)).tolist() == [1, 11, 3]


def test_limits_are_what_the_integer_type_holds() -> None:
    x = torch.tensor([1, 200], dtype=torch.uint8)
    assert x.clamp(min=-1).tolist() == [255, 255]  # wrapped, as PyTorch converts it
    assert x.clamp(-5, 100).tolist() == [100, 100]
    with pytest.raises(RuntimeError, match="from 0 to 255"):
        x.clamp(max=300)
