"""A grid of processes, with a group along each of its dimensions: for parallelism of several kinds
at once, as of data and of layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.creation import from_numpy
from ..core.tensor import Tensor
from .group import get_rank, get_world_size, group, init_process_group, is_initialized, new_group
from .process_group import ProcessGroup

__all__ = ["DeviceMesh", "init_device_mesh"]


class DeviceMesh:
    """The processes of the ranks in `mesh`, an array of any number of dimensions, which may have
    names. Along each dimension, those that differ in its coordinate alone form a group. All
    processes make the same meshes, in the same order.

    `device_type` says where their tensors are; which GPU is a process's own, `cuda.set_device`
    says.
    Raises: RuntimeError for names, ranks or a device that make no mesh.

    Example:
        >>> from flambeau.distributed import init_device_mesh
        >>> init_device_mesh("cpu", (1, 1), mesh_dim_names=("replicas", "layers"))
        DeviceMesh((replicas=1, layers=1), 'cpu', stride=(1, 1))
    """

    def __init__(
        self, device_type: str, mesh: Any, *, mesh_dim_names: Sequence[str] | None = None
    ) -> None:
        ranks = np.array(mesh.tolist() if isinstance(mesh, Tensor) else mesh, np.int32)
        names = None if mesh_dim_names is None else tuple(mesh_dim_names)
        _require_device(device_type)
        _require_names(names, ranks.shape)
        if not is_initialized():
            init_process_group()
        _require_ranks(ranks)
        self._take(device_type, ranks, names, [_group_of(rows) for rows in _rows(ranks)])
        self._root, self._root_ranks = self, ranks
        self._dims = tuple(range(ranks.ndim))  # ours among those of the root
        self._flattened: dict[str, DeviceMesh] = {}

    def _take(
        self,
        device_type: str,
        ranks: Any,
        names: tuple[str, ...] | None,
        groups: list[ProcessGroup | None],
    ) -> None:
        self.device_type, self.mesh_dim_names = device_type, names
        self._ranks, self._groups = ranks, groups

    def _part(self, ranks: Any, names: tuple[str, ...], groups: Any, dims: Any) -> DeviceMesh:
        """A mesh of some of the dimensions."""
        part = object.__new__(DeviceMesh)
        part._take(self.device_type, ranks, names, groups)
        part._root, part._root_ranks, part._dims = self._root, self._root_ranks, tuple(dims)
        part._flattened = self._flattened
        return part

    @property
    def mesh(self) -> Tensor:
        """The ranks, int32, in the shape of the mesh."""
        return from_numpy(self._ranks.copy())

    @property
    def ndim(self) -> int:
        """How many dimensions there are."""
        return int(self._ranks.ndim)

    @property
    def shape(self) -> tuple[int, ...]:
        """Processes along each dimension."""
        return tuple(self._ranks.shape)

    def size(self, mesh_dim: int | None = None) -> int:
        """How many processes there are, or how many along a dimension."""
        return int(self._ranks.size if mesh_dim is None else self._ranks.shape[mesh_dim])

    def get_rank(self) -> int:
        """The rank of this process among all."""
        return get_rank()

    def get_coordinate(self) -> tuple[int, ...] | None:
        """Where this process stands in the mesh; None if it is not in it."""
        found = np.argwhere(self._ranks == get_rank())
        return tuple(map(int, found[0])) if len(found) else None

    def get_local_rank(self, mesh_dim: int | str | None = None) -> int:
        """The place of this process along a dimension, which only a mesh of one need not name.
        Raises: RuntimeError if it is not in the mesh."""
        place = self._dim(mesh_dim, "get_local_rank")
        coordinate = self.get_coordinate()
        if coordinate is None:
            raise RuntimeError(
                f"get_local_rank: expected a rank of the mesh {self._ranks.tolist()}. Got "
                f"{get_rank()}."
            )
        return coordinate[place]

    def get_group(self, mesh_dim: int | str | None = None) -> ProcessGroup:
        """The group of the processes along a dimension, which only a mesh of one need not name.
        Raises: RuntimeError if this process is not in the mesh."""
        found = self._groups[self._dim(mesh_dim, "get_group")]
        if found is None:
            raise RuntimeError(
                f"get_group: expected a rank of the mesh {self._ranks.tolist()}. Got {get_rank()}."
            )
        return found

    def get_all_groups(self) -> list[ProcessGroup]:
        """The groups of this process, by dimensions."""
        return [self.get_group(k) for k in range(self.ndim)]

    def _dim(self, given: int | str | None, name: str) -> int:
        if given is None and self.ndim == 1:
            return 0
        if given is None:
            raise RuntimeError(
                f"{name}: expected a dimension, as {self} has {self.ndim}. Got none."
            )
        if isinstance(given, str):
            return self._named(given)
        if not -self.ndim <= given < self.ndim:
            raise IndexError(f"{name}: expected a dimension of {self}. Got {given}.")
        return given % self.ndim

    def _named(self, name: str) -> int:
        if name not in (self.mesh_dim_names or ()):
            raise KeyError(f"DeviceMesh: expected a name of {self.mesh_dim_names}. Got {name!r}.")
        assert self.mesh_dim_names is not None
        return self.mesh_dim_names.index(name)

    def __getitem__(self, mesh_dim_names: str | tuple[str, ...]) -> DeviceMesh:
        """The mesh of the dimensions named, at this process's place along the others. Raises:
        KeyError for other names, or another order."""
        names = (mesh_dim_names,) if isinstance(mesh_dim_names, str) else tuple(mesh_dim_names)
        if len(names) == 1 and names[0] in self._flattened:
            return self._flattened[names[0]]
        dims = [self._named(name) for name in names]
        if dims != sorted(set(dims)):
            raise KeyError(
                f"DeviceMesh: expected names in the order of {self.mesh_dim_names}, each once. Got "
                f"{names}."
            )
        here = self.get_coordinate() or (0,) * self.ndim
        place = tuple(slice(None) if k in dims else here[k] for k in range(self.ndim))
        groups = [self._groups[k] for k in dims]
        return self._part(self._ranks[place], names, groups, [self._dims[k] for k in dims])

    def _flatten(self, mesh_dim_name: str) -> DeviceMesh:
        """A mesh of one dimension of that name, of all processes in this one; the mesh that this
        was taken out of knows it by its name too. All processes call it."""
        found = self._flattened.get(mesh_dim_name)
        if found is None:
            others = [k for k in range(self._root_ranks.ndim) if k not in self._dims]
            moved = self._root_ranks.transpose(*others, *self._dims)
            whole = _group_of(moved.reshape(-1, math.prod(self.shape)).tolist())
            found = self._part(self._ranks.reshape(-1), (mesh_dim_name,), [whole], self._dims)
            self._flattened[mesh_dim_name] = found
        return found

    def __repr__(self) -> str:
        sizes = [str(n) for n in self.shape]
        if self.mesh_dim_names is not None:
            sizes = [f"{k}={n}" for k, n in zip(self.mesh_dim_names, sizes, strict=True)]
        stride = tuple(
            int(np.diff(self._ranks, axis=k).flat[0]) if n > 1 else 1
            for k, n in enumerate(self.shape)
        )
        return f"DeviceMesh(({', '.join(sizes)}), {self.device_type!r}, stride={stride})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DeviceMesh) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.device_type, self.mesh_dim_names, self.shape, self._ranks.tobytes()


def init_device_mesh(
    device_type: str, mesh_shape: Sequence[int], *, mesh_dim_names: Sequence[str] | None = None
) -> DeviceMesh:
    """The mesh of the first processes in row-major order; begins the group of all if nobody did.

    Raises: RuntimeError for more processes than there are, and see DeviceMesh.
    """
    shape = tuple(mesh_shape)
    ranks = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    return DeviceMesh(device_type, ranks, mesh_dim_names=mesh_dim_names)


def _rows(ranks: Any) -> list[list[list[int]]]:
    """For each dimension the ranks of all groups along it."""
    return [np.moveaxis(ranks, k, -1).reshape(-1, n).tolist() for k, n in enumerate(ranks.shape)]


def _group_of(rows: list[list[int]]) -> ProcessGroup | None:
    """Make the groups of all `rows` of ranks; the one that this process is in."""
    if len(rows) == 1 and len(rows[0]) == get_world_size():
        return group.WORLD
    made = [new_group(row) for row in rows]
    return next((g for g in made if isinstance(g, ProcessGroup)), None)


def _require_device(device_type: str) -> None:
    if device_type not in ("cpu", "cuda"):
        raise RuntimeError(
            f"DeviceMesh: expected a device_type of cpu or cuda, without a number. Got "
            f"{device_type!r}."
        )


def _require_names(names: tuple[str, ...] | None, shape: tuple[int, ...]) -> None:
    if names is not None and (len(names) != len(shape) or len(set(names)) != len(names)):
        raise RuntimeError(
            f"DeviceMesh: expected {len(shape)} different names, as the mesh is of shape {shape}. "
            f"Got {names}."
        )


def _require_ranks(ranks: Any) -> None:
    flat = ranks.reshape(-1).tolist()
    if not flat or len(set(flat)) != len(flat) or not set(flat) <= set(range(get_world_size())):
        raise RuntimeError(
            f"DeviceMesh: expected different ranks from 0 to {get_world_size() - 1}. Got "
            f"{ranks.tolist()}."
        )
