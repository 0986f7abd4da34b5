"""The GPU's table: every row can be set up and run, here at the sizes of a trial."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch

from .benchmarks.gpu import products, table
from .benchmarks.gpu.case import Place, Row, captured
from .benchmarks.gpu.rows import COPY, ROWS, find
from .runtime.conftest import gpu

__all__ = ["gpu"]  # the fixture

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]


@pytest.mark.parametrize("row", [COPY, *ROWS], ids=lambda row: row.name)
def test_rows_run_eager_or_captured(row: Row) -> None:
    torch.manual_seed(0)
    step = row.work(Place(torch, "cpu" if row.rival == "cpu" else "cuda", tiny=True))
    step = captured(torch, step) if row.captured else step
    for _ in range(2):
        step()
    torch.cuda.synchronize()
    assert find(row.name) is row
    assert row.moved is None or row.moved(Place(torch)) > 1e8


def test_products_by_either_library_are_measured() -> None:
    found = list(products.lines(torch, scale=1024, least=0))
    assert len(found) == 8 * len(products.SHAPES)
    assert torch.backends.cuda.preferred_blas_library() == "default"


class Ready:
    """A side whose steps take so many seconds each."""

    def __init__(self, seconds: float) -> None:
        self.taken = seconds

    def seconds(self, row: Row, least: float = 0.0) -> float:
        return self.taken


def test_a_row_misses_by_its_ratio_or_its_rate() -> None:
    row = find("add, 64M float32")
    assert row.moved is not None
    place: Any = Place(torch)
    rate = row.moved(place) / 1e-3
    for ours, theirs, missed in ((1e-3, 1.1e-3, False), (1e-3, 0.9e-3, True), (2e-3, 3e-3, True)):
        line, is_missed = table._measured(row, Ready(ours), Ready(theirs), rate, place)  # type: ignore[arg-type]
        assert is_missed is missed
        assert line.endswith("MISSED" if missed else "ok")
