"""How the processes of a group connect, at its beginning."""

from __future__ import annotations

import secrets
import socket
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .addresses import addresses
from .failures import DistBackendError, DistNetworkError, StoreTimeoutError
from .store import Store
from .tcp_store import keep_watch, receive

if TYPE_CHECKING:
    from .mesh import Mesh

T = TypeVar("T")
Connections = dict[tuple[int, int], socket.socket]

HELLO = struct.Struct("<16sIIB")  # the group's token and size, who connects, and for what
LANE, POST = 0, 1

NEXT_ADDRESS_AFTER = 5.0
"""Seconds for one of several addresses of a process: some may lead nowhere."""

LOOK_EVERY = 1.0
"""Seconds between looks at the group around one that begins."""


class Meeting:
    """The process with `rank` looks for the others of `size` by what they say in `store`; a group
    within another one also looks whether that, by its mesh `around`, is whole.

    Raises: DistNetworkError for a process that cannot be reached, StoreTimeoutError for one that
    does not come within `timeout` seconds, DistBackendError for the failure of the group around,
    ValueError for ranks or sizes that do not fit together.
    """

    def __init__(
        self, store: Store, rank: int, size: int, timeout: float, around: Mesh | None
    ) -> None:
        self.store, self.rank, self.size, self.timeout = store, rank, size, timeout
        self.around = around
        self.deadline = time.monotonic() + timeout
        self.found: Connections = {}

    def connections(self) -> Connections:
        """A connection to each other process for each purpose: this one goes to those of lower
        ranks, and those of higher ranks come."""
        if self.rank == 0:
            self.store.set("token", secrets.token_bytes(16))
        token = self._told("token", 0)  # which only processes that reach the store know
        hosts = addresses(self.store)
        with _listener(hosts) as listener:
            port = listener.getsockname()[1]
            self.store.set(f"at/{self.rank}", f"{self.size} {port} {' '.join(hosts)}")
            try:
                for peer in range(self.rank):
                    self._go_to(peer, token)
                while len(self.found) < 2 * (self.size - 1):
                    self._accept(listener, token)
            except BaseException:
                for connection in self.found.values():
                    connection.close()
                raise
        return self.found

    def _patiently(self, attempt: Callable[[float], T]) -> T:
        """What `attempt`, which waits for some seconds, finds before the deadline. Raises:
        TimeoutError."""
        while True:
            if self.around is not None and self.around.failure is not None:
                raise self._broken()
            left = self.deadline - time.monotonic()
            try:
                return attempt(max(0.001, left if self.around is None else min(left, LOOK_EVERY)))
            except TimeoutError:
                if time.monotonic() >= self.deadline:
                    raise

    def _broken(self) -> DistBackendError:
        assert self.around is not None
        return DistBackendError(f"new_group: {self.around.failure}")

    def _told(self, key: str, peer: int) -> bytes:
        """What rank `peer` says at `key`, which it does when it comes."""

        def value(seconds: float) -> bytes:
            self.store.wait([key], seconds)
            return self.store.get(key)

        try:
            return self._patiently(value)
        except StoreTimeoutError:
            raise StoreTimeoutError(
                f"init_process_group: expected rank {peer} within {self.timeout:g} s at rank "
                f"{self.rank}. It did not come: it may not have started, have ended, have another "
                "rank or use another store."
            ) from None

    def _require_size(self, peer: int, size: int) -> None:
        if size != self.size:
            raise ValueError(
                f"init_process_group: expected one world_size in all processes. Got {self.size} at "
                f"rank {self.rank} and {size} at rank {peer}."
            )

    def _go_to(self, peer: int, token: bytes) -> None:
        size, *where = self._told(f"at/{peer}", peer).decode().split()
        try:
            for kind in (LANE, POST):
                hello = token, self.size, self.rank, kind
                self.found[peer, kind] = _connected(where, hello, peer, self.deadline)
        except DistNetworkError:
            if self.around is not None and self.around.failed.wait(LOOK_EVERY):
                raise self._broken() from None  # for which that one has left too
            raise
        finally:  # told the other one, which may have left for that reason
            self._require_size(peer, int(size))

    def _accept(self, listener: socket.socket, token: bytes) -> None:
        absent = [k for k in range(self.rank + 1, self.size) if (k, POST) not in self.found]

        def come(seconds: float) -> socket.socket:
            listener.settimeout(seconds)
            return listener.accept()[0]

        try:
            connection = self._patiently(come)
        except TimeoutError:
            raise DistNetworkError(
                f"init_process_group: expected a connection from rank {absent} within "
                f"{self.timeout:g} s at rank {self.rank}. None came. Look whether they run, and "
                "whether a firewall lets connections between the machines pass."
            ) from None
        connection.settimeout(10.0)  # for the few bytes of the hello
        try:
            theirs, size, peer, kind = HELLO.unpack(receive(connection, HELLO.size))
        except OSError:
            theirs = b""
        if not secrets.compare_digest(theirs, token):
            connection.close()  # not one of us
            return
        if size == self.size and peer in absent and (peer, kind) not in self.found:
            self.found[peer, kind] = _prepared(connection, kind)
            return
        connection.close()
        self._require_size(peer, size)
        raise ValueError(
            "init_process_group: expected each rank once. Two processes say that they are rank "
            f"{peer}."
        )


def _listener(hosts: list[str]) -> socket.socket:
    """A socket that listens on all of `hosts`, or on the one there is."""
    if len(hosts) == 1:
        family = socket.AF_INET6 if ":" in hosts[0] else socket.AF_INET
        return socket.create_server((hosts[0], 0), family=family, backlog=4096)
    return socket.create_server(("", 0), backlog=4096)


def _connected(
    where: list[str], hello: tuple[bytes, int, int, int], peer: int, deadline: float
) -> socket.socket:
    port, *hosts = where
    errors = []
    for host in hosts:
        left = deadline - time.monotonic()
        if host != hosts[-1]:
            left = min(left, NEXT_ADDRESS_AFTER)
        try:
            connection = socket.create_connection((host, int(port)), timeout=max(0.001, left))
            connection.sendall(HELLO.pack(*hello))
        except OSError as error:
            errors.append(f"{host}:{port}: {error}")
            continue
        return _prepared(connection, hello[-1])
    raise DistNetworkError(
        f"init_process_group: expected rank {peer} to be reached from rank {hello[2]}. Got "
        f"{'; '.join(errors)}. GLOO_SOCKET_IFNAME names the network interface to use."
    )


def _prepared(connection: socket.socket, kind: int) -> socket.socket:
    connection.settimeout(None)
    keep_watch(connection, is_read_on=kind == POST)
    return connection
