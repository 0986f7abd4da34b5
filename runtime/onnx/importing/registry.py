"""The table of operators: by name in ONNX, a function of tensors and the operator's attributes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ...core.tensor import Tensor

__all__ = ["OPERATORS", "Sizes", "ints", "operator", "torch"]

torch: Any = importlib.import_module("flambeau")
"""The names that users have, by which the operators are written; it is complete by now."""

Function = TypeVar("Function", bound=Callable[..., Any])

OPERATORS: dict[str, Callable[..., Any]] = {}
"""Functions take the inputs by position, None for those left out, and attributes by keyword; one
with a parameter `opset` is told for which version of ONNX the model was written, one with `outputs`
how many results are wanted. What is annotated as `Sizes` is a list where the file has constants."""

Sizes = Sequence[int] | Tensor
"""Integers that say how, such as a shape: known from the file, or computed by the model."""


def operator(*names: str) -> Callable[[Function], Function]:
    """A decorator: the function does the operators `names`."""

    def register(function: Function) -> Function:
        for name in names:
            OPERATORS[name] = function
        return function

    return register


def ints(sizes: Sizes) -> list[int]:
    """The integers as a list."""
    return [int(n) for n in (sizes.reshape(-1).tolist() if isinstance(sizes, Tensor) else sizes)]
