"""tqdm around a DataLoader: it knows the length, and a pass left early leaves nothing."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

import flambeau as torch
from flambeau.utils import data

tqdm = pytest.importorskip("tqdm").tqdm

NUMBERS = data.TensorDataset(torch.arange(10))


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}, {"num_workers": 2, "in_order": False}])
def test_a_bar_knows_how_many_batches_there_are(options: Any) -> None:
    stream = io.StringIO()
    loader = data.DataLoader(NUMBERS, 4, **options)
    for epoch in range(2):
        bar = tqdm(loader, desc=f"epoch {epoch}", file=stream, ascii=True, mininterval=0)
        assert bar.total == len(bar) == 3
        found = []
        for (batch,) in bar:
            found += batch.tolist()
            bar.set_postfix(loss=0.5)
        assert sorted(found) == list(range(10))
    lines = re.split(r"[\r\n]+", stream.getvalue().strip())
    assert re.match(r"epoch 1: 100%\|#+\| 3/3 \[.*it/s.*loss=0.5\]$", lines[-1])


def test_a_bar_counts_on_where_the_length_is_unknown() -> None:
    class Endless(data.IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(range(6))

    stream = io.StringIO()
    bar = tqdm(data.DataLoader(Endless(), 2), file=stream)
    assert bar.total is None
    assert len(list(bar)) == 3
    assert "3it" in stream.getvalue()


def test_leaving_a_bar_early_ends_the_workers() -> None:
    stream = io.StringIO()
    passage = None
    for (batch,) in tqdm(data.DataLoader(NUMBERS, 1, num_workers=1), file=stream):
        passage = batch
        break
    assert passage is not None
    assert "0/10" in stream.getvalue()
