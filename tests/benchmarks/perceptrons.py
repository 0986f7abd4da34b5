"""Multi-layer perceptrons: a training step with SGD."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

from .case import Case, Rival, Step
from .training import training_step


def perceptron(torch: Any, widths: tuple[int, ...], batch: int) -> Step:
    """Linear layers with ReLU between them, cross-entropy."""
    nn = torch.nn
    layers = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    x, y = torch.randn(batch, widths[0]), torch.randint(0, widths[-1], (batch,))
    return training_step(torch, model, torch.optim.SGD(model.parameters(), lr=0.01), x, y)


CASES = [
    Case(
        "MLP 64-128-10, batch 32, SGD step",
        partial(perceptron, widths=(64, 128, 10), batch=32),
        (Rival(0.55),),
    ),
    Case(
        "MLP 784-512-512-10, batch 128, SGD step",
        partial(perceptron, widths=(784, 512, 512, 10), batch=128),
        (Rival(0.55),),
        trains=True,
    ),
]
