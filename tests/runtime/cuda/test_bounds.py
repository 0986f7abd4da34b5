"""Indices outside of their range are noted by a kernel and told when the GPU is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.backends.cuda import bounds

from .kit import assert_launched
from .shim import HostDriver

WRONG: dict[str, Callable[[Any], Any]] = {
    "embedding": lambda i: F.embedding(i, torch.ones(5, 3, device="cuda")),
    "cross-entropy": lambda i: F.cross_entropy(torch.zeros(len(i), 5, device="cuda"), i),
    "gather": lambda i: torch.zeros(5, device="cuda").gather(0, i),
}


@pytest.mark.parametrize("number", [-1, 5, 7])
@pytest.mark.parametrize("name", WRONG)
def test_they_are_told_at_the_next_wait(host: HostDriver, name: str, number: int) -> None:
    index = torch.tensor([0, 4, number, 2] * 100).cuda()
    WRONG[name](index)
    assert_launched(host, "logits_rows" if name == "cross-entropy" else "take_")
    with pytest.raises(IndexError, match=rf"from 0 to 4\. Got {number}, which the GPU found"):
        torch.cuda.synchronize()
    torch.cuda.synchronize()


def test_values_that_go_to_the_cpu_tell_too(host: HostDriver) -> None:
    index = torch.tensor([0, 9]).cuda()
    for tell in (index.cpu, index.tolist, index.sum().item, lambda: bool(index[0])):
        WRONG["embedding"](index)
        with pytest.raises(IndexError, match=r"embedding.*Got 9"):
            tell()


def test_indices_in_range_ignored_ones_and_none_at_all_pass(host: HostDriver) -> None:
    for name, call in WRONG.items():
        call(torch.tensor([0, 4, 2]).cuda())
        if name != "cross-entropy":
            call(torch.tensor([], dtype=torch.int64).cuda())
    F.cross_entropy(torch.zeros(2, 5, device="cuda"), torch.tensor([1, -100]).cuda())
    torch.cuda.synchronize()


def test_one_is_told_at_once_if_launches_block(host: HostDriver, monkeypatch: Any) -> None:
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    with pytest.raises(IndexError, match=r"embedding.*9"):
        WRONG["embedding"](torch.tensor([0, 9]).cuda())


def test_checks_of_ragged_inputs_do_not_pile_up(host: HostDriver, monkeypatch: Any) -> None:
    monkeypatch.setattr(bounds, "MOST_CHECKS", len(bounds._checks) + 2)
    torch.zeros(3, device="cuda").gather(0, torch.tensor([5]).cuda())
    for n in range(10, 10 + bounds.MOST_CHECKS):
        torch.zeros(n, device="cuda").gather(0, torch.tensor([0]).cuda())
    assert len(bounds._checks) == bounds.MOST_CHECKS
    with pytest.raises(IndexError, match=r"numbers in their range\. Got 5, which the GPU found"):
        torch.cuda.synchronize()
