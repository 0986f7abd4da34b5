"""Connecting to a kernel."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest
import zmq
from jupyter_client.blocking.client import BlockingKernelClient

from flambeau.kernel.launch import LONGEST_SOCKET_PATH, connect_stdin, manager

from ..programs import PATIENCE, finished


def test_stdin_is_writable_only_when_the_kernel_knows_it(tmp_path: Path) -> None:
    """A ROUTER drops what it sends to a peer that is not connected: a question would be lost."""
    client = BlockingKernelClient(transport="ipc", ip=str(tmp_path / "k"), stdin_port=1)
    connect_stdin(client)
    channel = client.stdin_channel.socket
    assert channel.poll(200, zmq.POLLOUT) == 0
    with zmq.Context() as context, context.socket(zmq.ROUTER) as kernel:
        kernel.setsockopt(zmq.ROUTER_MANDATORY, 1)  # an error instead of a loss
        kernel.bind(f"ipc://{tmp_path / 'k'}-1")
        assert channel.poll(10_000, zmq.POLLOUT) == zmq.POLLOUT
        ask_once_it_is_known(kernel, client.session.bsession)
        assert channel.recv_multipart() == [b"question"]
    client.stop_channels()


def ask_once_it_is_known(kernel: zmq.Socket[bytes], peer: bytes) -> None:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        try:
            return kernel.send_multipart([peer, b"question"])
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            kernel.poll(10)
    raise AssertionError("The kernel's side never hears of the connection.")


def test_sockets_too_deep_in_a_home_lie_in_one_directory_that_is_the_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / ("deep" * (LONGEST_SOCKET_PATH // 4))))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = (Path(manager().ip).parent for _ in range(2))
    assert first == second
    assert first.stat().st_mode & 0o777 == 0o700
    first.chmod(0o755)  # as somebody else might have made it
    assert Path(manager().ip).parent != first


ABANDONS = """
import os, subprocess
from flambeau.kernel.launch import manager
started = manager()
started.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(started.provisioner.process.pid, flush=True)
os._exit(1)
"""


def test_a_kernel_ends_whose_front_end_has_gone_before_it_is_there() -> None:
    done = finished(sys.executable, "-c", ABANDONS)
    pid, deadline = int(done.stdout), time.monotonic() + PATIENCE
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)  # between two looks
    assert not psutil.pid_exists(pid)
