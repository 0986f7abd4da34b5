"""The buffers of a model while it is traced: what a run writes to them is told, and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.tensor import Tensor
from ..nn import Module
from ..nn.parameter import is_lazy
from .recording import Constant, Recording, Reference

__all__ = ["State"]


@dataclass
class _Held:
    """One buffer as it was before the run."""

    name: str
    module: Module
    key: str
    tensor: Tensor
    version: int
    values: Tensor

    @property
    def now(self) -> Any:
        """What stands under its name."""
        return self.module._buffers.get(self.key)


class State:
    """The buffers of `root`, a module or anything else, as of now."""

    def __init__(self, root: Any) -> None:
        self._held = list(_buffers(root)) if isinstance(root, Module) else []

    def updates(self, recording: Recording) -> dict[str, Reference]:
        """By name, what the run has computed for buffers of the same shape and dtype."""
        found = {}
        for held in self._held:
            now = held.now
            if now is held.tensor and now._version == held.version:
                continue
            if not _fits(now, held.values):
                continue
            reference = recording.reference(now)
            if not isinstance(reference, Constant):
                found[held.name] = reference
        return found

    def restore(self) -> None:
        """Give written buffers their values back; one that the run replaced by another of its
        shape is put back, and others, such as tables that grow, stay."""
        for held in self._held:
            if _fits(held.now, held.values):
                held.module._buffers[held.key] = held.tensor
            if held.tensor._version != held.version:
                held.tensor.copy_(held.values)


def _fits(now: Any, before: Tensor) -> bool:
    return (
        isinstance(now, Tensor)
        and tuple(now.shape) == tuple(before.shape)
        and now.dtype is before.dtype
    )


def _buffers(root: Module) -> Iterator[_Held]:
    seen: set[int] = set()
    for path, module in root.named_modules():
        for key, tensor in module._buffers.items():
            if tensor is None or is_lazy(tensor) or id(tensor) in seen:
                continue
            seen.add(id(tensor))
            name = f"{path}.{key}" if path else key
            yield _Held(name, module, key, tensor, tensor._version, tensor.detach().clone())
