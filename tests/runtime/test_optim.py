"""Optimizers and schedules: recorded trajectories, state, groups, hooks."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.optim import lr_scheduler, optimizer

from .recorded import optimizers as recorded

RECORDED = json.loads(recorded.RECORD.read_text())


@pytest.mark.parametrize("name", recorded.OPTIMIZERS)
def test_twenty_steps_end_where_recorded(name: str) -> None:
    found = recorded.trajectory(torch, *recorded.OPTIMIZERS[name])
    np.testing.assert_allclose(found, RECORDED["optimizers"][name], rtol=1e-11)


@pytest.mark.parametrize("name", recorded.SCHEDULES)
def test_learning_rates_are_as_recorded(name: str) -> None:
    found = recorded.rates(torch, *recorded.SCHEDULES[name])
    np.testing.assert_allclose(found, RECORDED["schedules"][name], rtol=1e-12)


def test_a_whole_training_prints_the_losses_recorded() -> None:
    # float32 rounding differs from the first product on and grows from step to step.
    np.testing.assert_allclose(recorded.training(torch), RECORDED["training"], rtol=2e-4)


def test_an_optimizer_prints_its_groups() -> None:
    assert repr(torch.optim.Adam([torch.ones(1, requires_grad=True)])) == RECORDED["repr"]


def stepped(optimizer: Any, net: Any, times: int) -> None:
    for k in range(times):
        optimizer.zero_grad()
        net(torch.full((2, 3), float(k))).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {"lr": 0.01, "momentum": 0.9}), ("Adam", {"amsgrad": True}), ("AdamW", {})],
)
def test_training_goes_on_from_a_saved_state(name: str, options: Any) -> None:
    net = nn.Linear(3, 2)
    first = getattr(torch.optim, name)(net.parameters(), **options)
    stepped(first, net, 3)
    twin = copy.deepcopy(net)
    second = getattr(torch.optim, name)(twin.parameters(), **options)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    stepped(first, net, 3)
    stepped(second, twin, 3)
    assert torch.equal(net.weight, twin.weight)


def test_groups_have_options_of_their_own() -> None:
    a, b = (torch.ones(1, requires_grad=True) for _ in range(2))
    sgd = torch.optim.SGD([{"params": [a]}, {"params": [b], "lr": 1.0}], lr=0.1)
    (a + b).sum().backward()
    sgd.step()
    assert (a.item(), b.item()) == pytest.approx((0.9, 0.0))
    sgd.add_param_group({"params": torch.ones(1, requires_grad=True)})
    assert [g["lr"] for g in sgd.param_groups] == [0.1, 1.0, 0.1]


def test_a_closure_is_run_with_gradients_and_its_loss_returned() -> None:
    p = torch.ones(1, requires_grad=True)
    sgd = torch.optim.SGD([p], lr=0.1)

    def closure() -> Any:
        loss = (p * p).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert sgd.step(closure).item() == 1.0
    assert p.item() == pytest.approx(0.8)


def test_hooks_run_around_the_steps_of_one_and_of_all_optimizers() -> None:
    seen: list[str] = []
    p = torch.ones(1, requires_grad=True)
    sgd = torch.optim.SGD([p], lr=0.1)
    handles = [
        sgd.register_step_pre_hook(lambda *_: seen.append("before")),
        sgd.register_step_post_hook(lambda *_: seen.append("after")),
        optimizer.register_optimizer_step_pre_hook(lambda *_: seen.append("before all")),
        optimizer.register_optimizer_step_post_hook(lambda *_: seen.append("after all")),
    ]
    sgd.step()
    for handle in handles:
        handle.remove()
    sgd.step()
    assert seen == ["before all", "before", "after", "after all"]


def test_zero_grad_drops_gradients_or_zeroes_them() -> None:
    p = torch.ones(1, requires_grad=True)
    sgd = torch.optim.SGD([p], lr=0.1)
    p.sum().backward()
    sgd.zero_grad(set_to_none=False)
    assert p.grad is not None
    assert p.grad.item() == 0.0
    sgd.zero_grad()
    assert p.grad is None


def test_a_step_counts_as_a_write_to_what_was_saved() -> None:
    p = torch.ones(2, requires_grad=True)
    loss = (p * p).sum()
    p.grad = torch.ones(2)
    torch.optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p: torch.optim.SGD([], lr=0.1), ValueError, "at least one parameter"),
        (lambda p: torch.optim.SGD(p, lr=0.1), TypeError, "Got one tensor"),
        (lambda p: torch.optim.SGD([p * 2], lr=0.1), ValueError, "leaf"),
        (lambda p: torch.optim.SGD([p, p], lr=0.1), ValueError, "in two"),
        (lambda p: torch.optim.SGD([p], lr=-1.0), ValueError, "lr not below 0"),
        (lambda p: torch.optim.Adam([p], betas=(0.9, 1.0)), ValueError, "betas from 0 to below 1"),
        (lambda p: torch.optim.SGD([p], lr=1.0, nesterov=True), ValueError, "nesterov"),
        (lambda p: torch.optim.SGD([3.0], lr=1.0), TypeError, "Got float"),
    ],
)
def test_options_that_make_no_sense_are_named(make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make(torch.ones(1, requires_grad=True))


def test_schedules_save_and_load() -> None:
    def make() -> Any:
        return lr_scheduler.StepLR(
            torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1), step_size=2
        )

    first, second = make(), make()
    for _ in range(3):
        first.optimizer.step()
        first.step()
    second.load_state_dict(first.state_dict())
    assert second.get_last_lr() == first.get_last_lr()
    assert second.last_epoch == 3
