"""What compiled functions remember between calls: graphs by how they begin, and vain calls."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.compiler import habits, prefixes, region
from flambeau.core import deferral
from flambeau.core.tensor import Tensor

from .test_compile import leaf


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def test_a_call_like_one_before_notes_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region, "LEAST", 0)
    compiled = torch.compile(lambda x, k: (x * k).exp().sum(-1))
    compiled(leaf(3, 4), 2.0)
    noted = prefixes._noted
    assert noted
    compiled(leaf(3, 4, seed=1), 2.0)
    assert prefixes._noted == noted
    for other in (leaf(3, 5), leaf(3, 4).detach(), leaf(3, 4, dtype=torch.float64)):
        torch.testing.assert_close(compiled(other, 2.0), (other * 2).exp().sum(-1))
        assert prefixes._noted > noted
        noted = prefixes._noted


def test_beginnings_are_forgotten_before_they_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region, "LEAST", 0)
    monkeypatch.setattr(prefixes, "MOST", 20)
    compiled = torch.compile(lambda x: (x * 2 + 1).sin().sum())
    for n in range(1, 30):
        x = torch.ones(n, requires_grad=True)
        compiled(x).backward()
        torch.testing.assert_close(x.grad, 2 * torch.full((n,), 3.0).cos())
        assert prefixes._noted < 40


class Watched(nn.Module):
    """Tells for each call whether operations are asked to wait; its buffer is out of sight."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bool] = []
        self.hidden = torch.ones(1)

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(deferral.state.region is not None)
        return x * 2 + self.hidden.sum() * (self.hidden * 2)[0]


def test_calls_that_gain_nothing_are_made_plainly_soon() -> None:
    watched = Watched()
    compiled = torch.compile(watched)
    for _ in range(habits.ENOUGH + 3):
        compiled(torch.ones(2))
    assert watched.seen == [True] * habits.ENOUGH + [False] * 3
    watched.seen.clear()
    large = torch.ones(region.LEAST)
    for _ in range(habits.ENOUGH + 3):
        assert float(compiled(large)[0]) == 4
    assert watched.seen == [True] * (habits.ENOUGH + 3)
    watched.seen.clear()
    compiled(torch.ones(2))
    assert watched.seen == [False]


def test_products_with_nothing_to_fuse_between_them_gain_nothing() -> None:
    seen: list[bool] = []
    net = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 64))
    net.register_forward_pre_hook(lambda *_: seen.append(deferral.state.region is not None))
    compiled = torch.compile(net)
    x = torch.randn(64, 64)
    outs = [compiled(x) for _ in range(habits.ENOUGH + 1)]
    assert seen == [True] * habits.ENOUGH + [False]
    torch.testing.assert_close(outs[-1], outs[0])


def test_a_trial_finds_sizes_that_changed_out_of_sight() -> None:
    watched = Watched()
    compiled = torch.compile(watched)
    for _ in range(habits.ENOUGH + 1):
        compiled(torch.ones(2))
    watched.hidden = torch.ones(region.LEAST)
    watched.seen.clear()
    for _ in range(habits.PERIOD + 2):
        compiled(torch.ones(2))
    assert watched.seen == [False] * (habits.PERIOD - 2) + [True] * 4


def test_copies_learn_for_themselves() -> None:
    compiled = torch.compile(Watched())
    for _ in range(habits.ENOUGH + 1):
        compiled(torch.ones(2))
    for other in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        other.seen.clear()
        other(torch.ones(2))
        assert other.seen == [True]


def test_a_whole_graph_is_asked_for_in_every_call() -> None:
    seen: list[Any] = []

    @torch.compile(fullgraph=True)
    def function(x: Tensor) -> Tensor:
        seen.append(deferral.state.region is not None)
        return x * 2

    for _ in range(habits.ENOUGH + 2):
        function(torch.ones(2))
    assert all(seen)
