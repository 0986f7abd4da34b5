"""Who takes part: the process group and its beginning and end."""

from __future__ import annotations

import os
from typing import Any


class Backend(str):
    """The name of what moves tensors between processes, in small letters."""

    GLOO, NCCL, MPI, UCC = "gloo", "nccl", "mpi", "ucc"

    __slots__ = ()

    def __new__(cls, name: str) -> Backend:
        return super().__new__(cls, name.lower())


class ProcessGroup:
    """Processes that work together: this one."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def rank(self) -> int:
        """The place of this process in the group."""
        return 0

    def size(self) -> int:
        """How many processes there are."""
        return 1

    def name(self) -> str:
        """The name of the backend."""
        return self.backend


class _World(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The group of all processes; None before `init_process_group`."""
        return _world


class group(metaclass=_World):
    """Where `group.WORLD` stands."""


class GroupMember(group):
    """An older name of `group`, with what stands for a group this process is not in."""

    NON_GROUP_MEMBER = -100


_world: ProcessGroup | None = None


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    **options: Any,
) -> None:
    """Begin the group of all processes. World size and rank come from the arguments, else from the
    environment's WORLD_SIZE and RANK, else this process is alone. The backend is only a name.

    Raises: RuntimeError for more than one process, ValueError if there is a group already or the
    rank lies outside the world.
    """
    global _world
    if _world is not None:
        raise ValueError(
            "init_process_group: expected no process group. There is one already: call "
            "destroy_process_group() first."
        )
    size = int(os.environ.get("WORLD_SIZE", 1)) if world_size < 0 else world_size
    place = int(os.environ.get("RANK", 0)) if rank < 0 else rank
    if size > 1:
        raise RuntimeError(
            f"init_process_group: expected a world of one process, all that is possible as yet. "
            f"Got world_size={size}. Start the program once, without WORLD_SIZE."
        )
    if size != 1 or place != 0:
        raise ValueError(
            f"init_process_group: expected world_size 1 and rank 0. Got {size} and {place}."
        )
    _world = ProcessGroup(Backend(backend or "gloo"))


def world(given: Any = None) -> ProcessGroup:
    """The group that is meant. Raises: ValueError before `init_process_group`."""
    if isinstance(given, ProcessGroup):
        return given
    if _world is None:
        raise ValueError(
            "Expected a process group. Default process group has not been initialized, please make "
            "sure to call init_process_group."
        )
    return _world


def destroy_process_group(group: Any = None) -> None:
    """End the group of all processes, or another one. Raises: ValueError if there is none."""
    global _world
    if world(group) is _world:
        _world = None


def new_group(
    ranks: Any = None, timeout: Any = None, backend: str | None = None, **options: Any
) -> ProcessGroup | int:
    """A group of some of the processes; GroupMember.NON_GROUP_MEMBER where this one is not in."""
    name = world().backend
    if ranks is not None and 0 not in ranks:
        return GroupMember.NON_GROUP_MEMBER
    return ProcessGroup(Backend(backend or name))


def is_available() -> bool:
    """False: several processes cannot work together as yet. Libraries ask this before they import
    what only those need; a group of one can be formed nevertheless."""
    return False


def is_initialized() -> bool:
    """Whether there is a group."""
    return _world is not None


def is_gloo_available() -> bool:
    """False: Gloo is not used."""
    return False


def is_nccl_available() -> bool:
    """False: NCCL is not used."""
    return False


def is_mpi_available() -> bool:
    """False: MPI is not used as yet."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether a launcher of PyTorch's started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def get_rank(group: Any = None) -> int:
    """The place of this process. Raises: ValueError if there is no group."""
    return world(group).rank()


def get_world_size(group: Any = None) -> int:
    """How many processes there are. Raises: ValueError if there is no group."""
    return world(group).size()


def get_backend(group: Any = None) -> str:
    """The name of the backend. Raises: ValueError if there is no group."""
    return world(group).name()


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The places of the processes in the group."""
    return list(range(world(group).size()))
