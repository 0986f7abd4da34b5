"""Connections from each process of a group to each other one.

Between two processes run two connections: a *lane* for collectives, whose order both know, and a
*post* for what comes unasked (messages from point to point, news that a process failed or left). A
thread reads all posts. When a process fails, it tells all others, whose threads then close the
lanes, and whoever waits at one learns why. So waiting costs one system call, and never lasts longer
than all processes live.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import threading
import time

from .addresses import addresses
from .failures import DistBackendError, DistNetworkError, StoreTimeoutError
from .store import Store
from .tcp_store import keep_watch, receive

HELLO = struct.Struct("<16sIIB")  # the group's token and size, who connects, and for what
LANE, POST = 0, 1

NEXT_ADDRESS_AFTER = 5.0
"""Seconds for one of several addresses of a process: some may lead nowhere."""


class Mesh:
    """The connections of the process with `rank` to the others of `size`, by their ranks.

    Raises: DistNetworkError for a process that cannot be reached, StoreTimeoutError for one that
    does not come within `timeout` seconds, ValueError for ranks or sizes that do not fit together.
    """

    def __init__(self, store: Store, rank: int, size: int, timeout: float) -> None:
        self.rank, self.size, self.timeout = rank, size, timeout
        self.lanes: list[socket.socket] = []
        self.posts: list[socket.socket] = []
        self.failure: DistBackendError | None = None
        self.failed = threading.Event()
        self._lock = threading.Lock()
        deadline = time.monotonic() + timeout
        store.set_timeout(timeout)
        token = self._agreed_token(store)
        found: dict[tuple[int, int], socket.socket] = {}
        hosts = addresses(store)
        with _listener(hosts) as listener:
            port = listener.getsockname()[1]
            store.set(f"at/{rank}", f"{size} {port} {' '.join(hosts)}")
            try:
                for peer in range(rank):
                    theirs, *where = self._told(store, f"at/{peer}", peer).decode().split()
                    try:
                        for kind in (LANE, POST):
                            hello = token, size, rank, kind
                            found[peer, kind] = _connected(where, hello, peer, deadline)
                    finally:  # told the other one, which may have left for that reason
                        self._require_size(peer, int(theirs))
                while len(found) < 2 * (size - 1):
                    self._accept(listener, token, deadline, found)
            except BaseException:
                for connection in found.values():
                    connection.close()
                raise
        nobody = socket.socket()  # stands at our own place, so that ranks are indices
        nobody.close()
        self.lanes = [found.get((peer, LANE), nobody) for peer in range(size)]
        self.posts = [found.get((peer, POST), nobody) for peer in range(size)]
        self.set_timeout(timeout)

    def _agreed_token(self, store: Store) -> bytes:
        """Sixteen bytes that only processes which reach the store know."""
        if self.rank == 0:
            store.set("token", secrets.token_bytes(16))
        return self._told(store, "token", 0)

    def _told(self, store: Store, key: str, peer: int) -> bytes:
        """What rank `peer` says at `key`, which it does when it comes."""
        try:
            return store.get(key)
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

    def _accept(
        self,
        listener: socket.socket,
        token: bytes,
        deadline: float,
        found: dict[tuple[int, int], socket.socket],
    ) -> None:
        absent = [k for k in range(self.rank + 1, self.size) if (k, POST) not in found]
        try:
            listener.settimeout(max(0.001, deadline - time.monotonic()))
            connection, _ = listener.accept()
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
        if size == self.size and peer in absent and (peer, kind) not in found:
            found[peer, kind] = _prepared(connection, kind)
            return
        connection.close()
        self._require_size(peer, size)
        raise ValueError(
            "init_process_group: expected each rank once. Two processes say that they are rank "
            f"{peer}."
        )

    def fail(self, error: DistBackendError) -> DistBackendError:
        """Keep `error` as what ended the group, if it is the first; wake whoever waits at a lane.
        Returns the first."""
        with self._lock:
            if self.failure is None:
                self.failure = error
                self.failed.set()
        for lane in self.lanes:
            with contextlib.suppress(OSError):
                lane.shutdown(socket.SHUT_RDWR)
        return self.failure

    def set_timeout(self, seconds: float) -> None:
        """Let waits at lanes end after so long."""
        self.timeout = seconds
        for peer, lane in enumerate(self.lanes):
            if peer != self.rank:
                _limit(lane, seconds)

    def close(self) -> None:
        """Take all connections down."""
        for connection in (*self.lanes, *self.posts):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


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


def _limit(lane: socket.socket, seconds: float) -> None:
    """Let waits at the lane end after `seconds`, without a call to ask for them each time."""
    span = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
    lane.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
    lane.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
