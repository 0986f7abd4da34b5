"""DistributedDataParallel among real processes: what one process alone would compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.distributed as dist
from flambeau import nn
from flambeau.nn import functional as F
from flambeau.nn.parallel import DistributedDataParallel

from .ranks import in_ranks

BATCH, STEPS = 12, 3


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 25, 40), nn.GELU(),
        nn.LayerNorm(40), nn.Linear(40, 3),
    )  # fmt: skip


def batches() -> Any:
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        x = torch.randn(BATCH, 2, 5, 5, generator=generator)
        yield x, torch.randint(3, (BATCH,), generator=generator)


def trained(model: Any, rank: int = 0, count: int = 1, clip: float = 0.0) -> list[Any]:
    """Gradients of each step and parameters at the end."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    found = []
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x[rank::count]), y[rank::count]).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        found += [p.grad.clone().numpy() for p in model.parameters()]
        optimizer.step()
    return [*found, *(p.detach().numpy() for p in model.parameters())]


def in_parallel(rank: int, options: dict[str, Any], clip: float = 0.0) -> list[Any]:
    model = network()
    with torch.no_grad():
        model[0].weight += rank  # is overwritten by that of rank 0
    count = dist.get_world_size()
    return trained(DistributedDataParallel(model, **options), rank, count, clip)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bucket_cap_mb": 0.001},
        {"gradient_as_bucket_view": True, "bucket_cap_mb": 0.01},
        {"find_unused_parameters": True},
        {"static_graph": True},
    ],
    ids=str,
)
def test_two_processes_train_as_one_does(options: dict[str, Any]) -> None:
    alone = trained(network())
    first, second = in_ranks(2, in_parallel, options)
    for expected, a, b in zip(alone, first, second, strict=True):
        assert a.tobytes() == b.tobytes()
        scale = max(1, np.abs(expected).max())
        assert np.abs(a - expected).max() < 3e-7 * scale  # a few roundings of float32


def test_clipping_sees_the_averaged_gradients() -> None:
    alone = trained(network(), clip=0.01)
    for found in in_ranks(3, in_parallel, {}, 0.01):
        for expected, value in zip(alone, found, strict=True):
            assert np.abs(value - expected).max() < 1e-6


def accumulated(rank: int) -> Any:
    model = DistributedDataParallel(nn.Linear(3, 1, bias=False))
    x = torch.eye(3)
    with model.no_sync():
        model(x[0:1] * (rank + 1)).sum().backward()
    assert model.module.weight.grad.tolist() == [[rank + 1, 0, 0]]
    held = model.module.weight.grad
    model(x[1:2] * (rank + 1)).sum().backward()
    assert held is model.module.weight.grad
    return held.tolist()


def test_what_was_accumulated_without_sync_is_averaged_by_the_next_pass() -> None:
    assert in_ranks(2, accumulated) == [[[1.5, 1.5, 0]]] * 2


