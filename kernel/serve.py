"""`flambeau serve`: a session that stays, for many calls of `flambeau exec`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from .interrupts import held
from .launch import connection_file, listens, manager

POLL = 0.5  # s between two looks at whether the kernel lives
START_POLL = 0.05  # s between two looks at whether it listens yet
DEFAULT = "session"
PREFIX = "served-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the sub-command."""
    parser.add_argument("--name", default=DEFAULT, help=f"what it is called ({DEFAULT})")


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C, SIGTERM or `flambeau exec --stop`; 1 if the kernel died, 2 if there is a
    session of this name already."""
    path = connection_file(PREFIX + options.name)
    if served(path):
        print(
            f"flambeau serve: expected a new name. A session {options.name!r} is served "
            "already: end it with `flambeau exec --stop`, or give another --name.",
            file=sys.stderr,
        )
        return 2
    path.unlink(missing_ok=True)  # its kernel was killed
    return _serve(options.name, path)


def _serve(name: str, path: Path) -> int:
    kernel = manager(name=PREFIX + name)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with held():
            kernel.start_kernel()
        while kernel.is_alive() and not served(path):
            time.sleep(START_POLL)
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


def served(path: Path) -> bool:
    """Whether the kernel of this connection file listens."""
    try:
        return listens(json.loads(path.read_text()))
    except (OSError, ValueError):  # there is none, or it is being written
        return False
