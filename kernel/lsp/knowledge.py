"""Where answers come from. All sources take the questions of `kernel.questions`."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from flambeau.magics.check import examine

from .. import questions
from ..session import Session, starting_names
from ..signature import signature_at, summary_at

PATIENCE = 20.0  # s for a kernel elsewhere to answer; a busy machine may be slow
SILENCE_PATIENCE = 2.0  # s for one that has left the last question without an answer

NOTHING: dict[str, Any] = {"findings": (), "hints": ()}
"""What is said of a cell when no kernel answers."""


class Knowledge(Protocol):
    """Answers questions; None where there is no answer."""

    is_live: bool  # whether names have values, so that a cell needs none of those before it

    async def ask(self, question: str, **arguments: Any) -> Any:
        """The answer to a question of `kernel.questions`."""

    async def check(self, cells: Sequence[str]) -> list[dict[str, Any]]:
        """The report on each cell of a document: its `findings` and `hints`."""


class FileKnowledge:
    """Knows the runtime and what the text itself says: for files without a session."""

    is_live = False

    def __init__(self) -> None:
        self._names = starting_names()
        self._last: tuple[tuple[str, ...], list[dict[str, Any]]] = ((), [])
        self._checking = threading.Lock()  # two questions about a document are one run

    async def ask(self, question: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(self._answer, question, arguments)

    async def check(self, cells: Sequence[str]) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._check, tuple(cells))

    def _check(self, cells: tuple[str, ...]) -> list[dict[str, Any]]:
        with self._checking:
            if self._last[0] != cells:
                self._last = cells, [asdict(r) for r in examine(list(cells), self._names)]
            return self._last[1]

    def _answer(self, question: str, given: dict[str, Any]) -> Any:
        source, cursor = given["source"], given.get("cursor", 0)
        match question:
            case "signature":
                found = signature_at(self._names, source, cursor)
                return None if found is None else asdict(found)
            case "hover":
                return summary_at(self._names, source, cursor + len(rest_of_word(source, cursor)))
        return None


class SessionKnowledge:
    """Knows the session of this process."""

    is_live = True

    def __init__(self, session: Session) -> None:
        self._session = session

    async def ask(self, question: str, **arguments: Any) -> Any:
        content = {"question": question, **arguments}
        reply = await asyncio.to_thread(questions.answer, self._session, content)
        return reply.get("answer")

    async def check(self, cells: Sequence[str]) -> list[dict[str, Any]]:
        return [await self.ask("check", source=cell) or NOTHING for cell in cells]


class KernelKnowledge:
    """Knows what a kernel in another process knows; asked through a subshell, while it runs cells.

    Questions go one at a time: each is short, and the newest one of a kind makes the others stale.
    """

    is_live = True

    def __init__(self, connection_file: str) -> None:
        from jupyter_client.asynchronous.client import AsyncKernelClient

        self._client: Any = AsyncKernelClient(connection_file=connection_file)
        self._client.load_connection_file()
        self._subshell: str | None = None
        self._lock = asyncio.Lock()
        self._is_open = False
        self._is_silent = False

    async def ask(self, question: str, **arguments: Any) -> Any:
        content = {"question": question, **arguments}
        async with self._lock:
            try:
                async with asyncio.timeout(SILENCE_PATIENCE if self._is_silent else PATIENCE):
                    if not self._is_open:
                        await self._open()
                    header = {"subshell_id": self._subshell} if self._subshell else {}
                    reply = await self._request("shell", "flambeau_request", content, header)
            except TimeoutError:
                self._is_silent = True
                return None
            self._is_silent = False
            return reply.get("answer")

    async def check(self, cells: Sequence[str]) -> list[dict[str, Any]]:
        return [await self.ask("check", source=cell) or NOTHING for cell in cells]

    async def close(self) -> None:
        """Leave the kernel as it was found."""
        if self._subshell is not None:
            content = {"subshell_id": self._subshell}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SILENCE_PATIENCE):
                    await self._request("control", "delete_subshell_request", content, {})
        self._client.stop_channels()

    async def _open(self) -> None:
        self._client.start_channels(iopub=False, stdin=False, hb=False)
        reply = await self._request("control", "create_subshell_request", {}, {})
        self._subshell = reply.get("subshell_id")
        self._is_open = True

    async def _request(
        self, channel: str, kind: str, content: dict[str, Any], header: dict[str, str]
    ) -> dict[str, Any]:
        message = self._client.session.msg(kind, content)
        message["header"].update(header)
        stream = getattr(self._client, f"{channel}_channel")
        stream.send(message)
        while True:  # replies that came too late for their questions are passed over
            reply = await stream.get_msg()
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                found: dict[str, Any] = reply["content"]
                return found


def word_at(source: str, cursor: int) -> str:
    """The name that the cursor is in, or behind."""
    begun = re.search(r"\w*\Z", source[:cursor])
    return (begun.group() if begun else "") + rest_of_word(source, cursor)


def rest_of_word(source: str, cursor: int) -> str:
    """What follows the cursor of the name that it is in."""
    rest = re.compile(r"\w*").match(source, cursor)
    return rest.group() if rest else ""
