"""`flambeau lsp`: the language server for editors, over standard streams or TCP."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .knowledge import Knowledge

LATEST = ""  # `--existing` without a name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the sub-command."""
    parser.description = (
        "Serve the Language Server Protocol: shapes and faults before the run, completion, hover. "
        "Over standard input and output, unless told otherwise."
    )
    parser.add_argument(
        "--existing",
        nargs="?",
        const=LATEST,
        metavar="FILE|ID",
        help="answer from the live values of a running kernel (by default the latest)",
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--stdio", action="store_true", help="standard streams (the default)")
    way.add_argument("--tcp", type=int, metavar="PORT", help="listen on a port of this machine")
    way.add_argument(
        "--connect", type=int, metavar="PORT", help="pass standard streams on to such a port"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until the client leaves; 1 if there is nothing to serve from."""
    from flambeau.backends.cuda import presence

    from .transport import bridge, serve_streams, serve_tcp

    presence.stay_away()
    try:
        if arguments.connect is not None:
            asyncio.run(bridge(arguments.connect))
        elif arguments.tcp is not None:
            asyncio.run(serve_tcp(_knowledge(arguments.existing), arguments.tcp, _tell))
        else:
            serve_streams(_knowledge(arguments.existing))
    except OSError as error:
        print(f"flambeau lsp: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _tell(port: int) -> None:
    print(f"listening on port {port}", file=sys.stderr, flush=True)


def _knowledge(existing: str | None) -> Knowledge:
    from ..launch import running_connection
    from .knowledge import FileKnowledge, KernelKnowledge

    return FileKnowledge() if existing is None else KernelKnowledge(running_connection(existing))
