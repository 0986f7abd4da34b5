"""Compilation: the names that programs use. Nothing is compiled yet: all runs eagerly."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

__all__ = ["allow_in_graph", "compile", "disable", "is_compiling", "is_dynamo_compiling", "reset"]

_told = False


def compile(model: Any = None, **options: Any) -> Any:
    """The function or module `model` as it is, to be run eagerly; warns once that nothing is
    compiled. Without a model, a decorator. All options of PyTorch's are taken and change nothing.
    """
    if model is None:
        return lambda found: compile(found, **options)
    global _told
    if not _told:
        _told = True
        warnings.warn(
            "torch.compile: nothing is compiled yet, the model runs eagerly.", stacklevel=2
        )
    return model


def is_compiling() -> bool:
    """Whether code is being compiled: never."""
    return False


is_dynamo_compiling = is_compiling


def disable(fn: Any = None, recursive: bool = True, **options: Any) -> Any:
    """`fn` as it is; without one, a decorator that leaves its function so."""
    return fn if fn is not None else _itself


def allow_in_graph(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` as it is."""
    return fn


def reset() -> None:
    """Forget what was compiled: nothing."""


def _itself(fn: Any) -> Any:
    return fn
