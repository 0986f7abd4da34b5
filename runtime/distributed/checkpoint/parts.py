"""The part of a tensor that a process has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...core.tensor import Tensor
from ..group import get_rank, is_initialized
from ..tensor.dtensor import DTensor
from ..tensor.placement_types import Shard, compute_local_shape_and_global_offset


@dataclass(frozen=True)
class Part:
    """`tensor` stands at `offsets` of one of `shape`; `is_written` by this process, as those that
    others have, too, are by one of them."""

    tensor: Tensor
    shape: tuple[int, ...]
    offsets: tuple[int, ...]
    is_written: bool


def is_first(group: Any = None) -> bool:
    """Whether this process writes what all of the group have."""
    return not is_initialized() or get_rank(group) == 0


def part_of(value: Tensor | DTensor, process_group: Any = None) -> Part:
    """What this process has of `value`: of a plain tensor all, as the others of the group."""
    if isinstance(value, DTensor):
        mesh, placements = value.device_mesh, value.placements
        _, offsets = compute_local_shape_and_global_offset(value.shape, mesh, placements)
        copies = [k for k, p in enumerate(placements) if not isinstance(p, Shard)]
        is_written = all(mesh.get_local_rank(k) == 0 for k in copies)
        return Part(value.to_local(), tuple(value.shape), offsets, is_written)
    group: Any = getattr(value, "shard_group", None)
    if group is None:
        return Part(value, tuple(value.shape), (0,) * value.ndim, is_first(process_group))
    shape: tuple[int, ...] = value.whole_shape  # type: ignore[attr-defined]
    if not shape:  # one process has the only element, as a row
        return Part(value.reshape(()) if value.numel() else value, (), (), value.numel() > 0)
    _, start = Shard.local_shard_size_and_offset(shape[0], group.size(), group.rank())
    return Part(value, shape, (start, *[0] * (len(shape) - 1)), value.numel() > 0)


def leaves(state: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any, Any, Any]]:
    """Path, container, key and value of everything in nested dicts and lists that is neither."""
    pairs = state.items() if isinstance(state, dict) else enumerate(state)
    for key, value in pairs:
        here = (*path, key)
        if isinstance(value, dict | list) and value:
            yield from leaves(value, here)
        else:
            yield ".".join(map(str, here)), state, key, value
