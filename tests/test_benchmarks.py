"""The benchmarks' own parts, which PyTorch is not needed for."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

import flambeau
from tests.benchmarks.__main__ import choose
from tests.benchmarks.case import Case, Row
from tests.benchmarks.small import CASES
from tests.benchmarks.tables import TABLES, find
from tests.benchmarks.turns import OthersShare, Times, block
from tests.programs import printed


def test_every_row_is_found_by_its_name() -> None:
    names = Counter(case.name for cases in TABLES.values() for case in cases)
    assert max(names.values()) == 1
    assert all(find(name).name == name for name in names)


def test_words_choose_tables_and_rows() -> None:
    assert list(choose("small", [])) == TABLES["small"]
    assert list(choose("small", ["small"])) == TABLES["small"]
    assert list(choose("products", ["small"])) == []
    assert [case.name for case in choose("sequences", ["gpt"])] == [
        "GPT 6x384, T 256, batch 8, train, AdamW"
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_small_work_runs(case: Case) -> None:
    assert block(case.work(flambeau), 1e-4) > 0


def test_the_ratio_is_the_median_of_the_rounds_not_of_the_sides() -> None:
    times = Times([[1.0, 2.0], [3.0, 1.0], [4.0, 8.0]], 0.0)
    assert times.median(0) == 3.0
    assert times.ratio(1) == 0.5


def test_a_row_tells_a_missed_limit_and_a_busy_machine() -> None:
    row = Row("work", 2.0, 1.0, 2.0, 1.0, others=0.5)
    assert row.missed
    assert str(row).endswith("MISSED (others took 50% of the cores)")


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


@linux
def test_the_share_of_others_leaves_out_this_process() -> None:
    share = OthersShare([os.getpid()])
    sum(range(10**6))
    assert 0 <= share() <= 1


@linux
def test_the_peak_holds_what_the_work_takes() -> None:
    """In a process of its own, which has no freed memory left to take."""
    program = (
        "import flambeau\n"
        "from tests.benchmarks.memory import peak\n"
        "def ready():\n"
        "    data = flambeau.ones(8 << 20)  # 32 MiB\n"
        "    return lambda: data.sum()\n"
        "before, most = peak(ready)\n"
        "assert most - before > 24, (before, most)\n"
    )
    printed(sys.executable, "-c", program, cwd=Path(__file__).parents[1])
