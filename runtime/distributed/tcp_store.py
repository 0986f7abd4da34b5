"""A store that one process keeps and all others reach over the network.

A request is a frame of a length and a JSON list: the name of what is asked and its arguments.
Nothing that a frame holds is ever run.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from .addresses import is_loopback
from .failures import DistNetworkError, DistStoreError
from .store import Store, Table, added, bytes_of, compared, missing, seconds_of

__all__ = ["TCPStore"]

LENGTH = struct.Struct("<I")
MIB = 1 << 20
LONGEST = 1024 * MIB
"""Bytes of a frame; what says it is longer is no client of ours."""


OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

ANSWERS_WITHIN = 30
"""Seconds after which a machine that does not answer at all is taken for gone."""


def keep_watch(connection: socket.socket, is_read_on: bool = True) -> None:
    """Let the connection fail when the other machine is gone, which says nothing: after 30 s if its
    system does not answer, whatever its program does. Where a program may leave much unread for
    long, that is only told of connections at rest."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}
    if is_read_on:
        options["TCP_USER_TIMEOUT"] = ANSWERS_WITHIN * 1000
    for name, value in options.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def receive(connection: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes. Raises: ConnectionError at the end of the stream."""
    data = bytearray()  # grows as bytes come: who announces many need not send them
    while len(data) < count:
        piece = connection.recv(min(count - len(data), MIB))
        if not piece:
            raise ConnectionError("the other end closed the connection")
        data += piece
    return bytes(data)


def send_frame(connection: socket.socket, content: list[Any]) -> None:
    """Send plain values: bytes go as Latin-1 text below a key of their own."""
    body = json.dumps(content, default=lambda data: {"b": data.decode("latin-1")}).encode()
    connection.sendall(LENGTH.pack(len(body)) + body)


def receive_frame(connection: socket.socket) -> list[Any]:
    """What `send_frame` sent. Raises: ConnectionError for what is no frame."""
    (length,) = LENGTH.unpack(receive(connection, LENGTH.size))
    if length > LONGEST:
        raise ConnectionError(f"a frame of {length} bytes")
    content = json.loads(
        receive(connection, length), object_hook=lambda d: d["b"].encode("latin-1")
    )
    return list(content)


class _Server:
    """The table, and a thread for each client."""

    def __init__(self, host: str, port: int, listener: socket.socket | None) -> None:
        self._table: Table = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._listener = listener or _listening(host, port)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True, name="store").start()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if error.errno in OUT_OF_FILES:
                    time.sleep(0.1)  # until a client leaves
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        will: list[Any] = []
        with connection, contextlib.suppress(Exception):  # a client that is gone, or is none
            keep_watch(connection)
            while True:
                name, *arguments = receive_frame(connection)
                if name == "will":
                    will, answer = arguments, None
                else:
                    answer = REQUESTS[name](self, *arguments)
                send_frame(connection, [answer])
        with contextlib.suppress(Exception):
            self.set(*will)

    def _with_table(self, change: Callable[[Table], Any]) -> Any:
        with self._changed:
            result = change(self._table)
            self._changed.notify_all()
            return result

    def set(self, keys: list[str], values: list[bytes]) -> None:
        self._with_table(lambda table: table.update(zip(keys, values, strict=True)))

    def add(self, key: str, amount: int) -> Any:
        return self._with_table(lambda table: added(table, key, amount))

    def append(self, key: str, value: bytes) -> None:
        self._with_table(lambda table: table.__setitem__(key, table.get(key, b"") + value))

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> Any:
        return self._with_table(lambda table: compared(table, key, expected, desired))

    def check(self, keys: list[str]) -> Any:
        return self._with_table(lambda table: all(key in table for key in keys))

    def delete_key(self, key: str) -> Any:
        return self._with_table(lambda table: table.pop(key, None) is not None)

    def num_keys(self) -> Any:
        return self._with_table(len)

    def get(self, keys: list[str], seconds: float) -> list[Any]:
        """The values, or which keys are absent after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: all(key in self._table for key in keys), seconds)
            absent = [key for key in keys if key not in self._table]
            return [False, absent] if absent else [True, [self._table[key] for key in keys]]

    def close(self) -> None:
        """Let no more clients in; those that are go on."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread, as close() does not
        self._listener.close()


REQUESTS: dict[str, Callable[..., Any]] = {
    name: getattr(_Server, name)
    for name in ("set", "add", "append", "compare_set", "check", "delete_key", "num_keys", "get")
}


def _listening(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        own = found[4][0] if is_loopback(host) else ""  # which no other machine needs to reach
        return socket.create_server((own, port), family=found[0], backlog=4096)
    except OSError as error:
        raise DistNetworkError(
            f"TCPStore: expected to listen on port {port}. Got: {error}. Another run may use it: "
            "choose another port (MASTER_PORT), or 0 for any that is free."
        ) from error


class TCPStore(Store):
    """A store kept by the process that is its master, at `host_name` and `port`.

    `is_master` says which one that is; port 0 takes a free one, see `port`. With `wait_for_workers`
    and a `world_size` the master waits until so many processes, itself among them, have come.
    `master_listen_fd` is a socket that listens already.

    Raises: DistNetworkError if the master cannot be reached within `timeout`, StoreTimeoutError if
    processes do not come.

    Example:
        >>> store = TCPStore("localhost", 0, is_master=True)
        >>> store.set("a", "1")
        >>> TCPStore("localhost", store.port).get("a")
        b'1'
    """

    def __init__(
        self,
        host_name: str,
        port: int,
        world_size: int | None = None,
        is_master: bool = False,
        timeout: timedelta | float | None = None,
        wait_for_workers: bool = True,
        multi_tenant: bool = False,
        master_listen_fd: int | None = None,
        use_libuv: bool = True,
    ) -> None:
        super().__init__(timeout)
        self.host, self._server = host_name, None
        if is_master:
            listener = None if master_listen_fd is None else socket.socket(fileno=master_listen_fd)
            self._server = _Server(host_name, port, listener)
            port = self._server.port
        self.port = port
        self._lock = threading.Lock()
        self._connection = self._connected()
        self._closing = weakref.finalize(self, _close, self._connection, self._server)
        if world_size and world_size > 0 and wait_for_workers:
            self._count_workers(world_size, is_master)

    def _connected(self) -> socket.socket:
        deadline = time.monotonic() + self._timeout
        pause = 0.01
        while True:
            try:
                connection = socket.create_connection((self.host, self.port), timeout=self._timeout)
            except OSError as error:
                if time.monotonic() + pause > deadline:
                    raise DistNetworkError(
                        f"TCPStore: expected the process of rank 0 to listen at {self.host}:"
                        f"{self.port} within {self._timeout:g} s. Got: {error}. Look whether it "
                        "runs, and whether MASTER_ADDR and MASTER_PORT are those of its machine."
                    ) from error
                time.sleep(pause)  # it may not have started
                pause = min(1.0, pause * 1.5)
                continue
            keep_watch(connection)
            connection.settimeout(None)
            return connection

    def _count_workers(self, world_size: int, is_master: bool) -> None:
        if self.add("worker count", 1) >= world_size:
            self.set("workers", "all")
        if is_master:
            self.wait(["workers"])

    def _ask(self, name: str, *arguments: Any) -> Any:
        with self._lock:
            try:
                send_frame(self._connection, [name, *arguments])
                return receive_frame(self._connection)[0]
            except OSError as error:
                raise DistStoreError(
                    f"TCPStore: expected an answer from {self.host}:{self.port}. Got: {error}. The "
                    "process of rank 0, which keeps the store, may have ended."
                ) from error
            except BaseException:
                self.close()  # an answer may still come, to nobody
                raise

    def set(self, key: str, value: str | bytes) -> None:
        self._ask("set", [key], [bytes_of(value)])

    def multi_set(self, keys: Sequence[str], values: Sequence[str | bytes]) -> None:
        if len(keys) != len(values):
            super().multi_set(keys, values)  # which says so
        self._ask("set", list(keys), [bytes_of(v) for v in values])

    def add(self, key: str, amount: int) -> int:
        return int(self._ask("add", key, amount))

    def append(self, key: str, value: str | bytes) -> None:
        self._ask("append", key, bytes_of(value))

    def compare_set(
        self, key: str, expected_value: str | bytes, desired_value: str | bytes
    ) -> bytes:
        found = self._ask("compare_set", key, bytes_of(expected_value), bytes_of(desired_value))
        return bytes(found)

    def check(self, keys: Sequence[str]) -> bool:
        return bool(self._ask("check", list(keys)))

    def delete_key(self, key: str) -> bool:
        return bool(self._ask("delete_key", key))

    def num_keys(self) -> int:
        return int(self._ask("num_keys"))

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        return self._values(keys, self._timeout)

    def wait(self, keys: Sequence[str], timeout: timedelta | float | None = None) -> None:
        self._values(keys, seconds_of(timeout, self._timeout))

    def _values(self, keys: Sequence[str], seconds: float) -> list[bytes]:
        is_there, found = self._ask("get", list(keys), seconds)
        if not is_there:
            raise missing(found, seconds)
        return list(found)

    def local_address(self) -> str | None:
        own = str(self._connection.getsockname()[0])
        return None if is_loopback(own) and not is_loopback(self.host) else own

    def leave_behind(self, key: str, value: str | bytes) -> None:
        """Let `key` be set to `value` when this process is gone, however it ends: the last one that
        was said counts. A machine that does not answer any more is gone after 30 s."""
        self._ask("will", [key], [bytes_of(value)])

    def close(self) -> None:
        """Leave; the master's store ends for all."""
        self._closing()


def _close(connection: socket.socket, server: _Server | None) -> None:
    connection.close()
    if server is not None:
        server.close()
