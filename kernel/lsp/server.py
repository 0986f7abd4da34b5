"""The language server: requests of the protocol, answered from a `Knowledge`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

import flambeau

from . import python_answers
from .documents import Part, notebook_parts, part
from .knowledge import NOTHING, Knowledge, word_at
from .protocol import AnsweringProtocol

PAUSE = 0.15  # s without a change before a document is checked

SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "information": types.DiagnosticSeverity.Information,
    "hint": types.DiagnosticSeverity.Hint,
}

KINDS = {
    "function": types.CompletionItemKind.Function, "class": types.CompletionItemKind.Class,
    "module": types.CompletionItemKind.Module, "instance": types.CompletionItemKind.Variable,
    "property": types.CompletionItemKind.Property, "keyword": types.CompletionItemKind.Keyword,
    "magic": types.CompletionItemKind.Event, "path": types.CompletionItemKind.File,
    "param": types.CompletionItemKind.Field, "statement": types.CompletionItemKind.Variable,
}  # fmt: skip

NOTEBOOKS = types.NotebookDocumentSyncOptions(
    notebook_selector=[
        types.NotebookDocumentFilterWithCells(
            cells=[types.NotebookCellLanguage(language="python")], notebook="*"
        )
    ]
)


class FlambeauServer(LanguageServer):
    """One connection: its open documents, and the findings last published for each."""

    def __init__(self, knowledge: Knowledge) -> None:
        super().__init__(
            "flambeau",
            flambeau.__version__,
            notebook_document_sync=NOTEBOOKS,
            protocol_cls=AnsweringProtocol,
        )
        self.knowledge = knowledge
        self.findings: dict[str, list[dict[str, Any]]] = {}
        self._checks: dict[str, asyncio.Task[None]] = {}
        _register(self)

    def check_soon(self, uri: str) -> None:
        """Check the document, or all cells of its notebook, after a pause in the typing."""
        waiting = self._checks.pop(uri, None)
        if waiting is not None:
            waiting.cancel()
        self._checks[uri] = asyncio.ensure_future(self._check(uri))

    async def _check(self, uri: str) -> None:
        await asyncio.sleep(PAUSE)
        parts = notebook_parts(self.workspace, uri)
        found = await self.knowledge.check([p.own for p in parts])
        for one, report in zip(parts, found, strict=True):
            self.findings[one.uri] = report["findings"]
            diagnostics = [_diagnostic(one, finding) for finding in report["findings"]]
            self.text_document_publish_diagnostics(
                types.PublishDiagnosticsParams(one.uri, diagnostics)
            )

    def forget(self, uri: str) -> None:
        """The document is closed."""
        waiting = self._checks.pop(uri, None)
        if waiting is not None:
            waiting.cancel()
        if self.findings.pop(uri, None):
            self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))

    async def ask_at(self, question: str, one: Part, position: types.Position) -> Any:
        """The answer to a question about a place; a live session needs no cells before it."""
        cursor = one.cursor(position)
        if self.knowledge.is_live:
            return await self.knowledge.ask(question, source=one.own, cursor=cursor)
        above = len(one.source) - len(one.own)
        return await self.knowledge.ask(question, source=one.source, cursor=above + cursor)

    async def hints(self, one: Part) -> list[tuple[int, dict[str, Any]]]:
        """Hints of the document with their lines in it, from 0."""
        if self.knowledge.is_live:
            (report,) = await self.knowledge.check([one.own])
        else:
            parts = notebook_parts(self.workspace, one.uri)
            reports = await self.knowledge.check([p.own for p in parts])
            pairs = zip(parts, reports, strict=True)
            report = next((r for p, r in pairs if p.uri == one.uri), NOTHING)
        return [(hint["line"] - 1, hint) for hint in report["hints"]]


def _diagnostic(one: Part, finding: dict[str, Any]) -> types.Diagnostic:
    related = [
        types.DiagnosticRelatedInformation(
            types.Location(one.uri, types.Range(*[one.position(line - 1, 0)] * 2)), text
        )
        for line, text in finding.get("related") or ()
    ]
    return types.Diagnostic(
        one.range(finding),
        finding["message"],
        severity=SEVERITIES.get(finding["severity"], types.DiagnosticSeverity.Warning),
        code=finding["code"],
        source="flambeau",
        related_information=related or None,
    )


def _register(server: FlambeauServer) -> None:
    _register_documents(server)
    feature = server.feature

    @feature(types.TEXT_DOCUMENT_HOVER)
    async def hover(ls: FlambeauServer, params: types.HoverParams) -> types.Hover | None:
        one = part(ls.workspace, params.text_document.uri)
        text = await ls.ask_at("hover", one, params.position)
        if not ls.knowledge.is_live:
            text = await _static_hover(ls, one, params.position) or text
        return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text)) if text else None

    @feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=["."]))
    async def complete(ls: FlambeauServer, params: types.CompletionParams) -> types.CompletionList:
        one = part(ls.workspace, params.text_document.uri)
        live = await ls.ask_at("complete", one, params.position) or []
        items = [_live_item(one, found) for found in live]
        if not items:
            line, column = _jedi_place(one, params.position)
            plain = await asyncio.to_thread(python_answers.completions, one.source, line, column)
            items = [_item(found["text"], found["type"], found["detail"]) for found in plain]
        return types.CompletionList(is_incomplete=False, items=items)

    @feature(
        types.TEXT_DOCUMENT_SIGNATURE_HELP,
        types.SignatureHelpOptions(trigger_characters=["(", ","], retrigger_characters=[","]),
    )
    async def signature(
        ls: FlambeauServer, params: types.SignatureHelpParams
    ) -> types.SignatureHelp | None:
        one = part(ls.workspace, params.text_document.uri)
        found = await ls.ask_at("signature", one, params.position)
        return _signature_help(found) if found else None

    @feature(types.TEXT_DOCUMENT_DEFINITION)
    async def definition(
        ls: FlambeauServer, params: types.DefinitionParams
    ) -> list[types.Location]:
        one = part(ls.workspace, params.text_document.uri)
        line, column = _jedi_place(one, params.position)
        found = await asyncio.to_thread(python_answers.definitions, one.source, line, column)
        parts = notebook_parts(ls.workspace, one.uri)
        return [_location(place, parts) for place in found]

    @feature(types.TEXT_DOCUMENT_INLAY_HINT)
    async def inlay(ls: FlambeauServer, params: types.InlayHintParams) -> list[types.InlayHint]:
        one = part(ls.workspace, params.text_document.uri)
        wanted = range(params.range.start.line, params.range.end.line + 1)
        by_line: dict[int, list[str]] = {}
        for line, hint in await ls.hints(one):
            if line in wanted:
                by_line.setdefault(line, []).append(hint["text"])
        return [
            types.InlayHint(
                one.end_of_line(line),
                " ".join(texts),
                kind=types.InlayHintKind.Type,
                padding_left=True,
            )
            for line, texts in sorted(by_line.items())
        ]

    @feature(
        types.TEXT_DOCUMENT_CODE_ACTION,
        types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix]),
    )
    async def fix(ls: FlambeauServer, params: types.CodeActionParams) -> list[types.CodeAction]:
        one = part(ls.workspace, params.text_document.uri)
        return [
            _code_action(one, finding)
            for finding in ls.findings.get(one.uri, ())
            if finding.get("edits") and _overlap(one.range(finding), params.range)
        ]


def _register_documents(server: FlambeauServer) -> None:
    feature = server.feature

    @feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def opened(ls: FlambeauServer, params: types.DidOpenTextDocumentParams) -> None:
        ls.check_soon(params.text_document.uri)

    @feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(ls: FlambeauServer, params: types.DidChangeTextDocumentParams) -> None:
        ls.check_soon(params.text_document.uri)

    @feature(types.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(ls: FlambeauServer, params: types.DidCloseTextDocumentParams) -> None:
        ls.forget(params.text_document.uri)

    @feature(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    async def book_opened(ls: FlambeauServer, params: types.DidOpenNotebookDocumentParams) -> None:
        if params.cell_text_documents:
            ls.check_soon(params.cell_text_documents[0].uri)

    @feature(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    async def book_changed(
        ls: FlambeauServer, params: types.DidChangeNotebookDocumentParams
    ) -> None:
        uri = params.notebook_document.uri
        notebook = ls.workspace.get_notebook_document(notebook_uri=uri)
        if notebook is not None and notebook.cells:
            ls.check_soon(notebook.cells[0].document)

    @feature(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    async def book_closed(ls: FlambeauServer, params: types.DidCloseNotebookDocumentParams) -> None:
        for cell in params.cell_text_documents:
            ls.forget(cell.uri)


async def _static_hover(ls: FlambeauServer, one: Part, position: types.Position) -> str | None:
    """The shape of the name at the position as far as the text tells, else jedi's words."""
    line, column = _jedi_place(one, position)
    shapes = {h["name"]: h["text"] for n, h in await ls.hints(one) if n <= position.line}
    name = word_at(one.own, one.cursor(position))
    if name in shapes:
        return f"```text\n{name}: {shapes[name]}\n```"
    return await asyncio.to_thread(python_answers.documentation, one.source, line, column)


