"""Small operations, where the overhead of a call is everything."""

from __future__ import annotations

from typing import Any

from .case import Case, Rival, Step


def pair(torch: Any) -> tuple[Any, Any]:
    """Two leaves, 32x64."""
    return torch.ones(32, 64, requires_grad=True), torch.ones(32, 64, requires_grad=True)


def add(torch: Any) -> Step:
    """Forward only, recorded."""
    x, y = pair(torch)
    return lambda: x + y


def mul(torch: Any) -> Step:
    """Forward only, recorded."""
    x, y = pair(torch)
    return lambda: x * y


def mul_and_backward(torch: Any) -> Step:
    """Forward and backward."""
    x, y = pair(torch)

    def step() -> None:
        x.grad = y.grad = None
        (x * y).sum().backward()

    return step


def chain(torch: Any) -> Step:
    """Twenty small operations and their backward pass."""
    x, y = pair(torch)

    def step() -> None:
        x.grad = y.grad = None
        h = x
        for _ in range(10):
            h = (h * y).tanh()
        h.sum().backward()

    return step


CASES = [
    Case("add, recorded, 32x64", add, (Rival(0.7),)),
    Case("mul, recorded, 32x64", mul, (Rival(0.7),)),
    Case("mul, sum, backward, 32x64", mul_and_backward, (Rival(0.7),)),
    Case("20 operations and backward, 32x64", chain, (Rival(0.7),)),
]
