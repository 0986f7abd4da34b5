"""Stores: keys and values that all processes of a run see. They find one another by them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from .failures import DistStoreError, StoreTimeoutError

__all__ = ["FileStore", "HashStore", "PrefixStore", "Store"]

DEFAULT_TIMEOUT = 300.0  # s, PyTorch's

Table = dict[str, bytes]
Change = Callable[[Table], Any]


def seconds_of(timeout: timedelta | float | None, default: float = DEFAULT_TIMEOUT) -> float:
    """A timeout in seconds. Raises: ValueError unless it is above 0."""
    if timeout is None:
        return default
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
    if not seconds > 0:
        raise ValueError(f"Expected a timeout above 0 s. Got {timeout}.")
    return seconds


def bytes_of(value: str | bytes) -> bytes:
    """A value as the store holds it. Raises: TypeError for what is neither text nor bytes."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    raise TypeError(f"Expected a value of type str or bytes. Got {type(value).__name__}.")


class Store(ABC):
    """Keys with values, shared by processes. Values are given as text or bytes, and got as bytes.

    `timeout` is how long `get` and `wait` wait for keys to be set: a timedelta, or seconds.
    """

    def __init__(self, timeout: timedelta | float | None = None) -> None:
        self._timeout = seconds_of(timeout)

    @property
    def timeout(self) -> timedelta:
        """How long to wait for keys."""
        return timedelta(seconds=self._timeout)

    def set_timeout(self, timeout: timedelta | float) -> None:
        """Wait so long from now on."""
        self._timeout = seconds_of(timeout)

    @abstractmethod
    def set(self, key: str, value: str | bytes) -> None:
        """Give `key` a value."""

    @abstractmethod
    def add(self, key: str, amount: int) -> int:
        """Add to the number that stands at `key`, 0 at first; the sum, all at once."""

    @abstractmethod
    def append(self, key: str, value: str | bytes) -> None:
        """Put `value` behind the one that is there."""

    @abstractmethod
    def compare_set(
        self, key: str, expected_value: str | bytes, desired_value: str | bytes
    ) -> bytes:
        """Set `key` to what is desired if it holds what is expected, or if nothing is expected (an
        empty value) and there is none; the value it then has."""

    @abstractmethod
    def check(self, keys: Sequence[str]) -> bool:
        """Whether all `keys` are set, without waiting."""

    @abstractmethod
    def delete_key(self, key: str) -> bool:
        """Forget `key`; whether it was there."""

    @abstractmethod
    def num_keys(self) -> int:
        """How many keys are set."""

    @abstractmethod
    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        """The values of `keys`, which are waited for. Raises: StoreTimeoutError."""

    def get(self, key: str) -> bytes:
        """The value of `key`, which is waited for. Raises: StoreTimeoutError."""
        return self.multi_get([key])[0]

    @abstractmethod
    def wait(self, keys: Sequence[str], timeout: timedelta | float | None = None) -> None:
        """Wait until all `keys` are set. Raises: StoreTimeoutError."""

    def multi_set(self, keys: Sequence[str], values: Sequence[str | bytes]) -> None:
        """Give each of `keys` its value. Raises: ValueError for different numbers of both."""
        if len(keys) != len(values):
            raise ValueError(
                f"multi_set: expected a value for each key. Got {len(keys)} keys and "
                f"{len(values)} values."
            )
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def local_address(self) -> str | None:
        """The address at which this process reaches the others, if the store knows it."""
        return None


def added(table: Table, key: str, amount: int) -> int:
    """`Store.add` in a table."""
    total = int(table.get(key, b"0")) + amount
    table[key] = str(total).encode()
    return total


def compared(table: Table, key: str, expected: bytes, desired: bytes) -> bytes:
    """`Store.compare_set` in a table."""
    if table.get(key, b"") == expected:
        table[key] = desired
    return table.get(key, expected)


def missing(keys: Sequence[str], seconds: float) -> StoreTimeoutError:
    """The error for keys that are not there."""
    names = ", ".join(map(repr, keys[:8])) + (", ..." if len(keys) > 8 else "")
    return StoreTimeoutError(
        f"Store: expected {names} to be set within {seconds:g} s. Nobody did: a process may not "
        "have started, have ended, or use another store."
    )


class _TableStore(Store):
    """A store that is a table which one process at a time may change."""

    @abstractmethod
    def _change(self, change: Change) -> Any:
        """`change` of the table, while nobody else changes it."""

    @abstractmethod
    def _pause(self, seconds: float) -> None:
        """Wait until the table may have changed, `seconds` at most."""

    def set(self, key: str, value: str | bytes) -> None:
        data = bytes_of(value)
        self._change(lambda table: table.__setitem__(key, data))

    def add(self, key: str, amount: int) -> int:
        return int(self._change(lambda table: added(table, key, amount)))

    def append(self, key: str, value: str | bytes) -> None:
        data = bytes_of(value)
        self._change(lambda table: table.__setitem__(key, table.get(key, b"") + data))

    def compare_set(
        self, key: str, expected_value: str | bytes, desired_value: str | bytes
    ) -> bytes:
        expected, desired = bytes_of(expected_value), bytes_of(desired_value)
        return bytes(self._change(lambda table: compared(table, key, expected, desired)))

    def check(self, keys: Sequence[str]) -> bool:
        return bool(self._change(lambda table: all(key in table for key in keys)))

    def delete_key(self, key: str) -> bool:
        return self._change(lambda table: table.pop(key, None)) is not None

    def num_keys(self) -> int:
        return int(self._change(len))

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        self.wait(keys)
        return list(self._change(lambda table: [table[key] for key in keys]))

    def wait(self, keys: Sequence[str], timeout: timedelta | float | None = None) -> None:
        seconds = seconds_of(timeout, self._timeout)
        deadline = time.monotonic() + seconds
        while absent := self._change(lambda table: [key for key in keys if key not in table]):
            left = deadline - time.monotonic()
            if left <= 0:
                raise missing(absent, seconds)
            self._pause(left)


