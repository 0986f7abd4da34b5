"""`flambeau serve`: a session that stays, for many calls of `flambeau exec`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import Any

from .launch import connection_file, manager

POLL = 0.5  # s between two looks at whether the kernel lives
ANSWER_PATIENCE = 3.0  # s for the heartbeat of a session that is there
DEFAULT = "session"
PREFIX = "served-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the sub-command."""
    parser.add_argument("--name", default=DEFAULT, help=f"what it is called ({DEFAULT})")


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C, SIGTERM or `flambeau exec --stop`; 1 if the kernel died, 2 if there is a
    session of this name already."""
    path = connection_file(PREFIX + options.name)
    if path.exists():
        client = connect(options.name)
        if client is not None:
            client.stop_channels()
            print(
                f"flambeau serve: expected a new name. A session {options.name!r} is served "
                "already: end it with `flambeau exec --stop`, or give another --name.",
                file=sys.stderr,
            )
            return 2
        path.unlink()  # its kernel was killed
    return _serve(options.name)


def _serve(name: str) -> int:
    kernel = manager(name=PREFIX + name)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        kernel.start_kernel()
        named = "" if name == DEFAULT else f" --name {name}"
        print(f"Serving. `flambeau exec{named} CODE` runs code here; Ctrl-C ends it.", flush=True)
        while kernel.is_alive():
            time.sleep(POLL)
        status: int | None = kernel.provisioner.process.returncode
        if status:
            print(f"flambeau serve: the kernel ended with status {status}.", file=sys.stderr)
        return int(bool(status))
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)
        kernel.shutdown_kernel(now=not kernel.is_alive())


def connect(name: str) -> Any:
    """A client of the session of this name, its heart beating; None if none answers."""
    from jupyter_client.blocking.client import BlockingKernelClient

    path = connection_file(PREFIX + name)
    if not path.exists():
        return None
    client = BlockingKernelClient(connection_file=str(path))
    client.load_connection_file()
    client.start_channels(stdin=False)
    client.hb_channel.unpause()
    ends = time.monotonic() + ANSWER_PATIENCE
    while time.monotonic() < ends:
        if client.hb_channel._beating and client.is_alive():
            return client
        time.sleep(0.05)
    client.stop_channels()
    return None
