"""Who takes part: the process groups, and their beginning and end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from .failures import DistError
from .process_group import Backend, ProcessGroup
from .rendezvous import rendezvous
from .store import PrefixStore, Store, seconds_of

TIMEOUT = 1800.0  # s, PyTorch's: a process may write a checkpoint meanwhile
default_pg_timeout = timedelta(seconds=TIMEOUT)


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
_groups: list[ProcessGroup] = []  # made by new_group
_made = 0  # groups of this world, those of others counted too: all processes count alike


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Store | None = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Begin the group of all processes, each of which calls this with its own rank.

    They find one another by `init_method` (see `rendezvous`; "env://" unless given, with what
    `torchrun` set) or by a `store`. Where nothing says that there are others, this one is alone.
    `timeout`, a timedelta or seconds, is how long each call waits for the others: 30 minutes
    unless given. The backend is a name: tensors of every device go over TCP.

    Raises: ValueError if there is a group already, or for ranks and sizes that do not fit
    together, DistNetworkError or StoreTimeoutError if the others do not come.
    """
    global _world, _made
    if _world is not None and _world.pid == os.getpid():
        raise ValueError(
            "init_process_group: expected no process group. There is one already: call "
            "destroy_process_group() first."
        )
    limit = seconds_of(timeout, TIMEOUT)
    kind = Backend((backend or "gloo").split(",")[0].rpartition(":")[2])
    if store is None:
        store, rank, world_size = _found(init_method, rank, world_size, limit)
    if store is not None and world_size > 1:
        store = PrefixStore(f"{group_name or 'world'}/{os.environ.get(RESTARTS, '0')}", store)
    _world = _begun(store, rank, world_size, kind, limit)
    _made = 0


def _found(
    init_method: str | None, rank: int, world_size: int, limit: float
) -> tuple[Store | None, int, int]:
    """The store of a world, this process's rank and the size; no store for a process alone."""
    if init_method is None:
        size = world_size if world_size > 0 else int(os.environ.get("WORLD_SIZE", 1))
        if size == 1:
            own = int(os.environ.get("RANK", 0)) if "WORLD_SIZE" in os.environ else 0
            return None, rank if rank >= 0 else own, 1
    return rendezvous(init_method or "env://", rank, world_size, limit)


def _begun(store: Store | None, rank: int, size: int, kind: Backend, limit: float) -> ProcessGroup:
    """The group of all, which finds itself in `store`. That may have served for others before: each
    process counts the times that it came."""
    if not 0 <= rank < size:
        raise ValueError(
            f"init_process_group: expected a rank from 0 to {size - 1}, as world_size is {size}. "
            f"Got {rank}."
        )
    ranks = list(range(size))
    if store is None or size == 1:
        return ProcessGroup(None, rank, ranks, kind, limit)
    times = f"times/{rank}"
    place = str(store.add(times, 1))
    try:
        return ProcessGroup(PrefixStore(place, store), rank, ranks, kind, limit)
    except BaseException:
        with contextlib.suppress(DistError):
            store.add(times, -1)  # the others may still come to where this one was
        raise


RESTARTS = "TORCHELASTIC_RESTART_COUNT"


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


def is_member(given: Any) -> bool:
    """Whether this process is in the group; those that are not pass over its collectives."""
    return given is not GroupMember.NON_GROUP_MEMBER and given != GroupMember.NON_GROUP_MEMBER


def destroy_process_group(group: Any = None) -> None:
    """End the group of all processes and with it all others, or another one alone. Raises:
    ValueError if there is none."""
    global _world
    if not is_member(group):
        return
    ended = world(group)
    if ended is _world:
        for other in _groups:
            other.close()
        _groups.clear()
        _world = None
    elif ended in _groups:
        _groups.remove(ended)
    ended.close()


