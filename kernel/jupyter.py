"""The Jupyter door: ipykernel's kernel with our shell and session. Hooks only."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ipykernel.ipkernel import IPythonKernel
from traitlets import Type

from .shell import FlambeauShell

if TYPE_CHECKING:
    from .session import Session

PROTOCOL = "5.5"
"""ipykernel 7 says 5.3 here, and 5.5 in its kernelspec."""


class FlambeauKernel(IPythonKernel):
    """A Python kernel whose namespace holds the runtime."""

    implementation = "flambeau"
    implementation_version = version("flambeau")
    shell_class = Type(FlambeauShell)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._session: Session | None = None
        self._beginning = threading.Lock()  # subshells may be first
        self.stays = False  # whether it outlives its front end, see parent
        self.last_request = time.monotonic()
        self.shell_handlers["flambeau_request"] = self.flambeau_request
        self._language_server_port: int | None = None
        self.comm_manager.register_target("flambeau.lsp", self._open_language_server)

    @property
    def workbench(self) -> Session:
        """The session, which begins with the first question: a kernel that waits holds no
        runtime."""
        with self._beginning:
            if self._session is None:
                from .session import Session

                self._session = Session(self.shell)
        return self._session

    async def do_execute(self, code: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a cell in the session, which begins with the first."""
        self.workbench  # noqa: B018 - it begins when it is asked for
        reply: dict[str, Any] = await super().do_execute(code, *args, **kwargs)
        return reply

    def _publish_status(self, status: str, channel: str, *parent: Any) -> None:
        """Tell front ends of the state. From when they hear of a request in the main thread, Ctrl-C
        goes to the gate: ipykernel would lose what comes before the handler of the request."""
        in_main = threading.current_thread() is threading.main_thread()
        if (status, channel) == ("busy", "shell") and in_main:
            gate = self.shell.gate
            gate.begin()
            if signal.getsignal(signal.SIGINT) != gate.handle:  # of a request without a handler
                self.saved_sigint_handler = signal.signal(signal.SIGINT, gate.handle)
        super()._publish_status(status, channel, *parent)

    def pre_handler_hook(self) -> None:
        """The handler of a request begins: what is no cell may be interrupted anywhere."""
        if threading.current_thread() is threading.main_thread():
            request = self.get_parent("shell")["header"]["msg_type"]
            self.shell.gate.is_open = request != "execute_request"

    def post_handler_hook(self) -> None:
        """The reply is sent."""
        if threading.current_thread() is threading.main_thread():
            super().post_handler_hook()

    @property
    def kernel_info(self) -> dict[str, Any]:
        """ipykernel's answer with the protocol that its messages follow: subshells are of 5.5."""
        return {**super().kernel_info, "protocol_version": PROTOCOL}

    @property
    def is_running(self) -> bool:
        """Whether a cell is under way."""
        return self._session is not None and self._session.running

    def should_handle(self, stream: Any, msg: Any, idents: Any) -> bool:
        """Note that somebody speaks to us."""
        self.last_request = time.monotonic()
        return bool(super().should_handle(stream, msg, idents))

    def flambeau_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Answer a question of our own front ends, see `questions`; any subshell will do."""
        if parent["content"].get("question") == "stay":
            self.stays = True
        from . import questions  # it needs the runtime

        reply = questions.answer(self.workbench, parent["content"])
        self.session.send(stream, "flambeau_reply", reply, parent, ident=ident)

    def _open_language_server(self, comm: Any, message: dict[str, Any]) -> None:
        """A front end opened the comm `flambeau.lsp`: it hears the port at which our language
        server listens, on a thread of this process."""
        from .lsp.knowledge import SessionKnowledge
        from .lsp.transport import serve_in_thread

        if self._language_server_port is None:
            self._language_server_port = serve_in_thread(SessionKnowledge(self.workbench))
        comm.send({"method": "server_started", "port": self._language_server_port})

    def finish_metadata(
        self, parent: dict[str, Any], metadata: dict[str, Any], reply_content: dict[str, Any]
    ) -> dict[str, Any]:
        """The reply's metadata with the cell's receipt below `flambeau`."""
        metadata = dict(super().finish_metadata(parent, metadata, reply_content))
        receipt = self.workbench.receipt
        if receipt is not None and not parent["content"].get("silent"):
            metadata["flambeau"] = {"receipt": receipt.as_dict()}
        return metadata

    @contextmanager
    def _cancel_on_sigint(self, future: asyncio.Future[Any]) -> Iterator[None]:
        """Ctrl-C cancels an awaiting cell at once, and interrupts the code of one that does not
        await just then.

        ipykernel schedules that from the signal handler in a way that does not wake a loop that
        sleeps; it then waits for the next message.
        """
        loop = asyncio.get_running_loop()

        def cancel(*signal_and_frame: Any) -> None:
            if self.shell.gate.is_open and asyncio.current_task(loop) is future:
                raise KeyboardInterrupt
            self.shell.gate.cancels = True
            loop.call_soon_threadsafe(future.cancel)

        before = signal.signal(signal.SIGINT, cancel)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    async def do_complete(self, code: str, cursor_pos: int | None) -> dict[str, Any]:
        """Completions, with types and details where front ends look for them."""
        found = self.workbench.complete(code, cursor_pos)
        end = len(code) if cursor_pos is None else cursor_pos
        types = [
            {"text": c.text, "start": c.start, "end": c.end, "type": c.type, "signature": c.detail}
            for c in found
        ]
        return {
            "status": "ok",
            "matches": [c.text for c in found],
            "cursor_start": found[0].start if found else end,
            "cursor_end": found[0].end if found else end,
            "metadata": {"_jupyter_types_experimental": types},
        }

    async def do_inspect(
        self,
        code: str,
        cursor_pos: int | None,
        detail_level: int = 0,
        omit_sections: Any = (),
    ) -> dict[str, Any]:
        """What is known of the name at the cursor."""
        data = self.workbench.inspect(code, cursor_pos, detail_level)
        return {"status": "ok", "found": data is not None, "data": data or {}, "metadata": {}}

    async def do_history(self, hist_access_type: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Past cells; IPython calls its own session 0 in a range, by which nobody can ask again."""
        reply: dict[str, Any] = super().do_history(hist_access_type, *args, **kwargs)
        own = self.shell.history_manager.session_number
        reply["history"] = [(own if row[0] == 0 else row[0], *row[1:]) for row in reply["history"]]
        return reply

    @property
    def banner(self) -> str:
        """One line at the start of a front end."""
        return (
            f"Flambeau {self.implementation_version}: torch, nn, F and optim are there. "
            "%graph, %%trace, %%profile, %clip and %free look inside; ? explains."
        )
