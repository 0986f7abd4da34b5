"""Recurrent layers of the abstract run: a few steps stand for all, packed sequences stay padded.

The shapes that a recurrent layer gives do not depend on the number of steps, but the time it takes
does; and how many rows a packed sequence has depends on lengths, which are values.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

import flambeau
from flambeau.core.tensor import Tensor
from flambeau.nn import Module, RNNBase

from .training import Training
from .values import UNKNOWN

FEW = 2  # steps that stand for all


@dataclass
class Packed:
    """A packed sequence: the padded one, its steps in dimension 0 unless `batch_first`."""

    padded: Tensor
    batch_first: bool

    def arranged(self, batch_first: bool) -> Tensor:
        """The padded sequence in the order asked for."""
        return self.padded if batch_first == self.batch_first else self.padded.transpose(0, 1)


class Recurrent(Training):
    """Answers calls of recurrent layers."""

    def call_module(
        self, module: Module, args: list[Any], kwargs: dict[str, Any], node: ast.AST
    ) -> Any:
        if not isinstance(module, RNNBase) or not args or self.is_opaque(args):
            return super().call_module(module, args, kwargs, node)
        if isinstance(args[0], Packed):
            data = args[0].arranged(module.batch_first)
            value = self.call_module(module, [data, *args[1:]], kwargs, node)
            if not isinstance(value, tuple):
                return value
            return Packed(value[0], module.batch_first), value[1]
        if isinstance(args[0], Tensor) and args[0].ndim in (2, 3):
            dim = 1 if module.batch_first and args[0].ndim == 3 else 0
            steps = args[0].shape[dim]
            if steps > FEW:
                short = [args[0].narrow(dim, 0, FEW), *args[1:]]
                value = super().call_module(module, short, kwargs, node)
                return self._stretched(value, dim, steps)
        return super().call_module(module, args, kwargs, node)

    def _stretched(self, value: Any, dim: int, steps: int) -> Any:
        """The output of `FEW` steps as that of `steps`, with a way back to the parameters."""
        if not isinstance(value, tuple):
            return value
        first: Tensor = value[0].narrow(dim, 0, 1)
        shape = list(first.shape)
        shape[dim] = steps
        return first.expand(shape).contiguous(), *value[1:]


def pack(run: Recurrent, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    """`pack_padded_sequence(input, lengths, batch_first, enforce_sorted)`."""
    given = {**dict(zip(("input", "lengths", "batch_first"), args, strict=False)), **kwargs}
    data = given.get("input", UNKNOWN)
    if not isinstance(data, Tensor) or data.ndim < 2:
        return UNKNOWN
    return Packed(data, bool(given.get("batch_first", False)))


def unpack(run: Recurrent, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    """`pad_packed_sequence(sequence, batch_first)`: the padded sequence and its lengths."""
    sequence = args[0] if args else kwargs.get("sequence")
    if not isinstance(sequence, Packed):
        return UNKNOWN
    first = bool(args[1] if len(args) > 1 else kwargs.get("batch_first", False))
    padded = sequence.arranged(first)
    return padded, flambeau.empty(padded.shape[0 if first else 1], dtype=flambeau.int64)
