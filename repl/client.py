"""Talk to one kernel: every reply finds its request by msg_id, and nobody else sees ZMQ."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flambeau.kernel.launch import connect_stdin

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient

Content = dict[str, Any]
Message = dict[str, Any]

ASIDE_PATIENCE = 10.0  # s for an answer beside the cell; who no longer wants it cancels
IDLE_PATIENCE = 2.0  # s from a reply to the last output; iopub may have dropped the end under load
SUBSHELL_PATIENCE = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # s for each request of a subshell
LATE = 1.0  # s without an answer after which it is asked whether the subshell is stuck
STUCK_PATIENCE = 4.0  # s more until it counts as stuck; the first answer takes as long to load
GREETING_PATIENCE = 0.5  # s until the kernel is asked again to say something on iopub


class KernelDiedError(Exception):
    """The kernel is gone; the text says how."""


class Execution:
    """One cell under way: done when the reply has come and the kernel has said that it is idle."""

    def __init__(self, message_id: str, reply: asyncio.Future[Content]) -> None:
        self.message_id = message_id
        self.has_started = asyncio.Event()
        self._reply = reply
        self._is_idle = asyncio.Event()

    async def finished(self) -> Content:
        """The content of the reply, once all output is here.

        Raises:
            KernelDiedError: the kernel went away before it replied.
        """
        reply = await self._reply
        with contextlib.suppress(TimeoutError):  # the reply says that it is over, too
            await asyncio.wait_for(self._is_idle.wait(), IDLE_PATIENCE)
        return reply

    def note_state(self, state: str) -> None:
        """The kernel says that it is busy with this cell, or idle after it."""
        self.has_started.set()
        if state == "idle":
            self._is_idle.set()


class Client:
    """Requests to a kernel and what it sends by itself.

    `on_output(message)` sees every iopub message but states, `on_question(message)` every
    input_request. Both are called in the event loop.
    """

    def __init__(
        self,
        channels: AsyncKernelClient,
        on_output: Callable[[Message], None],
        on_question: Callable[[Message], None],
    ) -> None:
        self._channels = channels
        self._on_output = on_output
        self._on_question = on_question
        self._replies: dict[str, asyncio.Future[Content]] = {}
        self._listeners: list[asyncio.Task[None]] = []
        self._subshell: str | None = None
        self._opening: asyncio.Task[None] | None = None  # of the subshell
        self._failure: Exception | None = None
        self._greeted = asyncio.Event()
        self.execution: Execution | None = None
        self.info: Content = {}
        self.busy_since: float | None = None  # time.monotonic() when a cell, anyone's, began

    @property
    def session_id(self) -> str:
        """The id by which messages to us are told from those to other clients."""
        return str(self._channels.session.session)

    async def open(self) -> None:
        """Connect, learn what the kernel can do, and hear it on iopub."""
        import zmq  # not before the first prompt

        channels = self._channels
        channels.start_channels(hb=False, stdin=False)
        self._listen(channels.shell_channel, self._take_reply)
        self._listen(channels.control_channel, self._take_reply)
        self._listen(channels.iopub_channel, self._take_iopub)
        await self._greet()
        connect_stdin(channels)
        while not await channels.stdin_channel.socket.poll(100, zmq.POLLOUT):
            pass  # not connected yet
        self._listen(channels.stdin_channel, self._on_question)
        if "kernel subshells" in self.info.get("supported_features", ()):
            self._opening = asyncio.ensure_future(self._open_subshell())

    async def _greet(self) -> None:
        """Ask for the kernel's info until it has answered and its output arrives here.

        Control answers even while a cell runs. A kernel that starts may sleep over the first
        request, and what it publishes before our subscription has arrived is lost.
        """
        patience = GREETING_PATIENCE
        while True:
            try:
                async with asyncio.timeout(patience):
                    self.info = await self.request("kernel_info_request", {}, channel="control")
                    await self._greeted.wait()
                    return
            except TimeoutError:
                patience *= 1.5

    async def _open_subshell(self) -> None:
        """Ask for a thread that answers while a cell runs.

        A kernel that has only just begun can leave the request without an answer, and so can a
        busy machine. Until there is one, completion waits for the cell.
        """
        for patience in SUBSHELL_PATIENCE:
            try:
                async with asyncio.timeout(patience):
                    reply = await self.request("create_subshell_request", {}, channel="control")
            except TimeoutError:
                continue
            except KernelDiedError:
                return
            self._subshell = reply.get("subshell_id")
            return

    async def close(self) -> None:
        """Leave the kernel as it was found."""
        if self._opening is not None:
            self._opening.cancel()
        if self._subshell is not None and not self._channels.shell_channel.socket.closed:
            self._send("control", "delete_subshell_request", {"subshell_id": self._subshell})
        self.fail(KernelDiedError("The connection was closed."))
        for listener in self._listeners:
            listener.cancel()
        self._channels.stop_channels()

    def fail(self, error: Exception) -> None:
        """End every request, under way or to come, with `error`."""
        self._failure = error
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(error)
                reply.exception()  # a request that nobody waits for any more is no fault
        self._replies.clear()
        self.busy_since = None

    async def request(
        self, message_type: str, content: Content, *, channel: str = "shell", **header: str
    ) -> Content:
        """Send a request and wait for the content of its reply."""
        message_id, reply = self._ask(channel, message_type, content, **header)
        try:
            return await reply
        finally:
            self._replies.pop(message_id, None)

    def execute(self, code: str) -> Execution:
        """Run a cell."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": True,
            "stop_on_error": False,  # other clients' queued cells are theirs to stop
        }
        self.execution = Execution(*self._ask("shell", "execute_request", content))
        return self.execution

    async def complete(self, code: str, cursor: int) -> Content | None:
        """The kernel's completions, or None if it cannot answer soon."""
        content = {"code": code, "cursor_pos": cursor}
        return await self._ask_aside("complete_request", content)

    async def inspect(self, code: str, cursor: int, detail: int = 0) -> Content | None:
        """What the kernel knows of the name at `cursor`, or None if it cannot answer soon."""
        content = {"code": code, "cursor_pos": cursor, "detail_level": detail}
        return await self._ask_aside("inspect_request", content)

    async def evaluate(self, expression: str) -> Content | None:
        """The value of `expression` as a MIME bundle, or None if the kernel cannot answer now."""
        asked = {"code": "", "silent": True, "user_expressions": {"value": expression}}
        reply = await self._ask_aside("execute_request", asked)
        return None if reply is None else dict(reply["user_expressions"]["value"])

    async def run_aside(self, code: str) -> Content | None:
        """Run `code` beside the cell under way; its output comes as usual. None if that cannot
        be now."""
        asked = {"code": code, "silent": True, "store_history": False, "allow_stdin": False}
        return await self._ask_aside("execute_request", asked)

    async def question(self, question: str, **arguments: Any) -> Any:
        """The kernel's answer to a question of ours (see kernel.questions); None if there is
        none soon, from a kernel of another kind too."""
        content = {"question": question, **arguments}
        reply = await self._ask_aside("flambeau_request", content)
        return None if reply is None else reply.get("answer")

    async def _ask_aside(self, kind: str, content: Content) -> Content | None:
        """The reply to a request that must not wait for the cell under way."""
        try:
            async with asyncio.timeout(ASIDE_PATIENCE):
                if self._subshell is None and self.busy_since is not None:
                    if self._opening is None:
                        return None
                    await asyncio.wait({self._opening})
                return await self._ask_subshell(kind, content)
        except (TimeoutError, KernelDiedError):
            return None

    async def _ask_subshell(self, kind: str, content: Content) -> Content | None:
        """The reply of the subshell, or of a kernel without one that is idle; None of one that is
        busy or stuck."""
        subshell = self._subshell
        if subshell is None and self.busy_since is not None:
            return None
        header = {} if subshell is None else {"subshell_id": subshell}
        reply = asyncio.ensure_future(self.request(kind, content, **header))
        try:
            await asyncio.wait({reply}, timeout=LATE)
            if subshell is not None and not reply.done():
                checked = self._check_whether_stuck(subshell)
                await asyncio.wait({reply, checked}, return_when=asyncio.FIRST_COMPLETED)
                if not reply.done() and self._subshell != subshell:
                    return None
            return await reply
        finally:
            reply.cancel()

    def _check_whether_stuck(self, subshell: str) -> asyncio.Task[None]:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.ensure_future(self._replace_if_stuck(subshell))
        return self._opening

    async def _replace_if_stuck(self, subshell: str) -> None:
        """Open another subshell if this one answers nothing more: what it was asked may run code
        of the user's that never ends, such as a `__dir__`."""
        request = self.request("is_complete_request", {"code": "1"}, subshell_id=subshell)
        try:
            await asyncio.wait_for(request, STUCK_PATIENCE)
        except TimeoutError:
            self._subshell = None
            await self._open_subshell()
        except KernelDiedError:
            return

    async def count_cells(self) -> int | None:
        """How many cells the kernel has run, or None if it is too busy to say."""
        content = {"code": "", "silent": True, "store_history": False, "allow_stdin": False}
        request = self.request("execute_request", content)
        try:
            reply = await asyncio.wait_for(request, ASIDE_PATIENCE)
        except TimeoutError:
            return None
        return int(reply["execution_count"])

    def answer(self, question: Message, text: str) -> None:
        """Send what the user typed to an input_request."""
        message = self._channels.session.msg("input_reply", {"value": text}, parent=question)
        post(self._channels.stdin_channel, message)

    def _ask(
        self, channel: str, message_type: str, content: Content, **header: str
    ) -> tuple[str, asyncio.Future[Content]]:
        reply: asyncio.Future[Content] = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            raise self._failure
        message_id = self._send(channel, message_type, content, **header)
        self._replies[message_id] = reply
        return message_id, reply

    def _send(self, channel: str, message_type: str, content: Content, **header: str) -> str:
        message = self._channels.session.msg(message_type, content)
        message["header"].update(header)
        post(getattr(self._channels, f"{channel}_channel"), message)
        return str(message["header"]["msg_id"])

    def _listen(self, channel: Any, take: Callable[[Message], None]) -> None:
        async def listen() -> None:
            while True:
                try:
                    message = await channel.get_msg()
                except ValueError:
                    continue  # not signed with our key
                take(message)

        def end(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()):
                self.fail(KernelDiedError(f"The connection failed: {error!r}"))

        task = asyncio.ensure_future(listen())
        task.add_done_callback(end)
        self._listeners.append(task)

    def _take_reply(self, message: Message) -> None:
        reply = self._replies.pop(message["parent_header"].get("msg_id"), None)
        if reply is not None and not reply.done():
            reply.set_result(message["content"])

    def _take_iopub(self, message: Message) -> None:
        self._greeted.set()
        if message["header"]["msg_type"] == "status":
            self._take_state(message["parent_header"], message["content"]["execution_state"])
        else:
            self._on_output(message)

    def _take_state(self, parent: Content, state: str) -> None:
        if parent.get("msg_type") != "execute_request" or parent.get("subshell_id"):
            return  # a completion or a look makes nobody wait
        self.busy_since = time.monotonic() if state == "busy" else None
        if self.execution is not None and parent["msg_id"] == self.execution.message_id:
            self.execution.note_state(state)


def post(channel: Any, message: Message) -> None:
    """Send `message`, and see to it that what arrives meanwhile is received.

    The descriptor by which ZMQ wakes the event loop tells once of a message. Sending takes that
    word, too, and jupyter-client sends behind the back of zmq.asyncio: a reply that has come just
    then, and every one after it, would lie there for ever. So zmq.asyncio is told to look.
    """
    import zmq  # not before the first prompt

    channel.send(message)
    channel.socket.get(zmq.EVENTS)
