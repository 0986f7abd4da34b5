"""A step of Adam over many tensors."""

from __future__ import annotations

from typing import Any

from .case import Case, Rival, Step


def adam(torch: Any, **options: bool) -> Step:
    """10M parameters in 50 tensors; the gradients stay."""
    parameters = [torch.nn.Parameter(torch.randn(200_000)) for _ in range(50)]
    for parameter in parameters:
        parameter.grad = torch.randn(200_000)
    optimizer = torch.optim.Adam(parameters, **options)
    return lambda: optimizer.step()


RIVALS = (Rival(0.8, "foreach", {"foreach": True}), Rival(1.0, "fused", {"fused": True}))

CASES = [Case("Adam step, 10M in 50 tensors", adam, RIVALS)]
