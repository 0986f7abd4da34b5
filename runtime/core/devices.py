"""Devices: `cpu`, `cuda:0`, `meta`."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["device"]

TYPES = ("cpu", "cuda", "meta")
UNSERVED = ("mps", "xpu", "hpu", "mtia", "ipu", "xla", "vulkan", "privateuseone")
"""PyTorch's other types: programs compare with them, but no tensor can be there."""


class _Left(threading.local):
    """Where the `with` blocks of a thread go back to, the innermost last."""

    def __init__(self) -> None:
        self.places: list[device | None] = []


_left = _Left()


class device:
    """Where a tensor's memory lies: a `type` (cpu, cuda or meta) and, for cuda, an `index`.

    `device("cuda:1")`, `device("cuda", 1)` and `device(1)` are the same; without an index the
    current device is meant. In a `with` block new tensors of the thread are made there.

    Raises: RuntimeError if the text names no device.
    """

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, type: str | int | device, index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index
        elif isinstance(type, int):
            type, index = "cuda", type
        else:
            name, colon, number = type.partition(":")
            if (
                name not in (*TYPES, *UNSERVED)
                or (colon and not number.isdigit())
                or (colon and index is not None)
            ):
                raise RuntimeError(
                    f"Expected a device such as 'cpu', 'cuda', 'cuda:0' or 'meta'. Got {type!r}."
                )
            type, index = name, int(number) if colon else index
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "index", index)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"A device cannot be changed. Make a new one instead of setting {name}."
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and self.type == other.type and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __enter__(self) -> device:
        from .creation import choose_device

        _left.places.append(choose_device(self))
        return self

    def __exit__(self, *exception: object) -> None:
        from .creation import choose_device

        choose_device(_left.places.pop())

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type, self.index)
