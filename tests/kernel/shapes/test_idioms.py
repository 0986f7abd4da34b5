"""The checker follows Python's idioms: each ends with a tensor `t` of which it knows the shape."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flambeau.magics.check import check_cell

from .corpus import execute, fresh_names
from .test_corpus import _torch  # noqa: F401 - a fixture

TEXT = Path(__file__).with_name("idioms.txt").read_text(encoding="utf-8")
IDIOMS = dict(part.split("\n", 1) for part in re.split(r"^=== ", TEXT, flags=re.M)[1:])
MISUSE = "wrong = nn.Linear(3, 4)(t)"  # which is (2, 5)


@pytest.mark.filterwarnings("ignore")  # they are the cells' own business
@pytest.mark.parametrize("name", IDIOMS)
def test_the_shape_that_an_idiom_makes_is_known(name: str):
    names = fresh_names()
    cell = f"{IDIOMS[name].rstrip()}\n{MISUSE}"
    last = cell.count("\n") + 1
    assert {finding.line for finding in check_cell(cell, names)} == {last}
    assert execute(cell, 0, names) == last
