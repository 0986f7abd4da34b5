"""The table of rules: how each operation that is no formula is written in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["RULES", "rule"]

RULES: dict[str, Callable[..., Any]] = {}
"""By name of the operation, a function of the builder, the operation's tensors and its attributes,
of which integers may be scalars that the graph computes."""


def rule(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: the function writes the operations `names`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            RULES[name] = function
        return function

    return register
