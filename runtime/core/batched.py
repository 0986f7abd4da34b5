"""Batched arrays: what a tensor holds inside `vmap`, and the levels of nested ones.

Inside `vmap` a tensor shows the shape of one slice, while its array holds the slices of the whole
batch. Each running `vmap` has a level of its own; an array of one level may hold an array of
another, where one `vmap` runs inside another.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from ..errors import BatchingError
from .dispatch import backends, guarded
from .locks import module_lock
from .spec import Spec


class Flags(NamedTuple):
    """What NumPy tells of an array's memory."""

    c_contiguous: bool
    writeable: bool


class BatchedArray:
    """The slices of a batch at `level`, which all have the `shape` and `dtype` that this shows.

    `value` holds them along its first dimension, or, unless `is_batched`, the one array that all
    slices share.
    """

    __slots__ = ("dtype", "is_batched", "level", "shape", "value")
    __array_ufunc__ = None  # NumPy leaves mixed operators to us

    def __init__(self, value: Any, level: int, is_batched: bool) -> None:
        self.value = value
        self.level = level
        self.is_batched = is_batched
        self.dtype = value.dtype
        self.shape = value.shape[1:] if is_batched else value.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions of a slice."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements of a slice."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return int(self.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of a slice."""
        return self.size * self.itemsize

    @property
    def strides(self) -> Any:
        """Steps between neighbours of each dimension of a slice, as the value counts them."""
        return self.value.strides[1:] if self.is_batched else self.value.strides

    def stride(self) -> Any:
        """The same on the meta device, in elements."""
        return self.strides

    @property
    def flags(self) -> Flags:
        """Whether a slice lies row by row without gaps, and whether it may be written."""
        expected, contiguous = self.itemsize, True
        for n, step in zip(reversed(self.shape), reversed(self.strides), strict=True):
            contiguous = contiguous and (n == 1 or step == expected)
            expected *= max(n, 1)
        # Arrays of the GPU are always writeable, and do not say so.
        return Flags(contiguous or not self.size, getattr(self.value.flags, "writeable", True))

    @property
    def ctypes(self) -> Any:
        """The address on the CPU."""
        return self.value.ctypes

    @property
    def data(self) -> Any:
        """The address on the GPU."""
        return self.value.data

    def example(self) -> Any:
        """The first slice, as a bare array of the device."""
        one = self.value[0] if self.is_batched else self.value
        return one.example() if isinstance(one, BatchedArray) else one

    def __getitem__(self, index: int) -> Any:
        """The part `index` of the first dimension of each slice, to find an example of one."""
        if not self.is_batched:
            return BatchedArray(self.value[index], self.level, False)
        return BatchedArray(self.value[:, index], self.level, True)

    def copy(self) -> BatchedArray:
        """The same in memory of its own."""
        return BatchedArray(self.value.copy(), self.level, self.is_batched)

    def item(self) -> Any:
        """The only element, where all slices share it.

        Raises: BatchingError for slices of their own.
        """
        if self.is_batched:
            raise BatchingError(
                "vmap: expected operations on tensors. Got .item(), or a truth value as in "
                "`if x.sum() > 0`, of a tensor that differs from slice to slice: Python code runs "
                "once for all slices. Use torch.where for what depends on data."
            )
        return self.value.item()

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise BatchingError(
            "vmap: expected no bare array here. Got a tensor inside vmap, which has no single "
            "array of values. It was converted (numpy(), tolist()), or written in place into a "
            "tensor that vmap does not map over; write into a tensor made by x.new_zeros(...)."
        )

    def reshape(self, shape: tuple[int, ...]) -> BatchedArray:
        """The slices with other sizes."""
        sizes = (self.value.shape[0], *shape) if self.is_batched else shape
        return BatchedArray(self.value.reshape(sizes), self.level, self.is_batched)

    def __add__(self, other: Any) -> Any:
        """The sum with an array of the same shape, as backward passes need it."""
        if level_of(other) > self.level:
            return other + self
        batched = self.is_batched
        if level_of(other) == self.level:
            pair = (self.value, other.value)
            batched = batched or other.is_batched
        else:
            pair = (self.value, other)
        x, y = (_padded(v, len(self.shape) + batched) for v in pair)
        return BatchedArray(x if x.__class__ is Spec else x + y, self.level, batched)

    __radd__ = __add__

    def __setitem__(self, index: Any, values: Any) -> None:
        """Write `values` of this shape, or a number, everywhere; `index` is `...`."""
        if isinstance(values, BatchedArray) and values.level >= self.level:
            if values.level > self.level or (values.is_batched and not self.is_batched):
                raise BatchingError(
                    "vmap: expected a tensor with memory for each slice to write into. Got one "
                    f"of shape {self.shape} that all slices share, and a value that differs from "
                    "slice to slice. Use the out-of-place operation, or a tensor made by "
                    "x.new_zeros(...)."
                )
            values = values.value
        self.value[...] = values

    def __repr__(self) -> str:
        dim = "0" if self.is_batched else "None"
        return f"BatchedArray(level={self.level}, dim={dim}, value={self.value!r})"


def _padded(array: Any, ndim: int) -> Any:
    """`array` with dimensions of size 1 in front, where there are several levels to keep apart."""
    if array.__class__ is BatchedArray and len(array.shape) < ndim:
        return array.reshape((1,) * (ndim - len(array.shape)) + tuple(array.shape))
    return array


def level_of(array: Any) -> int:
    """The level of `array`, 0 for one that is not batched."""
    return array.level if array.__class__ is BatchedArray else 0


def bare(array: Any) -> Any:
    """The values of all slices, or of an array that is not batched."""
    while array.__class__ is BatchedArray:
        array = array.value
    return array


@guarded
def anywhere(tensor: Any) -> bool:
    """Whether a bool tensor holds somewhere, in whichever slice: for checks that raise."""
    if tensor._key.device.type == "cuda":
        backends["cuda"].note_wait("a check of values")  # type: ignore[attr-defined]
    return bool(bare(tensor._array).any())


class Level:
    """A running `vmap`: its number `depth`, the `length` of its batch, and how random numbers come
    about ("error", "different" or "same")."""

    __slots__ = ("__weakref__", "depth", "length", "randomness")

    def __init__(self, depth: int, length: int, randomness: str) -> None:
        self.depth = depth
        self.length = length
        self.randomness = randomness


class _Running(threading.local):
    def __init__(self) -> None:
        self.levels: list[Level] = []


_running = _Running()
_lock = module_lock()
# A graph that was recorded inside vmap keeps its level, which must not be given to another vmap
# that runs a backward pass through it. Nodes hold the level, this finds what is still held.
_alive: WeakValueDictionary[int, Level] = WeakValueDictionary()
in_use = False
"""Whether there ever was a vmap; until then nobody looks for batched arrays."""


def running() -> list[Level]:
    """The levels of this thread's running vmaps, the outermost first."""
    return _running.levels


def level_at(depth: int) -> Level:
    """The level numbered `depth`. Raises: BatchingError if its vmap is over."""
    level = _alive.get(depth)
    if level is None:
        raise BatchingError(
            "vmap: expected tensors of a vmap that runs. Got one that was kept from a vmap which "
            "is over. Return it from the function instead."
        )
    return level


def is_inside() -> bool:
    """Whether a vmap of this thread runs."""
    return bool(_running.levels)


def refuse_randomness(level: Level) -> None:
    """Raises: BatchingError if the vmap of `level` allows no random operations."""
    if level.randomness == "error":
        raise BatchingError(
            "vmap: expected no random operation, as its randomness is 'error'. Pass "
            "randomness='different' for numbers that differ from slice to slice, or 'same'."
        )


@contextmanager
def opened(length: int, randomness: str) -> Iterator[Level]:
    """A new innermost level for the length of a `with` block."""
    global in_use
    in_use = True
    levels = _running.levels
    with _lock:
        depth = levels[-1].depth + 1 if levels else 1
        while depth in _alive:
            depth += 1
        level = _alive[depth] = Level(depth, length, randomness)
    levels.append(level)
    try:
        yield level
    finally:
        levels.pop()
