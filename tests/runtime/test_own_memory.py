"""Results that PyTorch gives memory of their own have it, also where nothing had to move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import flambeau as torch

COPIES: dict[str, Callable[[Any], Any]] = {
    "flip of nothing": lambda x: x.flip([]),
    "flip of a one": lambda x: x[:1].flip(0),
    "repeat once": lambda x: x.repeat(1, 1),
    "repeat of a one": lambda x: x[:1, :1].repeat(3, 2),
    "tile once": lambda x: x.tile([1]),
    "repeat_interleave once": lambda x: x.repeat_interleave(1, 0),
    "repeat_interleave of a one": lambda x: x[:1].repeat_interleave(3, 0),
    "no differences": lambda x: x.diff(n=0),
}


@pytest.mark.parametrize("name", COPIES)
def test_writing_to_a_copy_leaves_its_source_alone(name: str) -> None:
    x = torch.arange(6.0).reshape(2, 3)
    COPIES[name](x).add_(10)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_chunks_of_nothing_are_as_many_as_asked_for() -> None:
    x = torch.zeros(0, 2)
    assert [tuple(c.shape) for c in x.chunk(3)] == [(0, 2)] * 3
    assert [tuple(c.shape) for c in x.split(0)] == [(0, 2)]
    with pytest.raises(RuntimeError):
        torch.zeros(1).split(0)
