"""A tensor of which each process of a mesh has a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.creation import empty_like
from ...core.tensor import Size, Tensor
from ...ops.joins import cat
from ..collectives import all_gather, all_reduce, broadcast
from ..device_mesh import DeviceMesh
from ..group import get_global_rank
from ..reductions import ReduceOp
from .placement_types import (
    Partial,
    Placement,
    Replicate,
    Shard,
    compute_local_shape_and_global_offset,
)

__all__ = ["DTensor", "distribute_tensor"]


class DTensor:
    """A tensor of `shape` that lies on `device_mesh` as `placements` say, one for each dimension of
    the mesh; later ones cut what earlier ones left.

    It is moved and looked at here; to compute, take `to_local()` or `full_tensor()`, which are
    plain tensors. Neither records gradients across processes: the collectives of
    `distributed.nn` do.
    """

    def __init__(
        self,
        local_tensor: Tensor,
        device_mesh: DeviceMesh,
        placements: Sequence[Placement],
        shape: Sequence[int],
    ) -> None:
        self._local_tensor, self.device_mesh = local_tensor, device_mesh
        self.placements, self.shape = tuple(placements), Size(shape)

    @staticmethod
    def from_local(
        local_tensor: Tensor,
        device_mesh: DeviceMesh,
        placements: Sequence[Placement] | None = None,
        *,
        shape: Sequence[int] | None = None,
        **options: Any,
    ) -> DTensor:
        """The tensor of which this process has `local_tensor`; without `shape` all pieces count as
        equally long. `placements` is Replicate() everywhere by default."""
        where = _checked(placements, device_mesh, local_tensor.ndim)
        whole = list(local_tensor.shape)
        for mesh_dim, placement in enumerate(where):
            if isinstance(placement, Shard):
                whole[placement.dim] *= device_mesh.size(mesh_dim)
        return DTensor(local_tensor, device_mesh, where, shape if shape is not None else whole)

    @property
    def ndim(self) -> int:
        """How many dimensions the tensor has."""
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        """The type of its elements."""
        return self._local_tensor.dtype

    @property
    def device(self) -> Any:
        """Where this process's part is."""
        return self._local_tensor.device

    @property
    def requires_grad(self) -> bool:
        """Whether this process's part requires a gradient."""
        return self._local_tensor.requires_grad

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one size of it."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """How many elements the tensor has, over all processes."""
        return self.shape.numel()

    def dim(self) -> int:
        """How many dimensions the tensor has."""
        return self.ndim

    def to_local(self, **options: Any) -> Tensor:
        """This process's part."""
        return self._local_tensor

    def full_tensor(self, **options: Any) -> Tensor:
        """All of it, in every process; all call this."""
        everywhere = [Replicate()] * self.device_mesh.ndim
        return self.redistribute(placements=everywhere).to_local()

    def redistribute(
        self, device_mesh: DeviceMesh | None = None, placements: Sequence[Placement] | None = None
    ) -> DTensor:
        """The same tensor, lying as `placements` say; all processes call this.

        Raises: ValueError for another mesh, or for what is whole to become Partial.
        """
        if device_mesh not in (None, self.device_mesh):
            raise ValueError(f"redistribute: expected {self.device_mesh}. Got {device_mesh}.")
        wanted = _checked(placements, self.device_mesh, self.ndim)
        if wanted == self.placements:
            return self
        local = self._local_tensor
        # From the last dimension back, as later placements cut what earlier ones left.
        for mesh_dim in reversed(range(self.device_mesh.ndim)):
            local = self._gathered(local, mesh_dim)
        for mesh_dim, placement in enumerate(wanted):
            if isinstance(placement, Partial) and self.placements[mesh_dim] != placement:
                raise ValueError(f"redistribute: a whole tensor has no summands. Got {wanted}.")
            local = _part(local, self.device_mesh, mesh_dim, placement)
        return DTensor(local, self.device_mesh, wanted, self.shape)

    def _gathered(self, local: Tensor, mesh_dim: int) -> Tensor:
        """What all processes along `mesh_dim` have together."""
        placement, group = self.placements[mesh_dim], self.device_mesh.get_group(mesh_dim)
        if isinstance(placement, Partial):
            return _reduced(local.detach().clone(), placement, group)
        if not isinstance(placement, Shard):
            return local
        dim, count = placement.dim, self.device_mesh.size(mesh_dim)
        earlier = self.placements[:mesh_dim]  # these dimensions are still cut
        shape, _ = compute_local_shape_and_global_offset(self.shape, self.device_mesh, earlier)
        sizes = [
            placement.local_shard_size_and_offset(shape[dim], count, k)[0] for k in range(count)
        ]
        # Pieces are exchanged as if all were as long as the first.
        own = local.detach().movedim(dim, 0).contiguous()
        sent = own.new_zeros((sizes[0], *own.shape[1:]))
        sent[: own.shape[0]] = own
        pieces = [empty_like(sent) for _ in range(count)]
        all_gather(pieces, sent, group=group)
        rows = [piece[:size] for piece, size in zip(pieces, sizes, strict=True)]
        return cat(rows, 0).movedim(0, dim).contiguous()

    def __repr__(self) -> str:
        return (
            f"DTensor(local_tensor={self._local_tensor}, device_mesh={self.device_mesh}, "
            f"placements={self.placements})"
        )


