"""Bytes for the language server: standard streams, TCP with any number of clients, a bridge."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable

from pygls.io_ import run_async

from .knowledge import Knowledge
from .server import FlambeauServer

LOOPBACK = "127.0.0.1"
CHUNK = 65_536  # bytes that a bridge passes on at a time
_log = logging.getLogger(__name__)


async def serve_tcp(
    knowledge: Knowledge, port: int = 0, on_port: Callable[[int], object] = lambda port: None
) -> None:
    """Serve clients on the loopback interface until cancelled, each with documents of its own.

    `on_port` hears the port, which the system chooses for 0. Raises: OSError if it is taken.
    """

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = FlambeauServer(knowledge)
        server.protocol.set_writer(writer)
        stop = threading.Event()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            await run_async(stop, reader, server.protocol, _log, server.report_server_error)
        server.shutdown()
        writer.close()

    listening = await asyncio.start_server(connection, LOOPBACK, port)
    on_port(listening.sockets[0].getsockname()[1])
    async with listening:
        await listening.serve_forever()


def serve_streams(knowledge: Knowledge) -> None:
    """Serve the client at standard input and output until it leaves."""
    # What code prints must not come between the messages.
    messages, sys.stdout = sys.stdout.buffer, sys.stderr
    FlambeauServer(knowledge).start_io(stdout=messages)


def serve_in_thread(knowledge: Knowledge) -> int:
    """Serve on a thread of this process, as long as it lives; the port."""
    found: list[int] = []
    is_ready = threading.Event()

    def ready(port: int) -> None:
        found.append(port)
        is_ready.set()

    def run() -> None:
        try:
            asyncio.run(serve_tcp(knowledge, on_port=ready))
        finally:
            is_ready.set()

    threading.Thread(target=run, name="language server", daemon=True).start()
    is_ready.wait()
    if not found:
        raise OSError("The language server found no port to listen on.")
    return found[0]


async def bridge(port: int) -> None:
    """Standard streams as a client of the server at `port`: for editors that only start programs.

    Raises: OSError if nobody listens there.
    """
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    loop = asyncio.get_running_loop()

    async def upwards() -> None:
        while data := await loop.run_in_executor(None, os.read, sys.stdin.fileno(), CHUNK):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def downwards() -> None:
        while data := await reader.read(CHUNK):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    up, down = asyncio.ensure_future(upwards()), asyncio.ensure_future(downwards())
    await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
    up.cancel()
    down.cancel()
