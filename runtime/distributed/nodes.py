"""How launchers on several machines find one another, and act as one when a process fails."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field

from .failures import DistError, DistNetworkError
from .store import PrefixStore, Store
from .tcp_store import TCPStore

JOIN_WITHIN = 600.0
"""Seconds that launchers wait for one another at the start; PyTorch's."""

LEAVE_WITHIN = 60.0
"""Seconds that the launcher which keeps the store waits for the others at the end."""


@dataclass
class Nodes:
    """The launchers of a run: `count` of them, of which this is number `rank`; they meet at the
    store at `host`:`port`, which one of them keeps.

    Raises: DistNetworkError or StoreTimeoutError if they do not meet.
    """

    count: int
    host: str
    port: int
    run_id: str = "none"
    rank: int | None = None  # None: in the order in which they come
    store: Store = field(init=False)
    keeps_store: bool = field(init=False)

    def meet(self, processes: int) -> list[int]:
        """Wait for all launchers; how many processes each of them starts."""
        kept = self._store()
        self.port = kept.port
        self.store = PrefixStore(f"run/{self.run_id}", kept)
        self.store.set_timeout(JOIN_WITHIN)
        if self.rank is None:
            self.rank = self.store.add("nodes", 1) - 1
        if not 0 <= self.rank < self.count:
            raise ValueError(
                f"torchrun: expected a node rank from 0 to {self.count - 1}, as nnodes is "
                f"{self.count}. Got {self.rank}: another node, or another run with the id "
                f"{self.run_id!r}, uses {self.host}:{self.port}."
            )
        self.store.set(f"processes/{self.rank}", str(processes))
        keys = [f"processes/{k}" for k in range(self.count)]
        return [int(value) for value in self.store.multi_get(keys)]

    def _store(self) -> TCPStore:
        """The store, kept here if this is its machine and nobody else keeps it."""
        self.keeps_store = False
        if self.count == 1 or self.rank == 0 or (self.rank is None and is_local(self.host)):
            try:
                kept = TCPStore(self.host, self.port, is_master=True, timeout=JOIN_WITHIN)
                self.keeps_store = True
                return kept
            except DistNetworkError:
                if self.rank is not None or self.count == 1:
                    raise
        return TCPStore(self.host, self.port, timeout=JOIN_WITHIN)

    # -- news of failures ------------------------------------------------------------------------

    def tell_failure(self, attempt: int) -> None:
        """Let the others know that a process failed here."""
        if self.count > 1:
            self.store.compare_set(f"failed/{attempt}", "", str(self.rank))  # the first counts

    def failed_elsewhere(self, attempt: int) -> int | None:
        """The node at which a process failed, if one did. A launcher that is gone counts too."""
        if self.count == 1:
            return None
        try:
            key = f"failed/{attempt}"
            return int(self.store.get(key)) if self.store.check([key]) else None
        except DistError:
            return -1  # the launcher that keeps the store is gone

    def leave(self) -> None:
        """At the end: the store stays until all have left."""
        if self.count == 1:
            return
        try:
            left = self.store.add("left", 1)
            deadline = time.monotonic() + LEAVE_WITHIN
            while self.keeps_store and left < self.count and time.monotonic() < deadline:
                time.sleep(0.05)
                left = self.store.add("left", 0)
        except DistError:
            pass  # the others were sooner


def is_local(host: str) -> bool:
    """Whether `host` is this machine."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True
