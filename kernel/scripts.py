"""`flambeau run FILE`: a script or notebook in a fresh kernel, its output streamed as it comes.

The exit status is 0, or what the script gave to `sys.exit`; 1 after an exception, 2 for a command
that cannot be carried out, 3 for an expectation that was not met, 124 at the time limit, 130 after
Ctrl-C, 141 when nobody reads the output any more (`| head`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .cells import Cell, notebook_cells, python_cells
from .conversation import (
    Conversation,
    KernelGoneError,
    Listener,
    OutOfTimeError,
    exit_status,
    join,
)
from .expectations import Expectation, expectation
from .interrupts import held
from .launch import AS_TORCH, manager
from .notebooks import ExecutedNotebook
from .outputs import Recorder, show
from .run_log import RunLog, receipt_of

FAILED, UNUSABLE, UNMET, OUT_OF_TIME, INTERRUPTED, UNHEARD = 1, 2, 3, 124, 130, 141
STDIN, COMMAND = "-", "-c"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the sub-command."""
    parser.epilog = __doc__.partition("\n\n")[2]
    parser.add_argument("--as-torch", action="store_true", help="`import torch` means Flambeau")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="stop after S seconds")
    parser.add_argument("--log", metavar="FILE", help="write what happens as JSON lines")
    parser.add_argument("--output", metavar="FILE", help="write the executed notebook")
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        type=expected,
        metavar="LIMIT",
        help="fail unless it holds: no-nan, 'peak<2GiB', 'time<10s', ...; may be given repeatedly",
    )
    parser.add_argument("--profile", action="store_true", help="where the time went, at the end")
    parser.add_argument("--trace", action="store_true", help="the gradients, at the end")
    parser.add_argument("--clip", metavar="RULE", help="clip gradients as %%clip RULE does")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="run it in N processes that find one another by init_process_group, as torchrun does",
    )
    parser.add_argument("--load-session", metavar="FILE", help="begin with the variables in FILE")
    parser.add_argument("--save-session", metavar="FILE", help="keep the variables, as FILE.pt")
    parser.add_argument(
        "-c",
        dest="code",
        metavar="CODE",
        nargs=argparse.REMAINDER,
        help="run CODE instead of a file; what follows is for its sys.argv",
    )
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="a .py or .ipynb file, or - for standard input"
    )
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="for sys.argv of the script"
    )


def seconds(text: str) -> float:
    """A number above 0. Raises: ValueError, which argparse reports."""
    value = float(text)
    if not value > 0:
        raise ValueError
    return value


