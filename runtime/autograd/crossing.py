"""How tensors get into `vmap` and out of it, recorded like operations.

    split   a dimension becomes the batch of a level       its opposite, and gradient, is merge
    lift    a tensor from outside is shared by all slices  its gradient is the sum over slices, drop

Each works on arrays of lower and higher levels too: a backward pass may run inside one `vmap`
through a graph that another has recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.batched import dtype_of, key_at
from ..core.batched import BatchedArray, Level, level_at, level_of
from ..core.devices import device
from ..core.tensor import Tensor, note_view, wrap
from .grad_mode import is_grad_enabled
from .node import Node, tick


def _key(array: Any, place: device) -> Any:
    return key_at(level_of(array), place, dtype_of(array))


def _inside(array: Any, dim: int, change: Callable[[Any, int], Any]) -> BatchedArray:
    """`change` done to what an array of a higher level holds, where `dim` counts its batch too."""
    inner = change(array.value, dim + array.is_batched)
    return BatchedArray(inner, array.level, array.is_batched)


def _moved(array: Any, source: int, target: int, place: device) -> Any:
    order = [d for d in range(len(array.shape)) if d != source]
    order.insert(target, source)
    return _key(array, place).permute_dims(array, dims=tuple(order))


def split(array: Any, level: Level, dim: int, place: device) -> Any:
    """`array`, whose dimension `dim` is the batch of `level`, without that dimension."""
    if level_of(array) > level.depth:
        return _inside(array, dim, lambda a, d: split(a, level, d, place))
    if level_of(array) == level.depth:
        array = array.value  # shared by the slices, as it was outside of them
    return BatchedArray(_moved(array, dim, 0, place), level.depth, True)


def merge(array: Any, level: Level, dim: int, place: device) -> Any:
    """`array` with the batch of `level` as its dimension `dim`."""
    if level_of(array) > level.depth:
        return _inside(array, dim, lambda a, d: merge(a, level, d, place))
    if level_of(array) == level.depth:
        if array.is_batched:
            return _moved(array.value, 0, dim, place)
        array = array.value
    wide = _key(array, place).expand_to(array, like=(level.length, *array.shape))
    return _moved(wide, 0, dim, place)


def lift(array: Any, level: Level, dim: int, place: device) -> Any:
    """`array` as one that all slices of `level` share."""
    if level_of(array) > level.depth:
        return _inside(array, dim, lambda a, d: lift(a, level, d, place))
    return array if level_of(array) == level.depth else BatchedArray(array, level.depth, False)


def drop(array: Any, level: Level, dim: int, place: device) -> Any:
    """The sum of the slices of `level`."""
    if level_of(array) > level.depth:
        return _inside(array, dim, lambda a, d: drop(a, level, d, place))
    if level_of(array) == level.depth:
        if array.is_batched:
            return _key(array.value, place).sum_over(array.value, dim=0, keepdim=False)
        array = array.value
    key = _key(array, place)
    return key.mul(array, key.backend.as_array(level.length, key.dtype, place.index))


INVERSE: dict[Any, Any] = {split: merge, merge: split, lift: drop, drop: lift}


class Crossing(Node):
    """A tensor's way into a vmap or out of it: its gradient goes the opposite way."""

    def __init__(self, way: Callable[..., Any], level: Level, dim: int, tensor: Tensor) -> None:
        self.way, self.level, self.dim = way, level, dim
        self.edges = (tensor._edge,)
        self.key = tensor._key
        self.saved = (None,)
        self.sequence = tick()

    def name(self) -> str:
        """As PyTorch would name it."""
        return f"{self.way.__name__.capitalize()}BatchBackward0"

    def apply(self, g: Any) -> Any:
        """The bare gradient, led back."""
        return (INVERSE[self.way](g, self.level, self.dim, self.key.device),), (False,)

    def apply_recorded(self, g: Any) -> Any:
        """The same, recorded."""
        return [crossed(INVERSE[self.way], g, self.level, self.dim)]


def crossed(way: Callable[..., Any], tensor: Tensor, level: Level, dim: int = 0) -> Tensor:
    """The tensor led by `way`, one of the functions above, into `level` or out of it."""
    if way in (merge, drop):
        tensor = lifted(tensor, level.depth)  # whose gradient is the sum over the slices
    array = way(tensor._array, level, dim, tensor._key.device)
    key = _key(array, tensor._key.device)
    if array.__class__ is not key.array_class:
        array = key.as_array(array)
    out = wrap(array, key)
    if way is not drop:  # the same memory
        out._writes = tensor._writes
    if way is split:
        base = tensor if tensor._base is None else tensor._base
        out._base = base
        note_view(base, out)
    if tensor._edge is not None and is_grad_enabled() and key.is_float:
        out._edge = Crossing(way, level, dim, tensor)
    return out


def lifted(tensor: Tensor, depth: int) -> Tensor:
    """`tensor` as one of level `depth`, shared by all slices unless it is of that level."""
    if tensor._key.level >= depth:
        return tensor
    return crossed(lift, tensor, level_at(depth))
