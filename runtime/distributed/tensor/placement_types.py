"""How a tensor lies on the processes along one dimension of a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..device_mesh import DeviceMesh

__all__ = ["Partial", "Placement", "Replicate", "Shard", "compute_local_shape_and_global_offset"]


class Placement:
    """Base of the three."""

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether it is cut, along `dim` if one is given."""
        return isinstance(self, Shard) and dim in (None, self.dim)

    def is_replicate(self) -> bool:
        """Whether each process has all of it."""
        return isinstance(self, Replicate)

    def is_partial(self, reduce_op: str | None = None) -> bool:
        """Whether each process has a summand of it."""
        return isinstance(self, Partial) and reduce_op in (None, self.reduce_op)


@dataclass(frozen=True)
class Shard(Placement):
    """Cut along dimension `dim` as `torch.chunk` cuts: pieces of one size, the last ones smaller or
    empty."""

    dim: int

    @staticmethod
    def local_shard_size_and_offset(
        curr_local_size: int, num_chunks: int, rank: int
    ) -> tuple[int, int]:
        """The length of piece `rank` of `num_chunks`, and where it begins."""
        piece = -(-curr_local_size // num_chunks)
        start = min(piece * rank, curr_local_size)
        return min(piece, curr_local_size - start), start


@dataclass(frozen=True)
class _StridedShard(Placement):
    """Cut along `dim` into `split_factor` groups, of each of which every process has a piece.
    Libraries that fuse matrices name it; tensors are not distributed so here."""

    dim: int
    split_factor: int


@dataclass(frozen=True)
class Replicate(Placement):
    """Each process has all of it."""


@dataclass(frozen=True)
class Partial(Placement):
    """What the processes have becomes the tensor by `reduce_op`: "sum", "avg", "min" or "max"."""

    reduce_op: str = "sum"


def compute_local_shape_and_global_offset(
    global_shape: Sequence[int], mesh: DeviceMesh, placements: Sequence[Placement]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of this process's part of a tensor of `global_shape`, and where it begins."""
    shape, offset = list(global_shape), [0] * len(global_shape)
    for mesh_dim, placement in enumerate(placements):
        if isinstance(placement, Shard):
            count, rank = mesh.size(mesh_dim), mesh.get_local_rank(mesh_dim)
            dim = placement.dim
            size, start = placement.local_shard_size_and_offset(shape[dim], count, rank)
            shape[dim], offset[dim] = size, offset[dim] + start
    return tuple(shape), tuple(offset)
