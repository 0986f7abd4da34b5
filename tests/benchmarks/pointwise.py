"""Pointwise operations and reductions over 4M elements, where memory is everything."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .case import Case, Rival, Step

ROWS, COLUMNS = 8192, 512


def large(torch: Any, operation: Callable[[Any, Any], object]) -> Step:
    """`operation(torch, x)` without recording, x of 8192x512 normal numbers."""
    x = torch.randn(ROWS, COLUMNS)
    return lambda: operation(torch, x)


def layer_norm(torch: Any) -> Step:
    """Over the last axis, with weight and bias."""
    x, weight, bias = torch.randn(ROWS, COLUMNS), torch.ones(COLUMNS), torch.zeros(COLUMNS)
    return lambda: torch.nn.functional.layer_norm(x, (COLUMNS,), weight, bias)


OPERATIONS: dict[str, Callable[[Any, Any], object]] = {
    "add": lambda torch, x: torch.add(x, x),
    "mul": lambda torch, x: torch.mul(x, x),
    "relu": lambda torch, x: torch.relu(x),
    "exp": lambda torch, x: torch.exp(x),
    "tanh": lambda torch, x: torch.tanh(x),
    "gelu": lambda torch, x: torch.nn.functional.gelu(x),
    "sigmoid": lambda torch, x: torch.sigmoid(x),
    "sum": lambda torch, x: torch.sum(x),
    "mean": lambda torch, x: torch.mean(x),
    "var": lambda torch, x: torch.var(x),
    "softmax": lambda torch, x: torch.softmax(x, -1),
}

CASES = [
    *[
        Case(f"{name}, 4M elements", partial(large, operation=operation), (Rival(1.0),))
        for name, operation in OPERATIONS.items()
    ],
    Case("layer_norm, 4M elements", layer_norm, (Rival(1.0),)),
]
