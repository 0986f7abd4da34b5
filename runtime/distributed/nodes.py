"""How launchers on several machines find one another, and act as one when a process fails."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from .failures import DistError, DistNetworkError, DistStoreError
from .store import PrefixStore, Store
from .tcp_store import TCPStore

JOIN_WITHIN = 600.0
"""Seconds that launchers wait for one another at the start; PyTorch's."""

LEAVE_WITHIN = 60.0
"""Seconds that the launcher which keeps the store waits for the others after a failure."""


GONE = "is gone: it has ended, or the network to its machine is down."


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
    _kept: TCPStore = field(init=False)

    def meet(self, processes: int) -> list[int]:
        """Wait for all launchers; how many processes each of them starts."""
        self._kept = self._store()
        self.port = self._kept.port
        self.store = PrefixStore(f"run/{self.run_id}", self._kept)
        self.store.set_timeout(JOIN_WITHIN)
        if self.rank is None:
            self.rank = self.store.add("nodes", 1) - 1
        if not 0 <= self.rank < self.count:
            raise ValueError(
                f"torchrun: expected a node rank from 0 to {self.count - 1}, as nnodes is "
                f"{self.count}. Got {self.rank}: another node, or another run with the id "
                f"{self.run_id!r}, uses {self.host}:{self.port}."
            )
        self._leave_behind("lost")
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
        """Let the others know that a process failed here. Raises: DistNetworkError."""
        if self.count > 1:
            with self._store_needed():
                self.store.compare_set(f"failed/{attempt}", "", str(self.rank))  # the first counts

    def failed_elsewhere(self, attempt: int) -> int | None:
        """The node at which a process failed, if one did. Raises: DistNetworkError for a launcher
        that has ended before its processes did, or cannot be reached any more."""
        if self.count == 1:
            return None
        failed, lost = f"failed/{attempt}", "lost"
        with self._store_needed():
            if self.store.check([failed]):
                return int(self.store.get(failed))
            if self.store.check([lost]):
                node = self.store.get(lost).decode()
                raise DistNetworkError(f"the launcher of node {node} {GONE}")
        return None

    def _leave_behind(self, key: str) -> None:
        """Let `key` name this node when its launcher is gone."""
        self._kept.leave_behind(f"run/{self.run_id}/{key}", str(self.rank))

    @contextlib.contextmanager
    def _store_needed(self) -> Iterator[None]:
        try:
            yield
        except DistStoreError as error:
            raise DistNetworkError(f"the launcher that keeps the store {GONE}") from error

    def require_all(self) -> None:
        """Raises: DistError if a node has left, as all its processes ended well: then no other can
        start again."""
        if self.count > 1:
            with self._store_needed():
                left = self.store.add("left", 0)
            if left:
                raise DistError(f"{left} of {self.count} nodes are done: nothing starts again.")

    def leave(self, has_failed: bool) -> None:
        """At the end: the store stays until all launchers have left, or one is gone."""
        if self.count == 1:
            return
        deadline = time.monotonic() + LEAVE_WITHIN if has_failed else float("inf")
        with contextlib.suppress(DistError):  # the one that keeps the store was sooner
            self._leave_behind("past")
            self.store.add("left", 1)
            while self.keeps_store and time.monotonic() < deadline and not self._are_all_gone():
                time.sleep(0.05)

    def _are_all_gone(self) -> bool:
        return self.store.add("left", 0) >= self.count or self.store.check(["lost"])


def is_local(host: str) -> bool:
    """Whether `host` is this machine."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True
