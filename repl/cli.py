"""The `flambeau` command: the REPL, scripts, and the installation of the kernel."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

LATEST = ""  # `--existing` without a name
TERMINATED = 128 + 15  # what a shell reports of a process ended by SIGTERM

# Each module has add_arguments(parser) and run(args) -> exit status; it is imported when called.
COMMANDS = {
    "run": ("flambeau.kernel.scripts", "run a .py or .ipynb file, or - for standard input"),
    "check": ("flambeau.kernel.check", "find mistakes in a .py or .ipynb file without running it"),
    "serve": ("flambeau.kernel.serve", "keep a session for calls of exec"),
    "exec": ("flambeau.kernel.exec", "run code in the session that serve keeps"),
    "lsp": ("flambeau.kernel.lsp.program", "serve editors by the Language Server Protocol"),
    "export": ("flambeau.kernel.export", "write a model as ONNX, for phones, for browsers"),
    "kernel": ("flambeau.kernel.install", "install the Jupyter kernel"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`; the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in COMMANDS:
        return _run_command(*arguments)
    args = _parser().parse_args(arguments)
    if not sys.stdin.isatty():
        return _run_command("run", "-")
    return _run_repl(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flambeau",
        description="A workbench for deep learning. Without arguments: an interactive session.",
        epilog="commands:\n" + "".join(f"  {n:<12}{h}\n" for n, (_, h) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--existing",
        nargs="?",
        const=LATEST,
        metavar="FILE|ID",
        help="attach to a running kernel: its connection file, a part of its name, or the latest",
    )
    parser.add_argument("--as-torch", action="store_true", help="`import torch` means Flambeau")
    parser.add_argument("--no-banner", action="store_true", help="start without the greeting")
    parser.add_argument("--version", action="version", version=f"flambeau {_version()}")
    return parser


def _run_command(name: str, *arguments: str) -> int:
    module = importlib.import_module(COMMANDS[name][0])
    parser = argparse.ArgumentParser(prog=f"flambeau {name}")
    module.add_arguments(parser)
    status: int = module.run(parser.parse_args(arguments))
    return status


def _run_repl(args: argparse.Namespace) -> int:
    from prompt_toolkit.application import create_app_session

    from flambeau.kernel.launch import AS_TORCH

    from .application import Repl
    from .kernels import Kernel, OwnKernel, RunningKernel
    from .terminal import Keyboard, typing_held

    if args.as_torch:
        os.environ[AS_TORCH] = "1"
    if not args.no_banner:
        print(_banner())
    kernel: Kernel = OwnKernel() if args.existing is None else RunningKernel(args.existing or None)

    async def serve() -> None:
        with create_app_session(input=Keyboard(sys.stdin)), typing_held():
            await Repl(kernel).run()

    try:
        asyncio.run(serve())
    except asyncio.CancelledError:
        return TERMINATED
    return 0


def _banner() -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    keys = "name? explains, %lsmagic lists magics, Ctrl-D leaves."
    columns = shutil.get_terminal_size().columns
    return textwrap.fill(f"Flambeau {_version()} (Python {python}). {keys}", columns) + "\n"


def _version() -> str:
    from importlib.metadata import version

    return version("flambeau")


if __name__ == "__main__":
    sys.exit(main())
