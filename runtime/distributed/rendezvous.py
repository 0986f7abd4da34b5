"""How processes find one another: the store, rank and size that an `init_method` stands for."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs, urlparse

from .store import FileStore, Store
from .tcp_store import TCPStore

__all__ = ["rendezvous"]


def rendezvous(
    url: str, rank: int = -1, world_size: int = -1, timeout: Any = None
) -> tuple[Store, int, int]:
    """The store, rank and world size of `url`: "env://" reads MASTER_ADDR, MASTER_PORT, RANK and
    WORLD_SIZE, "tcp://HOST:PORT" and "file:///PATH" may have `?rank=` and `&world_size=` instead
    of the arguments. Rank 0 keeps the store of the first two, at that address.

    Raises: ValueError for what is missing or of another kind, DistNetworkError if the store cannot
    be reached.
    """
    parts = urlparse(url)
    query = {name: int(values[-1]) for name, values in parse_qs(parts.query).items()}
    rank = query.get("rank", rank)
    world_size = query.get("world_size", world_size)
    if parts.scheme == "env":
        host, port = _variable("MASTER_ADDR"), int(_variable("MASTER_PORT"))
        rank = int(_variable("RANK")) if rank < 0 else rank
        world_size = int(_variable("WORLD_SIZE")) if world_size < 0 else world_size
    elif parts.scheme in ("tcp", "file"):
        if rank < 0 or world_size < 0:
            raise ValueError(
                f"init_process_group: expected rank and world_size beside {url!r}. Got rank={rank} "
                f"and world_size={world_size}."
            )
    else:
        raise ValueError(
            f"init_process_group: expected an init_method of env://, tcp://HOST:PORT or "
            f"file:///PATH. Got {url!r}."
        )
    if parts.scheme == "file":
        return FileStore(parts.netloc + parts.path, world_size, timeout), rank, world_size
    if parts.scheme == "tcp":
        if parts.hostname is None or parts.port is None:
            raise ValueError(f"init_process_group: expected tcp://HOST:PORT. Got {url!r}.")
        host, port = parts.hostname, parts.port
    # A launcher keeps the store itself, so that it outlives a process that is started again.
    kept_elsewhere = parts.scheme == "env" and os.environ.get(AGENT_STORE) == "True"
    is_master = rank == 0 and not kept_elsewhere
    if is_master:
        return _kept(host, port, timeout), rank, world_size
    return TCPStore(host, port, timeout=timeout), rank, world_size


_stores: dict[tuple[str, int], TCPStore] = {}


def _kept(host: str, port: int, timeout: Any) -> TCPStore:
    """The store that this process keeps there, for as long as it lives: other processes may begin
    their next group while this one still ends its last."""
    if port == 0 or (host, port) not in _stores:
        made = TCPStore(host, port, is_master=True, timeout=timeout)
        _stores[host, made.port] = made
        return made
    found = _stores[host, port]
    if timeout is not None:
        found.set_timeout(timeout)
    return found


AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ValueError(
            f"init_process_group: expected the environment variable {name}, as init_method is "
            "env://. It is not set. Start the program with `torchrun`, or give init_method, rank "
            "and world_size."
        )
    return value