def _jedi_place(one: Part, position: types.Position) -> tuple[int, int]:
    """Line from 1 and column of the position in the whole source."""
    before = one.own[: one.cursor(position)]
    line = before.count("\n")
    return one.first_line + line + 1, len(before) - (before.rfind("\n") + 1)


def _item(label: str, kind: str, detail: str) -> types.CompletionItem:
    return types.CompletionItem(label, kind=KINDS.get(kind), detail=detail or None)


def _live_item(one: Part, found: dict[str, Any]) -> types.CompletionItem:
    text = found["text"]
    item = _item(text.rpartition(".")[2] or text, found["type"], found["detail"])
    lines = one.own[: found["start"]].split("\n"), one.own[: found["end"]].split("\n")
    start, end = (one.position(len(above) - 1, len(above[-1])) for above in lines)
    item.text_edit = types.TextEdit(types.Range(start, end), text)
    item.filter_text = text
    return item


def _signature_help(found: dict[str, Any]) -> types.SignatureHelp:
    parameters = [types.ParameterInformation(p) for p in found["parameters"]]
    label = f"{found['name']}({', '.join(found['parameters'])})"
    one = types.SignatureInformation(label, found["summary"] or None, parameters)
    return types.SignatureHelp([one], 0, found["active"])


def _location(place: python_answers.Place, parts: list[Part]) -> types.Location:
    line = place.line - 1
    if place.path is not None:
        uri, start = Path(place.path).as_uri(), types.Position(line, place.column)
        end = types.Position(line, place.column + place.length)
        return types.Location(uri, types.Range(start, end))
    home = max((p for p in parts if p.first_line <= line), key=lambda p: p.first_line)
    line -= home.first_line
    end_column = place.column + place.length
    ends = home.position(line, place.column), home.position(line, end_column)
    return types.Location(home.uri, types.Range(*ends))


def _code_action(one: Part, finding: dict[str, Any]) -> types.CodeAction:
    edits = [types.TextEdit(one.range(edit), edit["text"]) for edit in finding["edits"]]
    return types.CodeAction(
        finding["fix"] or "Fix",
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[_diagnostic(one, finding)],
        edit=types.WorkspaceEdit(changes={one.uri: edits}),
        is_preferred=True,
    )


def _overlap(a: types.Range, b: types.Range) -> bool:
    return a.start <= b.end and b.start <= a.end
