"""What sample tables are made of: the Sample class and arrays that are the same at each run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import flambeau as torch
from flambeau.core.tensor import Tensor


@dataclass
class Sample:
    """One call: arrays stand for tensors, in `kwargs` for constants that get no gradient.

    `gradient=False` where there is none to check.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    reference: Callable[..., Any] | None = None
    gradient: bool = True
    second_order: bool = True

    def tensors(self, requires_grad: bool = False, device: str = "cpu", dtype: Any = None) -> Any:
        """The arguments with tensors for arrays, leaves if floating and asked for."""
        return _mapped(self.args, lambda a: _tensor(a, requires_grad, device, dtype))

    def options(self, like: Tensor) -> dict[str, Any]:
        """The keyword arguments, with tensors on the device and in the precision of `like`."""
        dtype = like.dtype if like.is_floating_point() else None
        return {k: _tensor(v, False, str(like.device), dtype) for k, v in self.kwargs.items()}


def _tensor(array: Any, requires_grad: bool, device: str, dtype: Any) -> Any:
    if not isinstance(array, np.ndarray):
        return array
    t = torch.from_numpy(array.copy())
    if dtype is not None and t.is_floating_point():
        t = t.to(dtype)
    t = t.to(device)
    return t.requires_grad_(requires_grad and t.is_floating_point())


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_mapped(v, function) for v in value)
    return function(value)


def leaves_of(args: Any) -> list[Tensor]:
    """All tensors in `args`, also those in lists."""
    if isinstance(args, Tensor):
        return [args]
    if isinstance(args, tuple | list):
        return [t for a in args for t in leaves_of(a)]
    return []


def array(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> Any:
    """Uniform float64 numbers; the same for the same arguments."""
    stream = np.random.RandomState(seed + sum((k + 1) * n for k, n in enumerate(shape)))
    return np.asarray(stream.uniform(low, high, shape))


def apart(*shape: int, seed: int = 0) -> Any:
    """Distinct numbers at least 0.1 apart and from 0, for operations with kinks."""
    n = int(np.prod(shape))
    stream = np.random.RandomState(seed)
    values = (np.arange(n) - n // 2 + 0.5) * 0.2
    return np.asarray(stream.permutation(values).reshape(shape))


def integers(*shape: int, high: int = 5, seed: int = 0) -> Any:
    """int64 numbers from 0 to high - 1."""
    return np.asarray(np.random.RandomState(seed).randint(0, high, shape), np.int64)
