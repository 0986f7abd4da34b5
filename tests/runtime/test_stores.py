"""Stores: keys that processes share."""

from __future__ import annotations

import os
import resource
import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import flambeau.distributed as dist
from flambeau.distributed.tcp_store import receive_frame, send_frame

KINDS = ["hash", "file", "tcp", "prefix"]


def made(kind: str, path: Path) -> tuple[Any, Any]:
    """A store as two processes would see it."""
    if kind == "hash":
        store: Any = dist.HashStore()
        return store, store
    if kind == "file":
        return dist.FileStore(path / "store"), dist.FileStore(path / "store", 2)
    kept = dist.TCPStore("localhost", 0, is_master=True)
    other = dist.TCPStore("localhost", kept.port)
    if kind == "tcp":
        return kept, other
    return dist.PrefixStore("a", kept), dist.PrefixStore("a", other)


@pytest.mark.parametrize("kind", KINDS)
def test_what_one_sets_the_other_gets(kind: str, tmp_path: Path) -> None:
    a, b = made(kind, tmp_path)
    a.set("text", "é\n")
    assert b.get("text") == "é\n".encode()
    b.set("text", bytes(range(256)))
    assert a.get("text") == bytes(range(256))
    assert [a.add("n", 2), b.add("n", 40), a.add("n", -1)] == [2, 42, 41]
    assert a.get("n") == b"41"
    b.append("list", "x")
    a.append("list", "yz")
    assert b.get("list") == b"xyz"
    assert a.compare_set("c", "", "first") == b"first"
    assert b.compare_set("c", "other", "second") == b"first"
    assert b.compare_set("c", "first", "second") == b"second"
    a.multi_set(["p", "q"], ["1", b"2"])
    assert b.multi_get(["q", "p"]) == [b"2", b"1"]
    assert b.check(["p", "q"])
    assert not b.check(["p", "r"])
    assert a.delete_key("p")
    assert not b.delete_key("p")
    assert b.num_keys() == a.num_keys() >= 4
    with pytest.raises(ValueError, match="a value for each key"):
        a.multi_set(["p"], [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_waited_for_and_missed_by_name(kind: str, tmp_path: Path) -> None:
    a, b = made(kind, tmp_path)
    setter = threading.Timer(0.05, lambda: b.set("late", "come"))
    setter.start()
    assert a.get("late") == b"come"
    setter.join()
    a.set_timeout(timedelta(milliseconds=50))
    with pytest.raises(dist.StoreTimeoutError, match=r"never' to be set within 0\.05 s"):
        a.get("never")
    with pytest.raises(TimeoutError):
        a.wait(["late", "never"], timedelta(milliseconds=10))


def test_a_prefix_is_a_store_of_its_own() -> None:
    shared = dist.HashStore()
    dist.PrefixStore("a", shared).set("k", "1")
    assert not dist.PrefixStore("b", shared).check(["k"])
    assert shared.get("a/k") == b"1"


def test_a_master_that_is_not_there_is_named_with_its_address() -> None:
    free = dist.TCPStore("localhost", 0, is_master=True)
    port = free.port
    free.close()
    with pytest.raises(dist.DistNetworkError, match=f"localhost:{port}"):
        dist.TCPStore("localhost", port, timeout=0.05)


def test_a_port_in_use_is_named() -> None:
    kept = dist.TCPStore("localhost", 0, is_master=True)
    with pytest.raises(dist.DistNetworkError, match=f"port {kept.port}"):
        dist.TCPStore("localhost", kept.port, is_master=True)


def test_a_stranger_does_not_disturb_the_store() -> None:
    kept = dist.TCPStore("localhost", 0, is_master=True)
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\2\0\0\0[]", b'\6\0\0\0["no"]'):
        with socket.create_connection(("localhost", kept.port)) as stranger:
            stranger.sendall(noise)
            stranger.shutdown(socket.SHUT_WR)
            assert stranger.recv(1) == b""
    kept.set("a", "1")
    assert kept.get("a") == b"1"


def test_a_store_of_this_machine_alone_is_reached_from_nowhere_else() -> None:
    kept = dist.TCPStore("127.0.0.1", 0, is_master=True)
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.2", kept.port))


def test_a_store_without_free_file_descriptors_goes_on_when_there_are_some() -> None:
    kept = dist.TCPStore("127.0.0.1", 0, is_master=True)
    kept.set("a", "0")  # its own client is let in before there is a limit
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as first, socket.socket() as second:
        free = os.dup(second.fileno())  # the next number that a connection would have
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            first.connect(("127.0.0.1", kept.port))
            kept.set("a", "1")  # the thread that lets clients in has met the limit meanwhile
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        second.settimeout(100)
        second.connect(("127.0.0.1", kept.port))
        send_frame(second, ["get", ["a"], 1])
        assert receive_frame(second) == [[True, [b"1"]]]


def test_what_a_process_died_writing_is_left_out(tmp_path: Path) -> None:
    a, b = made("file", tmp_path)
    a.set("whole", "1")
    journal = (tmp_path / "store").read_bytes()
    for torn in range(1, len(journal)):
        with (tmp_path / "store").open("ab") as file:
            file.write(journal[:torn])
        b.set("next", str(torn))
        assert a.get("next") == str(torn).encode()
        assert a.get("whole") == b"1"


def test_a_file_that_cannot_grow_keeps_what_it_holds(tmp_path: Path) -> None:
    a, b = made("file", tmp_path)
    a.set("k", "1")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, limits[1]))
    try:
        with pytest.raises(dist.DistStoreError, match="expected to write"):
            a.set("k", "2" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert a.get("k") == b.get("k") == b"1"
