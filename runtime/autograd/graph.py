"""Hooks on what the tape saves, and the names under which PyTorch offers graph parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

from ..core import observers
from ..core.callsite import count_write
from ..core.dispatch import operations
from ..core.tensor import Tensor, wrap
from ..errors import GradientError
from .node import Node

__all__ = [
    "Node", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks", "increment_version",
    "save_on_cpu", "saved_tensors_hooks",
]  # fmt: skip

_refusal: ContextVar[str | None] = ContextVar("_refusal", default=None)
"""The words with which hooks are refused at present, see `disable_saved_tensors_hooks`."""


class saved_tensors_hooks(observers.Observer):
    """A `with` block in which each tensor that an operation saves for its gradient is replaced by
    `pack_hook(tensor)`, and comes back by `unpack_hook` when the gradient is computed.

    Example:
        >>> with torch.autograd.graph.saved_tensors_hooks(lambda t: t.half(), lambda t: t.float()):
        ...     loss = model(x)
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> Self:
        words = _refusal.get()
        if words is not None:
            raise GradientError(words)
        observers.subscribe(self)
        return self

    def __exit__(self, *exception: object) -> None:
        observers.unsubscribe(self)

    def node_recorded(self, node: Any) -> None:
        """Pack what the node has saved."""
        if not node.saved or not hasattr(node, "operation"):
            return
        key = node.key
        packed = []
        observers.unsubscribe(self)  # what the hook computes is nobody's to pack
        try:
            for value in node.saved:
                is_array = isinstance(value, key.array_class)
                tensor = wrap(value, key.of_array(value)) if is_array else None
                packed.append(_Packed(self.pack_hook(tensor)) if tensor is not None else value)
        finally:
            observers.subscribe(self)
        node.saved, node.versions = tuple(packed), ()
        unpacker = _Unpacker(node, self.unpack_hook)
        node.apply, node.apply_recorded = unpacker.apply, unpacker.apply_recorded


class _Packed:
    """What a hook made of a saved tensor."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Unpacker:
    """Runs a node on what its saved tensors unpack to."""

    def __init__(self, node: Node, unpack_hook: Callable[[Any], Tensor]) -> None:
        self.kind = type(node)
        self.node = node
        self.unpack_hook = unpack_hook

    def apply(self, g: Any) -> Any:
        """As `Node.apply`."""
        return self._restored().apply(g)

    def apply_recorded(self, g: Any) -> Any:
        """As `Node.apply_recorded`."""
        return self._restored().apply_recorded(g)

    def _restored(self) -> Node:
        node = self.node
        if node.saved is None:
            node.check()
        twin = self.kind()
        fields = {k: v for k, v in vars(node).items() if k not in ("apply", "apply_recorded")}
        vars(twin).update(fields)
        twin.saved = tuple(
            self.unpack_hook(v.value)._array if isinstance(v, _Packed) else v for v in node.saved
        )
        return twin


class save_on_cpu(saved_tensors_hooks):
    """A `with` block whose saved tensors wait in the CPU's memory."""

    def __init__(self, pin_memory: bool = False) -> None:
        super().__init__(lambda t: (t.device, t.cpu()), lambda packed: packed[1].to(packed[0]))


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """In this block, entering `saved_tensors_hooks` raises GradientError with `error_message`."""
    token = _refusal.set(error_message)
    try:
        yield
    finally:
        _refusal.reset(token)


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[None]:
    """In this block, what operations save for their gradients are copies, so that the tensors may
    be written in place before backward.

    Example:
        >>> with torch.autograd.graph.allow_mutation_on_saved_tensors():
        ...     b = a.exp()
        ...     b.zero_()
    """
    copied = operations["copied"].function
    with saved_tensors_hooks(lambda t: copied(t.detach()), lambda kept: kept):
        yield


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Count a write into the memory of a tensor, or of several, that the tape did not see: what was
    saved of it before is then refused at backward."""
    for written in (tensor,) if isinstance(tensor, Tensor) else tuple(tensor):
        count_write(written._writes, "increment_version")
