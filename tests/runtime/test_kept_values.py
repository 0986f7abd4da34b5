"""What may be written to after it was used: all that no gradient reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import flambeau as torch
from flambeau.nn import functional as F

FIXED = torch.tensor([[0.9, 0.4], [0.3, 0.8]])

RESULTS: dict[str, Callable[[Any], Any]] = {
    "div by a number": lambda x: x / 4,
    "div by a tensor": lambda x: x / FIXED,
    "number by tensor": lambda x: FIXED / x,
    "clamp": lambda x: x.clamp(0.3, 1.0),
    "normalize": lambda x: F.normalize(x),
    "smooth_l1": lambda x: F.smooth_l1_loss(x, FIXED, reduction="none"),
    "max_pool": lambda x: F.max_pool2d(x[None], (1, 2)),
    "gelu": lambda x: F.gelu(x),
    "sort": lambda x: x.sort(1)[0],
}
OPERANDS: dict[str, Callable[[Any], Any]] = {
    "matmul": lambda x: x @ FIXED,
    "linear": lambda x: F.linear(x, FIXED),
    "einsum": lambda x: torch.einsum("ij,jk->ik", x, FIXED),
    "convolution": lambda x: F.conv2d(x[None, None], FIXED[None, None]),
    "mul": lambda x: x * FIXED,
    "div": lambda x: x / FIXED,
}


def leaf() -> Any:
    return torch.tensor([[0.5, 1.5], [0.25, 0.75]], requires_grad=True)


def gradient(function: Callable[[Any], Any], change: str) -> Any:
    x = leaf()
    h = x + 0
    y = function(h)
    if change == "result":
        y.mul_(2)
    if change == "operand":
        h.add_(1)
    (y * torch.arange(1.0, y.numel() + 1).view(y.shape)).sum().backward()
    return x.grad


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_that_its_gradient_does_not_read_may_be_written_to(name: str) -> None:
    expected = 2 * gradient(RESULTS[name], "")
    assert torch.allclose(gradient(RESULTS[name], "result"), expected)


@pytest.mark.parametrize("name", OPERANDS)
def test_an_operand_whose_partner_needs_no_gradient_may_be_written_to(name: str) -> None:
    expected = gradient(OPERANDS[name], "")
    assert torch.allclose(gradient(OPERANDS[name], "operand"), expected)


def test_an_operand_whose_partner_needs_a_gradient_may_not() -> None:
    weight = FIXED.clone().requires_grad_()
    for function in (lambda h: h @ weight, lambda h: F.linear(h, weight), lambda h: h / weight):
        h = leaf() + 0
        y = function(h)
        h.add_(1)
        with pytest.raises(RuntimeError, match="changed in place"):
            y.sum().backward()


@pytest.mark.parametrize("write", [lambda y: y.zero_(), lambda y: y.fill_(3.0)])
def test_what_is_filled_stays_recorded_and_sends_zeros_back(write: Callable[[Any], Any]) -> None:
    x = leaf()
    y = write(x * 2)
    assert y.requires_grad
    (y * 5).sum().backward()
    assert x.grad.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    "activation",
    [
        torch.nn.LeakyReLU(0.2, inplace=True), torch.nn.ReLU(inplace=True),
        torch.nn.ELU(inplace=True), torch.nn.SiLU(inplace=True), torch.nn.Hardtanh(inplace=True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("normalized", [False, True])
def test_activations_in_place_behind_convolutions_give_the_same_gradients(
    activation: Any, normalized: bool
) -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 1, 32, 32)  # large enough for the fast kernels and their memory
    layers = [torch.nn.Conv2d(1, 8, 4, 2, 1), torch.nn.BatchNorm2d(8), activation]
    layers = layers if normalized else layers[::2]
    found = []
    for in_place in (True, False):
        activation.inplace = in_place
        layers[0].zero_grad()
        (torch.nn.Sequential(*layers)(x) ** 2).sum().backward()
        found.append(layers[0].weight.grad.clone())
    assert torch.allclose(*found, rtol=1e-4, atol=1e-3)


def test_second_gradients_of_division_do_not_read_the_quotient() -> None:
    a, b = torch.tensor(3.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    y = a / b
    y.mul_(1)
    (first,) = torch.autograd.grad(y, b, create_graph=True)
    (second,) = torch.autograd.grad(first, b)
    assert first.item() == pytest.approx(-3 / 4)  # -a/b^2
    assert second.item() == pytest.approx(6 / 8)  # 2a/b^3


def test_a_kept_gradient_is_what_all_hooks_made_of_it() -> None:
    x = leaf()
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g + 1)
    y.sum().backward()
    assert y.grad.tolist() == [[2, 2], [2, 2]]
    assert x.grad.tolist() == [[4, 4], [4, 4]]
