"""`flambeau lsp` alone on files, driven by a client of the protocol."""

from __future__ import annotations

from lsprotocol import types

from .conftest import URI, editor_of_streams, run

MODEL = """\
import torch
from torch import nn

lin = nn.Linear(100, 10)
x = torch.randn(32, 128)
'δ𝛿'; y = lin(x)
"""


def test_faults_come_before_the_run_with_their_place_in_utf16() -> None:
    async def work() -> None:
        async with editor_of_streams() as editor:
            editor.open(MODEL)
            found = await editor.told(bool)
            (fault,) = [f for f in found if f.range.start.line == 5]
            assert "expected input with 100 features" in fault.message
            assert fault.severity == types.DiagnosticSeverity.Error
            start = "'δ𝛿'; y = ".encode("utf-16-le")
            assert (fault.range.start.line, fault.range.start.character) == (5, len(start) // 2)
            editor.change(MODEL.replace("100, 10", "128, 10"))
            await editor.told(lambda found: not found)

    run(work())


def test_shapes_stand_at_the_ends_of_lines_and_in_hovers() -> None:
    async def work() -> None:
        async with editor_of_streams() as editor:
            editor.open(MODEL.replace("100, 10", "128, 10"))
            hints = await editor.hints()
            assert hints[4] == "(32, 128) float32"
            assert hints[5] == "(32, 10) float32"
            assert "x: (32, 128) float32" in await editor.hover(5, 15)
            assert "Linear" in await editor.hover(3, 10)

    run(work())


def test_completion_signature_and_definition_know_the_text() -> None:
    async def work() -> None:
        async with editor_of_streams() as editor:
            editor.open("import torch\ndef spread(low, high): 'How wide.'\nspread(1, \nspr")
            found = await editor.client.text_document_completion_async(
                types.CompletionParams(**editor.at(3, 3))
            )
            assert isinstance(found, types.CompletionList)
            assert "spread" in [item.label for item in found.items]
            editor.change("import torch\ntorch.nn.Linear(3, ")
            help_ = await editor.client.text_document_signature_help_async(
                types.SignatureHelpParams(**editor.at(1, 19))
            )
            assert help_ is not None
            assert help_.active_parameter == 1
            assert help_.signatures[0].label.startswith("Linear(in_features, out_features")
            editor.change("def spread(): pass\n\nspread()", 3)
            places = await editor.client.text_document_definition_async(
                types.DefinitionParams(**editor.at(2, 2))
            )
            assert isinstance(places, list)
            assert [(p.uri, p.range.start.line, p.range.start.character) for p in places] == [  # type: ignore[union-attr]
                (URI, 0, 4)
            ]

    run(work())


def test_a_fix_is_offered_and_mends_the_line() -> None:
    async def work() -> None:
        async with editor_of_streams() as editor:
            editor.open(MODEL)
            found = await editor.told(bool)
            (fault,) = [f for f in found if f.range.start.line == 3]
            (action,) = await editor.client.text_document_code_action_async(  # type: ignore[misc]
                types.CodeActionParams(
                    types.TextDocumentIdentifier(URI),
                    fault.range,
                    types.CodeActionContext([fault]),
                )
            )
            assert isinstance(action, types.CodeAction)
            assert action.edit is not None
            assert action.edit.changes is not None
            (edit,) = action.edit.changes[URI]
            row = MODEL.split("\n")[edit.range.start.line]
            before, after = row[: edit.range.start.character], row[edit.range.end.character :]
            assert before + edit.new_text + after == "lin = nn.Linear(128, 10)"

    run(work())


def test_cells_of_a_notebook_know_those_before_them() -> None:
    async def work() -> None:
        async with editor_of_streams() as editor:
            texts = [
                "import torch\nlin = torch.nn.Linear(3, 4)",
                "%matplotlib inline\nlin(torch.ones(2, 5))",
            ]
            uris = [f"notebook-cell:/book.ipynb#{k}" for k in range(2)]
            editor.client.notebook_document_did_open(
                types.DidOpenNotebookDocumentParams(
                    types.NotebookDocument(
                        "file:///book.ipynb",
                        "jupyter-notebook",
                        1,
                        [types.NotebookCell(types.NotebookCellKind.Code, u) for u in uris],
                    ),
                    [
                        types.TextDocumentItem(u, "python", 1, t)
                        for u, t in zip(uris, texts, strict=True)
                    ],
                )
            )
            found = await editor.told(bool, uris[1])
            assert found[0].range.start.line == 1
            assert "3 features" in found[0].message
            assert [f.range.start.line for f in editor.diagnostics[uris[0]]] == [1]  # the layer

    run(work())
