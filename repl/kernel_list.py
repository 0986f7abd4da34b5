"""The kernels of ours that run on this machine, found by their connection files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flambeau.kernel.launch import listens

HEARTBEAT = 5.0  # s; a kernel that lives answers in a few milliseconds, on a busy machine later


@dataclass(frozen=True)
class Running:
    """A kernel that answers."""

    connection_file: Path
    age: float  # s since it was started

    @property
    def name(self) -> str:
        """What `--existing` and `%kernel` take."""
        return self.connection_file.stem.removeprefix("kernel-")


async def running_kernels() -> list[Running]:
    """Those that answer, newest first."""
    from jupyter_core.paths import jupyter_runtime_dir

    files = Path(jupyter_runtime_dir()).glob("kernel-*.json")
    found = await asyncio.gather(*[_look(path) for path in files])
    return sorted((k for k in found if k is not None), key=lambda k: k.age)


async def _look(path: Path) -> Running | None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        connection = json.loads(path.read_text())
        if listens(connection) and await _beats(connection):
            return Running(path, time.time() - path.stat().st_mtime)
    return None


async def _beats(connection: dict[str, Any]) -> bool:
    import zmq
    import zmq.asyncio

    separator = ":" if connection["transport"] == "tcp" else "-"
    address = "{transport}://{ip}".format(**connection) + f"{separator}{connection['hb_port']}"
    context = zmq.asyncio.Context.instance()
    with context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.connect(address)
        await socket.send(b"ping")
        return bool(await socket.poll(int(1000 * HEARTBEAT)))
