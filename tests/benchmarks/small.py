"""Small work, where the overhead of a call is everything: operations, a chain, an MLP's step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .alternating import Row, compare

Work = Callable[[Any], Callable[[], object]]


def add(torch: Any) -> Callable[[], object]:
    """Forward only, recorded, 32x64."""
    x, y = torch.ones(32, 64, requires_grad=True), torch.ones(32, 64, requires_grad=True)
    return lambda: x + y


def mul(torch: Any) -> Callable[[], object]:
    """Forward only, recorded, 32x64."""
    x, y = torch.ones(32, 64, requires_grad=True), torch.ones(32, 64, requires_grad=True)
    return lambda: x * y


def mul_and_backward(torch: Any) -> Callable[[], object]:
    """Forward and backward, 32x64."""
    x, y = torch.ones(32, 64, requires_grad=True), torch.ones(32, 64, requires_grad=True)

    def step() -> None:
        x.grad = y.grad = None
        (x * y).sum().backward()

    return step


def chain(torch: Any) -> Callable[[], object]:
    """Twenty small operations and their backward pass, 32x64."""
    x, y = torch.ones(32, 64, requires_grad=True), torch.ones(32, 64, requires_grad=True)

    def step() -> None:
        x.grad = y.grad = None
        h = x
        for _ in range(10):
            h = (h * y).tanh()
        h.sum().backward()

    return step


def mlp(torch: Any) -> Callable[[], object]:
    """A training step of 64-128-10, batch 32, SGD."""
    nn = torch.nn
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss_function = nn.CrossEntropyLoss()
    x, y = torch.randn(32, 64), torch.randint(0, 10, (32,))

    def step() -> None:
        optimizer.zero_grad()
        loss_function(model(x), y).backward()
        optimizer.step()

    return step


WORK: dict[str, tuple[Work, float]] = {
    "add, recorded, 32x64": (add, 0.8),
    "mul, recorded, 32x64": (mul, 0.8),
    "mul, sum, backward, 32x64": (mul_and_backward, 0.8),
    "20 operations and backward, 32x64": (chain, 0.8),
    "MLP 64-128-10, batch 32, SGD step": (mlp, 0.7),
}
"""Name, what is timed, and the ratio that must not be exceeded."""


def rows() -> Iterator[Row]:
    """Measure all of it in this process."""
    import torch

    import flambeau

    for name, (work, limit) in WORK.items():
        yield compare(name, work(flambeau), work(torch), limit)
