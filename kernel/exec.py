"""`flambeau exec CODE`: runs code in the session that `flambeau serve` keeps."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .cells import Cell, notebook_cells, python_cells
from .conversation import Conversation, KernelGoneError, OutOfTimeError, exit_status, join
from .launch import connection_file
from .outputs import show
from .scripts import FAILED, INTERRUPTED, OUT_OF_TIME, STDIN, UNUSABLE, seconds
from .serve import DEFAULT, PREFIX, served

STOP_PATIENCE = 30.0  # s for the session to say that it ends

QUIET = "__import__('warnings').filterwarnings('ignore', message='To exit: use')"
"""What ends by `sys.exit()` need not be told how to leave a prompt."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the sub-command."""
    parser.add_argument("--name", default=DEFAULT, help=f"which session ({DEFAULT})")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="interrupt after S seconds")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--file", metavar="FILE", help="a .py or .ipynb file to run there")
    what.add_argument("--stop", action="store_true", help="end the session")
    what.add_argument("code", metavar="CODE", nargs="?", help="Python, or - for standard input")


def run(options: argparse.Namespace) -> int:
    """Run the code and return its exit status, as `flambeau run` has them; 2 if there is no such
    session."""
    try:
        cells = _cells(options)
    except (OSError, ValueError) as error:
        print(f"flambeau exec: {error}", file=sys.stderr)
        return UNUSABLE
    path = connection_file(PREFIX + options.name)
    if not served(path):
        print(
            f"flambeau exec: no session {options.name!r} answers. Start it with `flambeau serve"
            f"{'' if options.name == DEFAULT else f' --name {options.name}'}`.",
            file=sys.stderr,
        )
        return UNUSABLE
    from jupyter_client.blocking.client import BlockingKernelClient

    client = BlockingKernelClient(connection_file=str(path))
    try:
        client.load_connection_file()
        client.start_channels(stdin=False, hb=False)
        if options.stop:
            client.shutdown(reply=True, timeout=STOP_PATIENCE)
            return 0
        return _execute(client, cells, options, lambda: served(path))
    except (KernelGoneError, TimeoutError) as error:
        what = "ended" if isinstance(error, KernelGoneError) else "does not answer"
        print(f"flambeau exec: the session {what}.", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:  # before its first cell
        return INTERRUPTED
    finally:
        client.stop_channels()


def _cells(options: argparse.Namespace) -> list[Cell]:
    if options.stop:
        return []
    if options.file is not None:
        text = Path(options.file).read_text(encoding="utf-8")
        return notebook_cells(text) if options.file.endswith(".ipynb") else python_cells(text)
    return [Cell(sys.stdin.read() if options.code == STDIN else options.code, 1)]


def _execute(
    client: Any, cells: list[Cell], options: argparse.Namespace, is_alive: Callable[[], bool]
) -> int:
    join(client, is_alive)
    may_ask = options.code != STDIN and sys.stdin is not None
    conversation = Conversation(client, is_alive, may_ask)
    try:
        conversation.execute(QUIET, silent=True)
        if options.timeout is not None:
            conversation.deadline = time.monotonic() + options.timeout
        for cell in cells:
            status, words = exit_status(conversation.execute(cell.source, show)["content"])
            if words:
                print(words, file=sys.stderr)
            if status is not None:
                return status
    except KeyboardInterrupt:
        return _interrupt(client, conversation, INTERRUPTED)
    except OutOfTimeError:
        print(f"flambeau exec: interrupted after {options.timeout:g} s.", file=sys.stderr)
        return _interrupt(client, conversation, OUT_OF_TIME)
    return 0


def _interrupt(client: Any, conversation: Conversation, status: int) -> int:
    """Stop the cell, not the session, and print where it stood."""
    request = client.session.msg("interrupt_request", {})
    with contextlib.suppress(KeyboardInterrupt, KernelGoneError):
        conversation.stop(lambda: client.control_channel.send(request), show)
    return status
