"""The training step that all models share."""

from __future__ import annotations

from typing import Any

from .case import Step


def training_step(torch: Any, model: Any, optimizer: Any, x: Any, classes: Any) -> Step:
    """Cross-entropy of the logits `model(x)`, shape (n, c), against `classes`, shape (n,)."""
    loss_function = torch.nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss_function(model(x), classes).backward()
        optimizer.step()

    return step
