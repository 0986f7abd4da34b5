"""Connecting to a kernel."""

from __future__ import annotations

from pathlib import Path

import zmq
from jupyter_client.blocking.client import BlockingKernelClient

from flambeau.kernel.launch import connect_stdin


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
        kernel.poll(100)
        kernel.send_multipart([client.session.bsession, b"question"])
        assert channel.recv_multipart() == [b"question"]
    client.stop_channels()
