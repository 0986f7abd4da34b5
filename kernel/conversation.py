"""Talking to a kernel from a command: a cell goes there, its outputs and its reply come back."""

from __future__ import annotations

import getpass
import queue
import time
from collections.abc import Callable
from typing import Any

from .launch import connect_stdin

POLL = 0.2  # s between two looks at whether the kernel lives
OUTPUT_PRECEDES = 0.03  # s; what was printed before input() comes by a slower road than its request
END_OF_FILE = "\x04"  # ipykernel raises EOFError in input() when it reads this
READY_LOOK = 1.0  # s of them while it is not ready
PATIENCE = 10.0  # s for an interrupted cell to stop

Listener = Callable[[str, dict[str, Any]], None]
"""Hears of each output: the message's type and its content."""


class KernelGoneError(Exception):
    """The kernel's process ended while an answer was awaited."""


class OutOfTimeError(Exception):
    """The deadline passed while a cell ran."""


class Conversation:
    """One client and one kernel, cells one after another.

    `is_alive` tells whether the kernel can still answer. Questions of `input()` are answered from
    our own standard input if `may_ask`.
    """

    def __init__(self, client: Any, is_alive: Callable[[], bool], may_ask: bool) -> None:
        self.client, self.is_alive, self.may_ask = client, is_alive, may_ask
        self.deadline: float | None = None  # of the monotonic clock
        self._heeds_deadline = True
        self._has_begun = False
        self._cell = ""

    def execute(
        self, source: str, listener: Listener | None = None, silent: bool = False
    ) -> dict[str, Any]:
        """Run a cell; its reply, with `content` and `metadata`. One that runs silently is our own,
        which no deadline cuts short.

        Raises: KernelGoneError, or OutOfTimeError at the deadline; the cell then still runs.
        """
        self._heeds_deadline, self._has_begun = not silent, False
        self._cell = self.client.execute(
            source, silent=silent, store_history=not silent, allow_stdin=self.may_ask
        )
        while True:
            if self.may_ask and self._is_asked():
                self._answer()
                continue
            message = self._next_of_cell()
            if message is None:
                continue
            if is_idle(message):
                return self._reply(self._cell)
            if listener is not None:
                listener(message["msg_type"], message["content"])

    def stop(self, interrupt: Callable[[], Any], listener: Listener) -> None:
        """Interrupt the cell, and hear the rest of what it says, as long as it stops soon.

        It is interrupted once, and not before it has begun: the kernel would not heed it.
        """
        self._heeds_deadline = False
        ends, is_told = time.monotonic() + PATIENCE, False
        while time.monotonic() < ends:
            if self._has_begun and not is_told:
                is_told = True
                interrupt()
            message = self._next_of_cell()
            if message is None:
                continue
            if is_idle(message):
                return
            listener(message["msg_type"], message["content"])

    def _next_of_cell(self) -> dict[str, Any] | None:
        """What the cell says next; None if that was nothing for a while."""
        message = self._next(self.client.iopub_channel)
        if message is None or message["parent_header"].get("msg_id") != self._cell:
            return None
        self._has_begun = self._has_begun or message["msg_type"] == "execute_input"
        return message

    def _reply(self, identity: str) -> dict[str, Any]:
        while True:
            message = self._next(self.client.shell_channel)
            if message is not None and message["parent_header"].get("msg_id") == identity:
                return message

    def _next(self, channel: Any) -> dict[str, Any] | None:
        """The channel's next message; None if there was none for a while."""
        late = self.deadline is not None and time.monotonic() > self.deadline
        if late and self._heeds_deadline:
            raise OutOfTimeError
        try:
            message: dict[str, Any] = channel.get_msg(timeout=POLL)
        except queue.Empty:
            if not self.is_alive():
                raise KernelGoneError from None
            return None
        return message

    def _is_asked(self) -> bool:
        """Wait for output or for a question of `input()` or `getpass()`; whether it is a question,
        and all that was printed before it is here."""
        import zmq

        output, questions = self.client.iopub_channel.socket, self.client.stdin_channel.socket
        poller = zmq.Poller()
        for socket in (output, questions):
            poller.register(socket, zmq.POLLIN)
        ready = [socket for socket, _ in poller.poll(int(1000 * POLL))]
        return ready == [questions] and not output.poll(int(1000 * OUTPUT_PRECEDES), zmq.POLLIN)

    def _answer(self) -> None:
        """Answer a question from our own standard input."""
        content = self.client.stdin_channel.get_msg(timeout=POLL)["content"]
        ask = getpass.getpass if content["password"] else input
        try:
            self.client.input(ask(content["prompt"]))
        except EOFError:
            self.client.input(END_OF_FILE)


def join(client: Any, is_alive: Callable[[], bool]) -> None:
    """Wait until the kernel answers and its output arrives here, for what it publishes earlier is
    lost; behind the cells of others, if there are any.

    Raises: KernelGoneError if it ends instead.
    """
    while True:
        try:
            client.wait_for_ready(timeout=READY_LOOK)
            break
        except RuntimeError:
            if not is_alive():
                raise KernelGoneError from None
    import zmq

    connect_stdin(client)
    while not client.stdin_channel.socket.poll(1000 * POLL, zmq.POLLOUT):
        if not is_alive():
            raise KernelGoneError


def is_idle(message: dict[str, Any]) -> bool:
    """Whether a message of the output channel says that its request is done."""
    content: dict[str, Any] = message["content"]
    return bool(message["msg_type"] == "status" and content["execution_state"] == "idle")


def exit_status(reply: dict[str, Any]) -> tuple[int | None, str]:
    """The exit status that this reply's cell ends a script with, None to go on; and words for
    stderr, if it gave some to `sys.exit`."""
    if any(p.get("source") == "ask_exit" for p in reply.get("payload", ())):
        return 0, ""
    if reply["status"] == "ok":
        return None, ""
    if reply.get("ename") != "SystemExit":
        return 1, ""
    value = reply.get("evalue", "")
    if value in ("", "None"):
        return 0, ""
    try:
        return int(value), ""
    except ValueError:
        return 1, value
