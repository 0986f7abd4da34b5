"""A world of one process, in which all programs for several run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import flambeau as torch
import flambeau.distributed as dist
from flambeau import nn
from flambeau.nn.parallel import DistributedDataParallel
from flambeau.utils.data import DistributedSampler


@pytest.fixture
def group() -> Iterator[None]:
    dist.init_process_group("gloo")
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_collectives_of_one_process_leave_what_was_sent() -> None:
    x = torch.tensor([1.0, 2.0])
    for op in dist.ReduceOp:
        if not op.name.startswith("B"):  # floats have no bits to combine
            dist.all_reduce(x, op)
    work = dist.broadcast(x, 0, async_op=True)
    assert isinstance(work, dist.Work)
    assert work.wait()
    assert x.tolist() == [1, 2]
    parts = [torch.zeros(2)]
    dist.all_gather(parts, x)
    assert parts[0].tolist() == [1, 2]
    whole = torch.zeros(1, 2)
    dist.all_gather_into_tensor(whole, x)
    assert whole.tolist() == [[1, 2]]
    objects: list[Any] = [None]
    dist.all_gather_object(objects, {"a": 1})
    assert objects == [{"a": 1}]
    dist.barrier()
    assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "gloo")
    with pytest.raises(ValueError, match="a list of one"):
        dist.all_gather([x, x], x)
    with pytest.raises(RuntimeError, match="expected 2 elements"):
        dist.reduce_scatter_tensor(torch.zeros(3), x)


@pytest.mark.usefixtures("group")
def test_a_wrapped_module_trains_as_it_would_alone() -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    wrapped = DistributedDataParallel(model)
    assert list(wrapped.state_dict()) == ["module.weight", "module.bias"]
    x = torch.ones(3, 2)
    with wrapped.no_sync():
        wrapped(x).sum().backward()
    assert model.weight.grad.tolist() == [[3, 3]]
    assert len(DistributedSampler(range(5))) == 5


@pytest.mark.usefixtures("group")
def test_a_spread_optimizer_steps_and_is_saved_as_the_one_it_spreads() -> None:
    from flambeau.distributed.optim import ZeroRedundancyOptimizer

    pairs = []
    for spread in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(2, 1)
        kind: Any = torch.optim.Adam
        opt = (
            ZeroRedundancyOptimizer(model.parameters(), kind, lr=0.1)
            if spread
            else kind(model.parameters(), lr=0.1)
        )
        schedule = torch.optim.lr_scheduler.StepLR(opt, 1, 0.5)
        for _ in range(3):
            opt.zero_grad()
            model(torch.ones(1, 2)).sum().backward()
            opt.step()
            schedule.step()
        pairs.append((model.weight.tolist(), opt.state_dict()["state"][0]["exp_avg"].tolist()))
    assert pairs[0] == pairs[1]


@pytest.mark.usefixtures("group")
def test_collectives_with_gradients_hand_the_tensor_on() -> None:
    x = torch.ones(2, requires_grad=True)
    (parts,) = dist.nn.all_gather(dist.nn.all_reduce(x * 2))
    parts.sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_without_a_group_it_is_asked_for() -> None:
    assert dist.is_available()
    assert not dist.is_initialized()
    for call in (dist.get_rank, dist.barrier, lambda: DistributedDataParallel(nn.Linear(1, 1))):
        with pytest.raises(ValueError, match="has not been initialized"):
            call()


def test_what_is_missing_to_find_the_others_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match="environment variable MASTER_ADDR"):
        dist.init_process_group("nccl")
    with pytest.raises(ValueError, match="rank and world_size"):
        dist.init_process_group(init_method="tcp://localhost:1")
    with pytest.raises(ValueError, match=r"env://, tcp://HOST:PORT or file:///PATH"):
        dist.init_process_group(init_method="pigeon://roof", rank=0, world_size=2)
    with pytest.raises(ValueError, match="from 0 to 1"):
        dist.init_process_group(store=dist.HashStore(), rank=2, world_size=2)
    assert not dist.is_initialized()


@pytest.mark.usefixtures("group")
def test_a_second_group_is_refused() -> None:
    with pytest.raises(ValueError, match="destroy_process_group"):
        dist.init_process_group()
    assert dist.new_group([0]).size() == 1
    with pytest.raises(ValueError, match="different ranks from 0 to 0"):
        dist.new_group([1])
    assert dist.group.WORLD.rank() == 0
