"""The Jupyter door: ipykernel's kernel with our shell and session. Hooks only."""

from __future__ import annotations

import time
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from traitlets import Type

import flambeau

from . import questions
from .session import Session
from .shell import FlambeauShell


class FlambeauKernel(IPythonKernel):
    """A Python kernel whose namespace holds the runtime."""

    implementation = "flambeau"
    implementation_version = flambeau.__version__
    shell_class = Type(FlambeauShell)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workbench = Session(self.shell)
        self.stays = False  # whether it outlives its front end, see parent
        self.last_request = time.monotonic()
        self.shell_handlers["flambeau_request"] = self.flambeau_request
        self._language_server_port: int | None = None
        self.comm_manager.register_target("flambeau.lsp", self._open_language_server)

    @property
    def is_running(self) -> bool:
        """Whether a cell is under way."""
        return self.workbench.running

    def should_handle(self, stream: Any, msg: Any, idents: Any) -> bool:
        """Note that somebody speaks to us."""
        self.last_request = time.monotonic()
        return bool(super().should_handle(stream, msg, idents))

    def flambeau_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Answer a question of our own front ends, see `questions`; any subshell will do."""
        if parent["content"].get("question") == "stay":
            self.stays = True
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

    @property
    def banner(self) -> str:
        """One line at the start of a front end."""
        return (
            f"Flambeau {flambeau.version.release}: torch, nn, F and optim are there. "
            "%graph, %%trace, %%profile, %clip and %free look inside; ? explains."
        )