class Branches(nn.Module):
    """A module of which each process may use another part."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(3))

    def forward(self, x: Any, which: int) -> Any:
        return self.parts[which](x)


def some_unused(rank: int) -> Any:
    model = DistributedDataParallel(Branches(), find_unused_parameters=True)
    found = []
    for step in range(2):
        model.zero_grad()
        model(torch.tensor([[2.0]]), rank if step == 0 else 1).backward()
        found.append([p.grad.item() if p.grad is not None else None for p in model.parameters()])
    return found


def test_unused_parameters_count_as_zero_and_stay_without_gradient_if_nobody_used_them() -> None:
    assert in_ranks(2, some_unused) == [[[1, 1, None], [None, 2, None]]] * 2


def unused_unannounced(rank: int) -> None:
    model = DistributedDataParallel(Branches())
    for _ in range(2):
        model(torch.ones(1, 1), 1).backward()


def test_unused_parameters_that_were_not_announced_are_named() -> None:
    for error in in_ranks(2, unused_unannounced):
        assert "no gradient for parts.0.weight, parts.2.weight. Pass find_unused" in str(error)


def different(rank: int) -> None:
    DistributedDataParallel(nn.Linear(2, 2 + rank))


def test_different_modules_are_refused_with_the_first_difference() -> None:
    for error in in_ranks(2, different):
        assert "weight float32 (2, 2) at rank 0 and weight float32 (3, 2) at rank 1" in str(error)


def twice(rank: int) -> None:
    model = DistributedDataParallel(nn.Linear(2, 2))
    loss = model(torch.ones(1, 2)).sum()
    loss.backward(retain_graph=True)
    before = model.module.weight.grad.tolist()
    loss.backward()  # not averaged again: what it adds is this process's own
    assert model.module.weight.grad.tolist() == [[2 * g for g in row] for row in before]


def test_a_second_pass_adds_to_the_averaged_gradients() -> None:
    assert in_ranks(2, twice) == [None] * 2


def buffers(rank: int) -> Any:
    model = DistributedDataParallel(nn.BatchNorm1d(2, affine=True))
    torch.manual_seed(rank)
    model(torch.randn(8, 2)).sum().backward()
    own = model.module.running_mean.tolist()
    model(torch.zeros(8, 2))  # where they become those of rank 0, and follow the zeros
    return own, (model.module.running_mean / 0.9).tolist()


def test_buffers_become_those_of_rank_0_before_each_pass() -> None:
    (first, after), (second, after_too) = in_ranks(2, buffers)
    assert first != second
    assert after == after_too == pytest.approx(first, rel=1e-6)


def early(rank: int) -> Any:
    model = nn.Sequential(*[nn.Linear(8, 8) for _ in range(6)])
    wrapped = DistributedDataParallel(model, bucket_cap_mb=1e-6)
    seen: list[int] = []
    for k, layer in enumerate(model):
        layer.weight.register_hook(lambda g, k=k: seen.append(k))
    sent = []
    original = type(wrapped.reducer)._send
    type(wrapped.reducer)._send = lambda self, index: (  # type: ignore[method-assign]
        sent.append(len(seen)), original(self, index)
    )[1]  # fmt: skip
    try:
        for _ in range(2):
            sent.clear()
            seen.clear()
            wrapped(torch.ones(2, 8)).sum().backward()
    finally:
        type(wrapped.reducer)._send = original  # type: ignore[method-assign]
    return seen, sent


def test_buckets_go_out_while_the_backward_pass_goes_on() -> None:
    for seen, sent in in_ranks(2, early):
        assert seen == [5, 4, 3, 2, 1, 0]
        assert sent[0] <= 1
        assert sent == sorted(sent)
        assert sent[len(sent) // 2] < 5


def scaled(rank: int) -> Any:
    model = DistributedDataParallel(nn.Linear(2, 1, bias=False))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    before = model.module.weight.detach().clone()
    x = torch.tensor([[1.0, torch.inf if rank == 1 else 1.0]])
    scaler.scale(model(x).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    return torch.equal(before, model.module.weight.detach()), scaler.get_scale()


def test_an_overflow_of_one_process_leaves_the_step_out_in_all() -> None:
    assert in_ranks(2, scaled) == [(True, 512)] * 2


def lost_in_backward(rank: int) -> None:
    import os

    model = DistributedDataParallel(network())
    for step, (x, y) in enumerate(batches()):
        loss = F.cross_entropy(model(x), y)
        if rank == 1 and step == 1:
            os._exit(9)
        loss.backward()


def test_a_process_lost_during_training_fails_the_others_by_its_rank() -> None:
    first, second = in_ranks(2, lost_in_backward)
    assert second == 9
    assert "rank 1 ended without leaving the group" in str(first)


def normalized(model: Any, rank: int = 0, count: int = 1) -> list[Any]:
    found = []
    for x, _ in batches():
        x = x[rank::count].requires_grad_()
        model.zero_grad()
        (model(x) ** 3).sum().backward()
        found.append(x.grad.numpy())
    return [*found, *(b.float().numpy() for b in model.buffers())]


def synced(rank: int) -> Any:
    torch.manual_seed(0)
    model = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm2d(2)))
    found = normalized(model, rank, 2)
    grads = [p.grad.clone() for p in model.parameters()]
    for g in grads:
        dist.all_reduce(g)
    model.eval()
    model(torch.ones(1, 2, 2, 2))  # asks nobody
    return found, [g.numpy() for g in grads]


def test_synchronized_normalization_sees_the_batches_of_all() -> None:
    model = nn.Sequential(nn.BatchNorm2d(2))
    alone = normalized(model)
    expected = [p.grad.numpy() for p in model.parameters()]
    results = in_ranks(2, synced)
    for rank, (found, grads) in enumerate(results):
        for value, whole in zip(found[:STEPS], alone[:STEPS], strict=True):
            assert np.abs(value - whole[rank::2]).max() < 2e-5
        for value, whole in zip(found[STEPS:], alone[STEPS:], strict=True):
            assert np.abs(value - whole).max() < 1e-6
        for value, whole in zip(grads, expected, strict=True):
            assert np.abs(value - whole).max() < 1e-4 * np.abs(whole).max()


def spread_out(rank: int) -> Any:
    from flambeau.distributed.optim import ZeroRedundancyOptimizer

    model = DistributedDataParallel(network())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x[rank::2]), y[rank::2]).backward()
        optimizer.step()
        schedule.step()
    kept = sum(s["exp_avg"].numel() for s in optimizer.optim.state.values())
    with pytest.raises(RuntimeError, match="consolidate_state_dict"):
        optimizer.state_dict()
    optimizer.consolidate_state_dict(to=1)
    whole = optimizer.state_dict() if rank == 1 else None
    shared = [whole]
    dist.broadcast_object_list(shared, 1)
    optimizer.load_state_dict(shared[0])
    assert kept == sum(s["exp_avg"].numel() for s in optimizer.optim.state.values())
    return kept, [p.detach().numpy() for p in model.parameters()], shared[0]


def test_a_spread_optimizer_steps_as_a_whole_one_with_half_the_state() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        schedule.step()
    expected = optimizer.state_dict()
    (kept, first, state), (kept_too, second, _) = in_ranks(2, spread_out)
    assert kept + kept_too == sum(p.numel() for p in model.parameters())
    assert kept_too > 0
    for a, b, p in zip(first, second, model.parameters(), strict=True):
        assert np.array_equal(a, b)
        assert np.abs(a - p.detach().numpy()).max() < 1e-4
    assert list(state["state"]) == list(expected["state"])
    assert state["param_groups"][0]["lr"] == expected["param_groups"][0]["lr"]
