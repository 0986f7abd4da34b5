"""An editor: a client of the protocol, with documents it opens and changes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

PATIENCE = 60.0  # s
URI = "file:///work.py"


class Editor:
    """A client, and the diagnostics it was told of each document."""

    def __init__(self) -> None:
        self.client = LanguageClient("editor", "1")
        self.diagnostics: dict[str, list[types.Diagnostic]] = {}
        self._told = asyncio.Condition()

        @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        async def publish(params: types.PublishDiagnosticsParams) -> None:
            async with self._told:
                self.diagnostics[params.uri] = list(params.diagnostics)
                self._told.notify_all()

    async def initialize(self) -> types.InitializeResult:
        answer = await self.client.initialize_async(
            types.InitializeParams(capabilities=types.ClientCapabilities())
        )
        self.client.initialized(types.InitializedParams())
        return answer

    def open(self, text: str, uri: str = URI) -> None:
        item = types.TextDocumentItem(uri, "python", 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def change(self, text: str, version: int = 2, uri: str = URI) -> None:
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(version, uri),
                [types.TextDocumentContentChangeWholeDocument(text)],
            )
        )

    async def told(
        self, claim: Callable[[list[types.Diagnostic]], bool], uri: str = URI
    ) -> list[types.Diagnostic]:
        """The diagnostics of the document, once the claim holds for them."""
        async with asyncio.timeout(PATIENCE), self._told:
            await self._told.wait_for(
                lambda: uri in self.diagnostics and claim(self.diagnostics[uri])
            )
        return self.diagnostics[uri]

    def at(self, line: int, character: int, uri: str = URI) -> dict[str, Any]:
        return {
            "text_document": types.TextDocumentIdentifier(uri),
            "position": types.Position(line, character),
        }

    async def hover(self, line: int, character: int, uri: str = URI) -> str:
        found = await self.client.text_document_hover_async(
            types.HoverParams(**self.at(line, character, uri))
        )
        return found.contents.value if found else ""

    async def hints(self, uri: str = URI) -> dict[int, str]:
        everything = types.Range(types.Position(0, 0), types.Position(999, 0))
        found = await self.client.text_document_inlay_hint_async(
            types.InlayHintParams(types.TextDocumentIdentifier(uri), everything)
        )
        return {hint.position.line: str(hint.label) for hint in found or ()}


@asynccontextmanager
async def editor_of_streams(*options: str) -> AsyncIterator[Editor]:
    """An editor that started `flambeau lsp` and talks to it over its standard streams."""
    editor = Editor()
    await editor.client.start_io(sys.executable, "-m", "flambeau.repl.cli", "lsp", *options)
    await editor.initialize()
    try:
        yield editor
    finally:
        await editor.client.shutdown_async(None)
        editor.client.exit(None)
        async with asyncio.timeout(PATIENCE):
            await editor.client.stop()


@asynccontextmanager
async def editor_of_port(port: int) -> AsyncIterator[Editor]:
    """An editor that talks to a server which listens on a port."""
    editor = Editor()
    await editor.client.start_tcp("127.0.0.1", port)
    await editor.initialize()
    try:
        yield editor
    finally:
        writer: Any = editor.client.protocol.writer
        writer.close()
        async with asyncio.timeout(PATIENCE):
            await editor.client.stop()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test that is a coroutine."""
    asyncio.run(asyncio.wait_for(work, 3 * PATIENCE))