def expected(text: str) -> Expectation:
    """An expectation, or argparse's own error with our words."""
    try:
        return expectation(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--expect: ")) from None


@dataclass
class Script:
    """What runs: its cells, its text, and the name it goes by in tracebacks."""

    path: str
    text: str
    cells: list[Cell]
    arguments: list[str]

    @property
    def is_notebook(self) -> bool:
        """Whether it is a notebook, whose cells have no file."""
        return self.path.endswith(".ipynb")


def run(options: argparse.Namespace) -> int:
    """Run the file and return the exit status; a file that cannot be read is status 2."""
    if options.processes > 1:
        return in_processes(options)
    try:
        script = read(options)
        with contextlib.ExitStack() as stack:
            log: IO[str] | None = None
            if options.log:
                log = stack.enter_context(open(options.log, "w", encoding="utf-8"))
            if options.as_torch:
                os.environ[AS_TORCH] = "1"
            return ScriptRun(script, options, RunLog(log)).run()
    except (OSError, ValueError) as error:
        print(f"flambeau run: {error}", file=sys.stderr)
        return UNUSABLE


def in_processes(options: argparse.Namespace) -> int:
    """Run the same command line in several processes; the exit status of the first that failed."""
    from flambeau.distributed.run import launch_locally

    arguments = list(sys.argv[1:])
    place = next(k for k, word in enumerate(arguments) if word.startswith("--processes"))
    del arguments[place : place + (1 if "=" in arguments[place] else 2)]
    start = "import sys; from flambeau_start import main; sys.exit(main())"
    return launch_locally([sys.executable, "-c", start, *arguments], options.processes)


def read(options: argparse.Namespace) -> Script:
    """The script that the command line names.

    Raises: OSError or ValueError if it cannot be read.
    """
    path, arguments = options.file, options.arguments
    if options.code:
        path = COMMAND
        text, *arguments = options.code
    elif path is None:
        raise ValueError("expected a FILE, - for standard input, or -c CODE. Got none of them.")
    else:
        text = sys.stdin.read() if path == STDIN else Path(path).read_text(encoding="utf-8")
    cells = notebook_cells(text) if path.endswith(".ipynb") else python_cells(text)
    return Script(path, text, cells, arguments)


def reported(kind: str, content: dict[str, Any]) -> None:
    """Print what a command says; its errors are reported without a traceback."""
    if kind != "error":
        show(kind, content)


class ScriptRun:
    """One run: a kernel process, the cells sent to it one by one, its output printed here."""

    def __init__(self, script: Script, options: argparse.Namespace, log: RunLog) -> None:
        self.script, self.options, self.log = script, options, log
        self.manager = manager()
        self.client: Any = None
        self._has_begun = False  # until then there is nothing in the kernel to be put in order
        self.receipts: list[dict[str, Any]] = []
        self.notebook = ExecutedNotebook(
            script.text if script.is_notebook else None, script.cells
        ) if options.output else None  # fmt: skip

    def run(self) -> int:
        """Start, execute, shut down; whatever happens, no process stays."""
        self.log.start(self.script.path, self.script.arguments, len(self.script.cells))
        status, failures = FAILED, []
        try:
            status = self._converse()
            failures = [e.failure(self.receipts) for e in self.options.expect]
            failures = [text for text in failures if text]
            for text in failures:
                print(f"flambeau run: {text}", file=sys.stderr)
            status = UNMET if failures and status == 0 else status
        finally:
            self._close()
            self.log.end(status, failures)
            if self.notebook is not None:
                self.notebook.write(self.options.output)
        return status

    def _converse(self) -> int:
        """The exit status of the cells, one after another."""
        try:
            with held():
                self.manager.start_kernel()
            self.client = self.manager.client()
            self.client.start_channels(stdin=False, hb=False)
            join(self.client, self.manager.is_alive)
            return self._run_cells(
                Conversation(self.client, self.manager.is_alive, self._may_ask())
            )
        except KeyboardInterrupt:
            return INTERRUPTED
        except KernelGoneError:
            print("flambeau run: the kernel died; the rest was not run.", file=sys.stderr)
            return FAILED
        except BrokenPipeError:
            self.manager.shutdown_kernel(now=True)
            # What is left in the buffer would fail once more when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNHEARD

    def _may_ask(self) -> bool:
        return self.script.path != STDIN and sys.stdin is not None

    def _run_cells(self, conversation: Conversation) -> int:
        status = self._command(conversation, "begin", *self._beginning())
        self._has_begun = True
        if self.options.timeout is not None:
            conversation.deadline = time.monotonic() + self.options.timeout
        for k, cell in enumerate(self.script.cells if status is None else []):
            if not self.script.is_notebook:
                self._silently(conversation, f"session.script.place({cell.first_line})")
            status = self._run_cell(conversation, k, cell)
            if status is not None:
                break
        if status in (None, 0, FAILED):
            status = self._command(conversation, "end", self.options.save_session) or status
        return status or 0

    def _beginning(self) -> tuple[Any, ...]:
        options, script = self.options, self.script
        names = None if script.is_notebook else (script.path, script.arguments, script.text)
        watches = any(e.needs_watching for e in options.expect)
        return (names, options.profile, options.trace, options.clip, watches, options.load_session)

    def _command(self, conversation: Conversation, name: str, *arguments: Any) -> int | None:
        """What the session does before and after the cells; a status if it cannot."""
        call = f"session.script.{name}(*{arguments!r})"
        reply = self._silently(conversation, call, reported)
        if reply["content"]["status"] == "ok":
            return None
        print(f"flambeau run: {reply['content'].get('evalue')}", file=sys.stderr)
        return UNUSABLE

    def _silently(
        self, conversation: Conversation, call: str, listener: Listener | None = None
    ) -> dict[str, Any]:
        return conversation.execute(f"get_ipython().{call}", listener, silent=True)

    def _run_cell(self, conversation: Conversation, index: int, cell: Cell) -> int | None:
        """Run a cell; the exit status if the script ends with it."""
        recorder, started, reply = Recorder(), time.monotonic(), None

        def listen(kind: str, content: dict[str, Any]) -> None:
            show(kind, content)
            if self.options.log or self.notebook is not None:
                recorder.hear(kind, content)

        try:
            reply = conversation.execute(cell.source, listen)
        except KeyboardInterrupt:
            return self._stopped(conversation, listen, INTERRUPTED)
        except OutOfTimeError:
            limit = f"{self.options.timeout:g} s"
            print(f"flambeau run: stopped at the time limit of {limit}.", file=sys.stderr)
            return self._stopped(conversation, listen, OUT_OF_TIME)
        finally:
            self.log.cell(index, cell, recorder.outputs, reply, time.monotonic() - started)
            if self.notebook is not None:
                count = None if reply is None else reply["content"].get("execution_count")
                self.notebook.put(index, recorder.outputs, count)
        receipt = receipt_of(reply)
        self.receipts += [] if receipt is None else [receipt]
        status, words = exit_status(reply["content"])
        if words:
            print(words, file=sys.stderr)
        return status

    def _stopped(self, conversation: Conversation, listen: Listener, status: int) -> int:
        """Interrupt the cell and print where it stood."""
        # Asked twice, or gone already: then it is only to be cleared away.
        with contextlib.suppress(KeyboardInterrupt, KernelGoneError, RuntimeError):
            conversation.stop(self.manager.interrupt_kernel, listen)
        return status

    def _close(self) -> None:
        if self.client is not None:
            self.client.stop_channels()
        if self.manager.has_kernel:
            in_order = self._has_begun and self.manager.is_alive()
            self.manager.shutdown_kernel(now=not in_order)
