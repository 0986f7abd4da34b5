"""Processes: functions run in several, and tensors that forked ones share."""

from __future__ import annotations

import os
import pickle
from typing import Any

import pytest

import flambeau as torch
import flambeau.multiprocessing as mp
from flambeau import nn

from ..programs import PATIENCE


def write(index: int, shared: Any) -> None:
    shared[index] = index + 1.0


def fail(index: int) -> None:
    raise ValueError(f"no {index}")


def die(index: int) -> None:
    os._exit(7)


def train(model: Any) -> None:
    with torch.no_grad():
        for p in model.parameters():
            p += 1


def test_forked_processes_write_to_shared_memory() -> None:
    whole = torch.zeros(2, 3)
    row = whole[1]
    assert not whole.is_shared()
    row.share_memory_()
    assert whole.is_shared()
    assert row.is_shared()
    mp.start_processes(write, (row,), nprocs=3, start_method="fork")
    assert whole.tolist() == [[0, 0, 0], [1, 2, 3]]


def test_a_shared_module_is_trained_by_another_process() -> None:
    model = nn.Linear(2, 1)
    before = [p.detach().clone() for p in model.parameters()]
    model.share_memory()
    process = mp.get_context("fork").Process(target=train, args=(model,))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    for old, new in zip(before, model.parameters(), strict=True):
        assert torch.equal(new.detach(), old + 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64, torch.bool])
def test_sharing_keeps_values_layout_and_views(dtype: Any) -> None:
    x = torch.arange(6).view(2, 3).to(dtype).t()
    view = x[1:]
    expected = x.tolist()
    x.share_memory_()
    assert x.tolist() == expected
    assert x.stride() == (1, 3)
    x[1, 0] = 0
    assert view[0, 0].item() == 0
    torch.zeros(0).share_memory_()
    with pytest.raises(RuntimeError, match="dense tensor on cpu"):
        torch.zeros(1, device="meta").share_memory_()


def test_failures_are_told_with_their_traceback() -> None:
    with pytest.raises(mp.ProcessRaisedException, match="no 0") as caught:
        mp.start_processes(fail, nprocs=1, start_method="fork")
    assert "test_multiprocessing.py" in str(caught.value)
    with pytest.raises(mp.ProcessExitedException, match="exit code 7"):
        mp.start_processes(die, nprocs=1, start_method="fork")


def test_strategies_are_names() -> None:
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()
    mp.set_sharing_strategy("file_system")
    mp.set_sharing_strategy("file_descriptor")
    with pytest.raises(ValueError, match="file_descriptor"):
        mp.set_sharing_strategy("carrier_pigeon")


@pytest.mark.parametrize("name", ["zeros", "ones_like", "empty", "rand", "randn_like", "matmul"])
def test_functions_can_be_sent_by_their_name(name: str) -> None:
    function = getattr(torch, name)
    assert pickle.loads(pickle.dumps(function)) is function
    assert repr(function).startswith(f"<function {name} ")
