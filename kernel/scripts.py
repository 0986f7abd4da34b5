"""`flambeau run FILE`: a script or notebook in a fresh kernel, its output streamed as it comes.

The exit status is 0, 1 after an exception, 130 after Ctrl-C, or what the script gave to `sys.exit`.
"""

from __future__ import annotations

import argparse
import getpass
import os
import queue
import re
import sys
from pathlib import Path
from typing import Any

from .cells import Cell, notebook_cells, python_cells
from .launch import AS_TORCH, connect_stdin, manager

INTERRUPTED = 130
POLL = 0.2  # s between two looks at whether the kernel lives
PATIENCE = 5.0  # s for an interrupted cell to stop before the kernel is killed
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the sub-command."""
    parser.add_argument("--as-torch", action="store_true", help="`import torch` means Flambeau")
    parser.add_argument(
        "file", metavar="FILE", help="a .py or .ipynb file, or - for standard input"
    )
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="for sys.argv of the script"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the file and return the exit status; a file that cannot be read is status 2."""
    path = arguments.file
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        cells = notebook_cells(text) if path.endswith(".ipynb") else python_cells(text)
    except (OSError, ValueError) as error:
        print(f"flambeau run: {error}", file=sys.stderr)
        return 2
    if arguments.as_torch:
        os.environ[AS_TORCH] = "1"
    script = None if path.endswith(".ipynb") else path
    return ScriptRun(script, arguments.arguments, text).run(cells)


class ScriptRun:
    """One run: a kernel process, the cells sent to it one by one, its output printed here."""

    def __init__(self, script: str | None, arguments: list[str], text: str) -> None:
        self.script, self.arguments, self.text = script, arguments, text
        self.manager = manager()
        self.client: Any = None

    def run(self, cells: list[Cell]) -> int:
        """Start, execute, shut down; whatever happens, no process stays."""
        import zmq

        try:
            self.manager.start_kernel()
            self.client = self.manager.client()
            self.client.start_channels(stdin=False)
            self._wait_until_heard()
            connect_stdin(self.client)
            self.client.stdin_channel.socket.poll(None, zmq.POLLOUT)
            return self._run_cells(cells)
        except KeyboardInterrupt:
            return self._interrupted()
        except KernelGoneError:
            print("flambeau run: the kernel died; the rest was not run.", file=sys.stderr)
            return 1
        finally:
            self._close()

    def _wait_until_heard(self) -> None:
        """Until the kernel answers and its output arrives: what it publishes earlier is lost.

        Raises: KernelGoneError if it ends instead.
        """
        try:
            self.client.wait_for_ready(timeout=None)
        except RuntimeError:
            raise KernelGoneError from None

    def _run_cells(self, cells: list[Cell]) -> int:
        if self.script is not None:
            enter = (
                f"get_ipython().enter_script({self.script!r}, {self.arguments!r}, {self.text!r})"
            )
            self._execute(enter, silent=True)
        for cell in cells:
            if self.script is not None:
                name = "<stdin>" if self.script == "-" else self.script
                place = f"get_ipython().compile.place({name!r}, {cell.first_line})"
                self._execute(place, silent=True)
            status = self._status(self._execute(cell.source))
            if status is not None:
                return status
        return 0

    def _status(self, reply: dict[str, Any]) -> int | None:
        """The exit status that ends the run after this reply, or None to go on."""
        if any(p.get("source") == "ask_exit" for p in reply.get("payload", ())):
            return 0
        if reply["status"] == "ok":
            return None
        if reply.get("ename") != "SystemExit":
            return 1
        value = reply.get("evalue", "")
        if value in ("", "None"):
            return 0
        try:
            return int(value)
        except ValueError:
            print(value, file=sys.stderr)
            return 1

    # -- one request -----------------------------------------------------------------------------

    def _execute(self, source: str, silent: bool = False) -> dict[str, Any]:
        """Send a cell, print what it says, return its reply."""
        identity = self.client.execute(
            source, silent=silent, store_history=not silent, allow_stdin=self._may_ask()
        )
        while True:
            self._answer_questions()
            message = self._next(self.client.iopub_channel)
            if message is None or message["parent_header"].get("msg_id") != identity:
                continue
            content, kind = message["content"], message["msg_type"]
            if kind == "status" and content["execution_state"] == "idle":
                return self._reply(identity)
            self._print(kind, content)

    def _reply(self, identity: str) -> dict[str, Any]:
        while True:
            message = self._next(self.client.shell_channel)
            if message is not None and message["parent_header"].get("msg_id") == identity:
                content: dict[str, Any] = message["content"]
                return content

    def _next(self, channel: Any) -> dict[str, Any] | None:
        """The channel's next message; None if there was none for a while.

        Raises: KernelGoneError if there will be none.
        """
        try:
            message: dict[str, Any] = channel.get_msg(timeout=POLL)
        except queue.Empty:
            if not self.manager.is_alive():
                raise KernelGoneError from None
            return None
        return message

    def _may_ask(self) -> bool:
        return self.script != "-" and sys.stdin is not None and sys.stdin.isatty()

    def _answer_questions(self) -> None:
        """Answer `input()` and `getpass()` of the script from our own standard input."""
        if not self.client.stdin_channel.msg_ready():
            return
        content = self.client.stdin_channel.get_msg(timeout=POLL)["content"]
        ask = getpass.getpass if content["password"] else input
        try:
            self.client.input(ask(content["prompt"]))
        except EOFError:
            self.client.input("\x04")

    def _print(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "stream":
            out = sys.stdout if content["name"] == "stdout" else sys.stderr
            out.write(content["text"])
            out.flush()
        elif kind in ("execute_result", "display_data", "update_display_data"):
            print(content["data"].get("text/plain", ""), flush=True)
        elif kind == "error" and content["ename"] != "SystemExit":
            text = "\n".join(content["traceback"])
            sys.stdout.flush()
            print(text if sys.stderr.isatty() else COLOURS.sub("", text), file=sys.stderr)

    # -- the end ---------------------------------------------------------------------------------

    def _interrupted(self) -> int:
        """Interrupt the cell and print where it stood."""
        try:
            self.manager.interrupt_kernel()
            waited = 0.0
            while waited < PATIENCE:
                message = self._next(self.client.iopub_channel)
                if message is None:
                    waited += POLL
                elif message["msg_type"] == "status":
                    if message["content"]["execution_state"] == "idle":
                        break
                else:
                    self._print(message["msg_type"], message["content"])
        except (KeyboardInterrupt, KernelGoneError, RuntimeError):
            pass  # asked twice, or gone already: then it is only to be cleared away
        return INTERRUPTED

    def _close(self) -> None:
        if self.client is not None:
            self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=not self.manager.is_alive())


class KernelGoneError(Exception):
    """The kernel's process ended while an answer was awaited."""