def distribute_tensor(
    tensor: Tensor,
    device_mesh: DeviceMesh,
    placements: Sequence[Placement] | None = None,
    *,
    src_data_rank: int | None = 0,
) -> DTensor:
    """`tensor` cut, or given whole, as `placements` say. The values are those that the process at
    place `src_data_rank` of each line of the mesh has; with None those that each has itself.

    Raises: ValueError for placements that do not fit, or that are Partial.
    """
    where = _checked(placements, device_mesh, tensor.ndim)
    local = tensor
    if any(isinstance(p, Partial) for p in where):
        raise ValueError(f"distribute_tensor: expected Shard or Replicate. Got {where}.")
    if src_data_rank is not None:
        local = tensor.detach().clone()
        for mesh_dim in range(device_mesh.ndim):
            group = device_mesh.get_group(mesh_dim)
            broadcast(local, src=get_global_rank(group, src_data_rank), group=group)
    for mesh_dim, placement in enumerate(where):
        local = _part(local, device_mesh, mesh_dim, placement)
    local.requires_grad_(tensor.requires_grad)
    return DTensor(local, device_mesh, where, tensor.shape)


def _part(whole: Tensor, mesh: DeviceMesh, mesh_dim: int, placement: Placement) -> Tensor:
    """What this process keeps of `whole`, in memory of its own."""
    if not isinstance(placement, Shard):
        return whole
    length, count = whole.shape[placement.dim], mesh.size(mesh_dim)
    rank = mesh.get_local_rank(mesh_dim)
    size, start = placement.local_shard_size_and_offset(length, count, rank)
    return whole.detach().narrow(placement.dim, start, size).contiguous().clone()


def _reduced(local: Tensor, placement: Partial, group: Any) -> Tensor:
    op = {"sum": ReduceOp.SUM, "avg": ReduceOp.AVG, "min": ReduceOp.MIN, "max": ReduceOp.MAX}
    if placement.reduce_op not in op:
        raise ValueError(f"Partial: expected one of {sorted(op)}. Got {placement.reduce_op!r}.")
    all_reduce(local, op[placement.reduce_op], group=group)
    return local


def _checked(
    placements: Sequence[Placement] | None, mesh: DeviceMesh, ndim: int
) -> tuple[Placement, ...]:
    """`placements`, with dimensions counted from the front.

    Raises: ValueError for another number than the mesh has dimensions, or for a dimension that the
    tensor has not.
    """
    where = [Replicate() for _ in mesh.shape] if placements is None else list(placements)
    if len(where) != mesh.ndim:
        raise ValueError(f"Expected {mesh.ndim} placements, as {mesh} has dimensions. Got {where}.")
    for k, placement in enumerate(where):
        if isinstance(placement, Shard):
            if not -ndim <= placement.dim < ndim:
                raise ValueError(f"Expected a dimension of {ndim}. Got {placement}.")
            where[k] = Shard(placement.dim % ndim)
    return tuple(where)
