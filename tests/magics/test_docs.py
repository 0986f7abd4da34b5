"""The hunts in docs/ go as they are told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.kernel.conftest import LiveKernel

DOCS = Path(__file__).parent.parent.parent / "docs"
TRANSCRIPT = DOCS / "hunts.md"
NOTEBOOK = DOCS / "hunts.ipynb"
MEASURED = ("%profile", "%bench", "%mem")  # cells whose numbers and order are the machine's
NUMBER = r"[-+]?\d[\d.,]*(e[-+]?\d+)?"
PATIENCE = 120  # s


def cells() -> Iterator[tuple[str, str]]:
    """Each cell of the transcript with what it printed."""
    blocks = re.findall(r"^```\n(.*?)^```", TRANSCRIPT.read_text(), flags=re.S | re.M)
    for block in blocks:
        for part in re.split(r"^(?=In \[\d+\]: )", block, flags=re.M)[1:]:
            code, printed = [], []
            for row in part.rstrip().split("\n"):
                prompt = re.match(r"(In \[\d+\]:| +\.\.\.:) ?", row)
                if prompt and not printed:
                    code.append(row[prompt.end() :])
                else:
                    printed.append(row)
            yield "\n".join(code), "\n".join(printed)


def words(text: str, code: str) -> list[str]:
    """The lines without numbers, units, spaces and bars, which differ from run to run; sorted
    where their order does."""
    text = re.sub(r"^File .*?\n\n", "", text, flags=re.S | re.M)  # frames of an installed package
    text = re.sub(r"^Out\[\d+\]: ", "", text)
    rows = []
    for row in text.splitlines():
        row = re.sub(r"[▁-█✗]+", "", row)
        row = re.sub(
            r"[-+]?\d[\d.,]*(e[-+]?\d+)?\s*(µs|ms|ns|s|[kMG]?B)?(?=\s|$|,|\)|:|;)", "#", row
        )
        row = re.sub(r"#% (memory|arithmetic)|\d+% (memory|arithmetic)|\d+%", "#", row)
        row = " ".join(row.split())
        if row and not row.startswith(("Ceilings", "process #", "---")):
            rows.append(row)
    return sorted(rows) if code.startswith(MEASURED) else rows


@pytest.fixture(scope="module")
def kernel() -> Iterator[LiveKernel]:
    found = LiveKernel()
    yield found
    found.close()


def test_the_transcript_is_what_a_session_prints(kernel: LiveKernel) -> None:
    seen = 0
    for code, printed in cells():
        outcome = kernel.run(code, stop_on_error=False)
        found = outcome.stdout + (outcome.traceback if outcome.error else "") + outcome.text
        if code.startswith("%bench"):
            assert "The second is" in found
        elif code.startswith("%profile"):
            assert words(printed, code)[:2] == words(found, code)[:2]
        else:
            assert words(found, code) == words(printed, code), code
        seen += 1
    assert seen > 15


def test_the_notebook_runs_and_has_the_same_cells() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert sources == [code for code, _ in cells()]
    client = NotebookClient(notebook, kernel_name="flambeau", timeout=PATIENCE, allow_errors=True)
    client.execute()
    text = "\n".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    for finding in (
        "sqrt made 1 NaN of 16", "Gradients vanish", "keeps 10 graphs alive", "<svg",
        "distances = torch.stack",
    ):  # fmt: skip
        assert finding in text
