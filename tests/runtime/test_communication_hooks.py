"""How gradients are brought together otherwise: in half the bytes, as thin matrices, by processes
that have inputs left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.distributed as dist
from flambeau import nn
from flambeau.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from flambeau.nn.parallel import DistributedDataParallel

from .ranks import in_ranks


def gradients(rank: int, name: str) -> Any:
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(9, 8), nn.Linear(8, 3)))
    if name == "wrapped":
        hook: Any = default_hooks.bf16_compress_wrapper(default_hooks.allreduce_hook)
    else:
        hook = getattr(default_hooks, name) if name else None
    if hook is not None:
        model.register_comm_hook(None, hook)
        with pytest.raises(RuntimeError, match="one hook"):
            model.register_comm_hook(None, hook)
    generator = torch.Generator().manual_seed(rank)
    model(torch.randn(6, 9, generator=generator)).square().mean().backward()
    return [p.grad.numpy() for p in model.parameters()]


@pytest.mark.parametrize(
    ("name", "bits"),
    [("allreduce_hook", 22), ("fp16_compress_hook", 9), ("bf16_compress_hook", 6), ("wrapped", 6)],
)
def test_a_hook_averages_to_the_precision_of_what_it_sends(name: str, bits: int) -> None:
    expected = in_ranks(2, gradients, "")[0]
    first, second = in_ranks(2, gradients, name)
    for value, a, b in zip(expected, first, second, strict=True):
        assert np.array_equal(a, b)
        assert np.abs(a - value).max() <= np.abs(value).max() * 2.0**-bits


def low_rank(rank: int) -> Any:
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Linear(40, 30))
    state = powerSGD_hook.PowerSGDState(None, 2, start_powerSGD_iter=2)
    model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    x = torch.randn(64, 40, generator=torch.Generator().manual_seed(rank))
    total = torch.zeros(30, 40)
    for step in range(40):
        model.zero_grad()
        model(x).square().mean().backward()
        grad = model.module.weight.grad
        if step == 0:
            exact, bias = grad.clone(), model.module.bias.grad.clone()
        else:
            total += grad
    ranks = torch.linalg.matrix_rank(grad, rtol=1e-4).item()
    return exact.numpy(), (total / 39).numpy(), ranks, torch.allclose(bias, model.module.bias.grad)


def test_low_rank_gradients_add_up_to_the_exact_ones_by_error_feedback() -> None:
    for exact, mean, rank, same_bias in in_ranks(2, low_rank):
        assert rank == 2
        assert same_bias
        assert np.linalg.norm(mean - exact) < 0.25 * np.linalg.norm(exact)


def uneven(rank: int, by_all: bool) -> Any:
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model.module.weight.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    steps = 2 + 2 * rank
    with model.join(divide_by_initial_world_size=by_all):
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(1, 2) * (rank + 1)).sum().backward()
            optimizer.step()
    dist.barrier()
    return model.module.weight.tolist()


@pytest.mark.parametrize("by_all", [True, False])
def test_a_process_without_inputs_stands_in_until_all_are_done(by_all: bool) -> None:
    # Two steps with the average of 1 and 2, then two with 2 alone, over one or both processes.
    expected = -2 * 1.5 - 2 * (1.0 if by_all else 2.0)
    assert in_ranks(2, uneven, by_all) == [[[expected] * 2]] * 2


def ended_early(rank: int) -> None:
    model = DistributedDataParallel(nn.Linear(2, 1))
    with model.join(throw_on_early_termination=True):
        for _ in range(1 + rank):
            model(torch.ones(1, 2)).sum().backward()


def test_an_early_end_is_an_error_everywhere_if_asked() -> None:
    for error in in_ranks(2, ended_early):
        assert "1 of 2 have none left" in str(error)