class HashStore(_TableStore):
    """A store of one process: for its threads, and for tests.

    Example:
        >>> store = HashStore()
        >>> store.add("visits", 2) + store.add("visits", 3)
        7
    """

    def __init__(self, timeout: timedelta | float | None = None) -> None:
        super().__init__(timeout)
        self._table: Table = {}
        self._changed = threading.Condition()

    def _change(self, change: Change) -> Any:
        with self._changed:
            result = change(self._table)
            self._changed.notify_all()
            return result

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait(min(seconds, 0.05))


LENGTHS = struct.Struct("<II")


class FileStore(_TableStore):
    """A store in a file that all processes reach, on one machine or on a file system that locks.

    The file is a journal of what was set, and stays when the processes end. `world_size` is
    PyTorch's and not needed.
    """

    def __init__(
        self,
        file_name: str | os.PathLike[str],
        world_size: int = -1,
        timeout: timedelta | float | None = None,
    ) -> None:
        super().__init__(timeout)
        self.path = os.fspath(file_name)
        self._read_to, self._table = 0, Table()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _change(self, change: Change) -> Any:
        with self._locked() as file:
            self._catch_up(file)
            before = dict(self._table)
            result = change(self._table)
            entries = [
                _entry(key, self._table.get(key))
                for key in before.keys() | self._table.keys()
                if before.get(key) != self._table.get(key)
            ]
            journal = b"".join(entries)
            self._write(file, journal, before)
            return result

    def _write(self, file: int, journal: bytes, before: Table) -> None:
        """Write all of `journal`, or nothing. Raises: DistStoreError."""
        try:
            is_whole, reason = os.write(file, journal) == len(journal), "no space left"
        except OSError as error:
            is_whole, reason = False, str(error)
        if not is_whole:
            self._table = before
            os.ftruncate(file, self._read_to)
            raise DistStoreError(f"FileStore: expected to write to {self.path}. Got: {reason}.")
        self._read_to += len(journal)

    def _catch_up(self, file: int) -> None:
        """Read what others wrote. Of an entry that a process died in the middle of, as we have the
        lock, no more comes: it is cut off."""
        size = os.fstat(file).st_size
        data = os.pread(file, size - self._read_to, self._read_to)
        place = 0
        while (end := _end_of_entry(data, place)) is not None:
            name_length, length = LENGTHS.unpack_from(data, place)
            value = place + LENGTHS.size + name_length
            key = data[place + LENGTHS.size : value].decode()
            if length == DELETED:
                self._table.pop(key, None)
            else:
                self._table[key] = data[value:end]
            place = end
        self._read_to += place
        if self._read_to < size:
            os.ftruncate(file, self._read_to)

    def _pause(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.01))  # other machines cannot wake us


DELETED = 0xFFFFFFFF


def _end_of_entry(data: bytes, place: int) -> int | None:
    """Where the entry at `place` ends; None if not all of it is there."""
    if place + LENGTHS.size > len(data):
        return None
    name_length, length = LENGTHS.unpack_from(data, place)
    end = int(place + LENGTHS.size + name_length + (0 if length == DELETED else length))
    return end if end <= len(data) else None


def _entry(key: str, value: bytes | None) -> bytes:
    name = key.encode()
    if value is None:
        return LENGTHS.pack(len(name), DELETED) + name
    return LENGTHS.pack(len(name), len(value)) + name + value


class PrefixStore(Store):
    """`store`, with `prefix` and a slash before every key: a store of one's own in a shared one."""

    def __init__(self, prefix: str, store: Store) -> None:
        super().__init__(store.timeout)
        self.prefix, self.underlying_store = prefix, store

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}"

    def set(self, key: str, value: str | bytes) -> None:
        self.underlying_store.set(self._name(key), value)

    def add(self, key: str, amount: int) -> int:
        return self.underlying_store.add(self._name(key), amount)

    def append(self, key: str, value: str | bytes) -> None:
        self.underlying_store.append(self._name(key), value)

    def compare_set(
        self, key: str, expected_value: str | bytes, desired_value: str | bytes
    ) -> bytes:
        return self.underlying_store.compare_set(self._name(key), expected_value, desired_value)

    def check(self, keys: Sequence[str]) -> bool:
        return self.underlying_store.check([self._name(key) for key in keys])

    def delete_key(self, key: str) -> bool:
        return self.underlying_store.delete_key(self._name(key))

    def num_keys(self) -> int:
        """How many keys the store below has, those of others among them."""
        return self.underlying_store.num_keys()

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        self.wait(keys)  # for as long as is said here, not below
        return self.underlying_store.multi_get([self._name(key) for key in keys])

    def wait(self, keys: Sequence[str], timeout: timedelta | float | None = None) -> None:
        limit = self._timeout if timeout is None else timeout
        self.underlying_store.wait([self._name(key) for key in keys], limit)

    def local_address(self) -> str | None:
        return self.underlying_store.local_address()
