"""The checker on the corpus: no false alarm, and faults found at the right line before the run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from flambeau.kernel.torch_alias import TorchAlias
from flambeau.magics.check import Finding, check_cell

from .corpus import Fault, Series, all_series, execute, fresh_names

SERIES = all_series()
pytestmark = pytest.mark.filterwarnings("ignore")  # they are the cells' own business
CAUGHT = 0.85  # of the faults, at the right line


@pytest.fixture(autouse=True, scope="module")
def _torch() -> Iterator[None]:
    """`import torch` is the runtime, as in a session."""
    alias = TorchAlias(replaces=True)
    loaded = {name for name in sys.modules if name.partition(".")[0] == "torch"}
    sys.meta_path.insert(0, alias)
    yield
    sys.meta_path.remove(alias)
    for name in [n for n in sys.modules if n.partition(".")[0] == "torch" and n not in loaded]:
        del sys.modules[name]


def test_the_corpus_is_as_large_as_it_claims():
    assert sum(len(series.cells) for series in SERIES) >= 200
    assert sum(len(series.faults) for series in SERIES) >= 400


class Effects:
    """What the interpreter's audit hooks tell of effects, while it is asked for."""

    def __init__(self) -> None:
        self.found: list[str] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.found is None:
            return
        reads_source = event == "open" and str(arguments[0]).endswith((".py", ".pyc"))
        if event.partition(".")[0] in EFFECTS and not (
            reads_source and arguments[1] in ("r", "rb")
        ):
            self.found.append(f"{event} {arguments}")


EFFECTS = ("open", "os", "shutil", "socket", "subprocess", "tempfile", "urllib", "ctypes", "signal")


@pytest.fixture(scope="module")
def effects() -> Effects:
    return Effects()


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)
def test_cells_that_work_have_no_findings_and_no_effects_yet(series: Series, effects: Effects):
    names = fresh_names()
    for number, cell in enumerate(series.cells):
        assert [finding.as_text() for finding in check_cell(cell, names)] == []
        effects.found = []  # from here on, as what the checker needs is loaded
        check_cell(cell, names)
        heard, effects.found = effects.found, None
        assert heard == []
        assert execute(cell, number, names) is None


def _is_caught(series: Series, fault: Fault) -> bool:
    """Whether a finding blames the line of `fault`, or the one where it fails, before it runs."""
    names, found = fresh_names(), False
    for number, cell in enumerate(fault.put_into(series.cells)):
        findings: list[Finding] = check_cell(cell, names)
        failed = execute(cell, number, names)
        right = {failed}
        if number == fault.cell:
            right |= {fault.line} | (frozenset() if fault.fails else fault.blamed)
        found |= any(finding.line in right for finding in findings)
        if failed is not None:
            assert fault.fails, f"{series.name}: {fault.text!r} fails at line {failed}"
            return found
    assert not fault.fails, f"{series.name}: {fault.text!r} does not fail"
    return found


def test_faults_are_found_before_they_run():
    missed = [
        f"{series.name}, cell {fault.cell}, line {fault.line}: {fault.text}"
        for series in SERIES
        for fault in series.faults
        if not _is_caught(series, fault)
    ]
    total = sum(len(series.faults) for series in SERIES)
    assert len(missed) <= (1 - CAUGHT) * total, "\n".join(missed)
