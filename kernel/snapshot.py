"""What the session knows of its names without looking at them: an immutable picture of facts.

Hover, completion and the language server read a picture. Taking one reads attributes alone: no
values, no device, no lock that a running cell would wait for, and no tensor is kept alive by it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any

from flambeau import Tensor, nn
from flambeau.core.sparse_arrays import SparseArray
from flambeau.magics.cells import UserNames
from flambeau.nn.parameter import is_lazy

from .origins import Origin, Origins

LONGEST_TEXT = 60  # characters of a string or number that a fact shows
PLAIN = (int, float, complex, bool, str, bytes, type(None))
"""Types whose own repr is safe and short enough to be taken at any time."""

CONTAINERS = (list, tuple, dict, set, frozenset)
"""Types whose length is known without running code."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one value; None where it does not apply.

    `shape`, `dtype`, `device`, `layout`, `requires_grad`, `grad_fn`, `has_grad` and `nbytes` are of
    tensors; `parameters`, `trainable` and `nbytes` of modules; `value` is the text of a plain
    constant, `length` the length of a built-in container.
    """

    name: str
    type: str
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    device: str | None = None
    layout: str | None = None
    requires_grad: bool | None = None
    grad_fn: str | None = None
    has_grad: bool | None = None
    nbytes: int | None = None
    parameters: int | None = None
    trainable: int | None = None
    training: bool | None = None
    value: str | None = None
    length: int | None = None
    origin: Origin | None = None

    def __str__(self) -> str:
        """`Tensor (64, 10) float32 cpu`, `Sequential 1,306 parameters`, `int 3`."""
        if self.shape is not None:
            dtype = (self.dtype or "").removeprefix("torch.")
            words = [self.type, str(self.shape), dtype, self.device or ""]
            words += ["requires_grad"] if self.requires_grad else []
            return " ".join(word for word in words if word)
        if self.parameters is not None:
            return f"{self.type} {self.parameters:,} parameters"
        if self.length is not None:
            return f"{self.type} of {self.length:,}"
        return f"{self.type} {self.value}" if self.value is not None else self.type


class Snapshot(Mapping[str, Facts]):
    """Facts by name, as they stood at one moment (`taken_at`, s of the monotonic clock)."""

    def __init__(self, facts: dict[str, Facts], taken_at: float) -> None:
        self._facts = MappingProxyType(facts)
        self.taken_at = taken_at

    def __getitem__(self, name: str) -> Facts:
        return self._facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)


EMPTY = Snapshot({}, float("-inf"))

NONE = (None,)


class Photographer:
    """Takes a snapshot when one is asked for and the last is out of date: the session has run a
    cell since, or runs one for longer than `interval` seconds.

    Facts of tensors and constants that are the same as last time are kept (of 10,000 names a
    picture takes 15 ms instead of 55).
    """

    def __init__(self, namespace: dict[str, Any], origins: Origins, interval: float) -> None:
        self._names, self.origins, self.interval = UserNames(namespace), origins, interval
        self._last = EMPTY
        self._signs: dict[str, tuple[Any, ...]] = {}
        self._changes = 0
        self._seen = -1

    def changed(self) -> None:
        """The namespace may have changed."""
        self._changes += 1

    def snapshot(self, running: bool) -> Snapshot:
        """The latest picture, or a new one."""
        changes = self._changes
        now = time.monotonic()
        if changes != self._seen or (running and now - self._last.taken_at > self.interval):
            self._last = self._take(now)
            self._seen = changes
        return self._last

    def _take(self, now: float) -> Snapshot:
        origins, last, old = self.origins.known(), self._last._facts, self._signs
        facts, signs = {}, {}
        for name, value in self._names.items():
            origin = origins.get(name, NONE)[0]
            sign = sign_of(value, origin)
            if sign is not None and old.get(name) == sign:
                facts[name] = last[name]
            else:
                facts[name] = facts_of(name, value, origin)
            if sign is not None:
                signs[name] = sign
        self._signs = signs
        return Snapshot(facts, now)


def sign_of(value: Any, origin: Origin | None) -> tuple[Any, ...] | None:
    """What two looks at a tensor or a constant have in common if its facts are the same; None for
    values that have no such sign. It keeps no tensor alive."""
    kind = type(value)
    if kind in PLAIN:
        return None if kind in (str, bytes) else (kind, value, origin)
    if kind is Tensor:
        array, edge = value._array, value._edge
        strides = getattr(array, "strides", None)
        ids = (id(array), id(edge))
        return (value._key, array.shape, strides, *ids, value._grad is None, origin)
    return None


def facts_of(name: str, value: Any, origin: Origin | None = None) -> Facts:
    """The facts of `value`, from its attributes alone."""
    kind = type(value)
    if issubclass(kind, Tensor):
        return _tensor(name, value, origin)
    if issubclass(kind, nn.Module):
        return _module(name, value, origin)
    if issubclass(kind, ModuleType):
        return Facts(name, "module", value=value.__name__, origin=origin)
    if kind in PLAIN:
        text = repr(value[:LONGEST_TEXT] if kind in (str, bytes) else value)
        text = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."
        return Facts(name, kind.__name__, value=text, origin=origin)
    if kind in CONTAINERS:
        return Facts(name, kind.__name__, length=len(value), origin=origin)
    return Facts(name, kind.__name__, origin=origin)


def _tensor(name: str, tensor: Any, origin: Origin | None) -> Facts:
    dtype, device = str(tensor.dtype), str(tensor.device)
    kind = type(tensor).__name__
    if is_lazy(tensor):
        return Facts(name, kind, dtype=dtype, device=device, origin=origin)
    grad_fn = tensor.grad_fn
    return Facts(
        name,
        kind,
        shape=tuple(tensor.shape),
        dtype=dtype,
        device=device,
        layout=layout_of(tensor),
        requires_grad=bool(tensor.requires_grad),
        grad_fn=None if grad_fn is None else grad_fn.name(),
        has_grad=tensor._grad is not None,
        nbytes=0 if tensor.is_meta else tensor.nbytes,
        origin=origin,
    )


def layout_of(tensor: Any) -> str:
    """`contiguous`, `channels_last`, `strided (1, 3)`, or `sparse_coo`."""
    if isinstance(tensor._array, SparseArray):
        return "sparse_coo"
    shape, stride = tuple(tensor.shape), tuple(tensor.stride())
    if _follows(shape, stride, range(len(shape))):
        return "contiguous"
    if len(shape) == 4 and _follows(shape, stride, (0, 2, 3, 1)):
        return "channels_last"
    return f"strided {stride}"


def _follows(shape: tuple[int, ...], stride: tuple[int, ...], order: Sequence[int]) -> bool:
    """Whether memory runs through the dimensions in this order, the last one fastest."""
    step = 1
    for k in reversed(order):
        if shape[k] != 1 and stride[k] != step:
            return 0 in shape
        step *= shape[k]
    return True


def _module(name: str, module: Any, origin: Origin | None) -> Facts:
    try:
        parameters = [p for p in module.parameters() if not is_lazy(p)]
        buffers = list(module.buffers())
    except Exception:  # another thread builds it, or __init__ was never called
        return Facts(name, type(module).__name__, origin=origin)
    return Facts(
        name,
        type(module).__name__,
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        nbytes=sum(t.nbytes for t in (*parameters, *buffers) if not t.is_meta),
        training=bool(module.training),
        origin=origin,
    )