def new_group(
    ranks: Sequence[int] | None = None,
    timeout: Any = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    device_id: Any = None,
) -> ProcessGroup | int:
    """A group of some of the processes, by their ranks among all (default: of all);
    GroupMember.NON_GROUP_MEMBER where this one is not in. All processes call it, in the same order,
    also those that are not in it.

    Raises: ValueError for ranks that are not there, or twice.
    """
    global _made
    whole = world()
    members = sorted(range(whole.size()) if ranks is None else ranks)
    if len(set(members)) != len(members) or not set(members) <= set(range(whole.size())):
        raise ValueError(
            f"new_group: expected different ranks from 0 to {whole.size() - 1}. Got {members}."
        )
    _made += 1
    mark = "-".join(map(str, members)) if use_local_synchronization else ""
    if whole.rank() not in members:
        return GroupMember.NON_GROUP_MEMBER
    store = None if whole.store is None else PrefixStore(f"group{mark or _made}", whole.store)
    kind = Backend(backend or whole.backend)
    limit = seconds_of(timeout, whole.timeout)
    made = ProcessGroup(store, members.index(whole.rank()), members, kind, limit, whole)
    _groups.append(made)
    return made


def new_subgroups(
    group_size: int | None = None,
    group: Any = None,
    timeout: Any = None,
    backend: str | None = None,
) -> tuple[ProcessGroup | int, list[ProcessGroup | int]]:
    """Groups of `group_size` neighbours each; that of this process, and all. Raises: ValueError
    unless they come out even."""
    everyone = get_process_group_ranks(group)
    width = group_size or int(os.environ.get("LOCAL_WORLD_SIZE", len(everyone)))
    if not 0 < width <= len(everyone) or len(everyone) % width:
        raise ValueError(
            f"new_subgroups: expected a group_size that divides {len(everyone)}. Got {width}."
        )
    rows = [everyone[k : k + width] for k in range(0, len(everyone), width)]
    return new_subgroups_by_enumeration(rows, timeout, backend)


def new_subgroups_by_enumeration(
    ranks_per_subgroup_list: Sequence[Sequence[int]],
    timeout: Any = None,
    backend: str | None = None,
) -> tuple[ProcessGroup | int, list[ProcessGroup | int]]:
    """A group for each list of ranks; that of this process, and all."""
    made = [new_group(ranks, timeout, backend) for ranks in ranks_per_subgroup_list]
    own = next((g for g in made if is_member(g)), GroupMember.NON_GROUP_MEMBER)
    return own, made


def split_group(parent_pg: Any = None, split_ranks: Any = None, **options: Any) -> Any:
    """The group of `split_ranks`, lists of places in the parent, that this process is in."""
    everyone = get_process_group_ranks(parent_pg)
    rows = [[everyone[place] for place in places] for places in split_ranks or ()]
    return new_subgroups_by_enumeration(rows)[0]


def is_available() -> bool:
    """True: several processes can work together."""
    return True


def is_initialized() -> bool:
    """Whether there is a group."""
    return _world is not None


def is_backend_available(backend: str) -> bool:
    """Whether `backend` is one of the names that `init_process_group` takes for what it does."""
    return backend.lower() == Backend.GLOO


def is_gloo_available() -> bool:
    """True: what that backend does is done here, over TCP, though not by Gloo itself."""
    return True


def is_nccl_available() -> bool:
    """False: NCCL is not used. As a name of the backend it is taken; tensors of a GPU then go
    through the memory of the host."""
    return False


def is_mpi_available() -> bool:
    """False: MPI is not used."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether `torchrun` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def get_rank(group: Any = None) -> int:
    """The place of this process in the group; -1 if it is not in. Raises: ValueError if there is no
    group."""
    return world(group).rank() if is_member(group) else -1


def get_world_size(group: Any = None) -> int:
    """How many processes there are; -1 if this one is not in. Raises: ValueError if there is no
    group."""
    return world(group).size() if is_member(group) else -1


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The place of this process among those of its machine. Raises: RuntimeError if nobody says."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is not None:
        return fallback_rank
    raise RuntimeError(
        "get_node_local_rank: expected the environment variable LOCAL_RANK, which torchrun sets. "
        "It is not set."
    )


def get_backend(group: Any = None) -> str:
    """The name of the backend. Raises: ValueError if there is no group."""
    return world(group).name()


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The ranks, among all, of the processes in the group."""
    return list(world(group).ranks)


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The place in `group` of a process. Raises: ValueError if it is not in."""
    return group.place_of(global_rank, "get_group_rank")


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The rank, among all, of the process at a place of `group`. Raises: ValueError if there is no
    such place."""
    if not 0 <= group_rank < group.size():
        raise ValueError(
            f"get_global_rank: expected a place from 0 to {group.size() - 1}. Got {group_rank}."
        )
    return group.ranks[group_rank]
