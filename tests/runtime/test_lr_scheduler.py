"""Schedules of the learning rate: recorded rates and momenta, states, warnings, options."""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.optim import lr_scheduler as schedulers
from flambeau.optim import swa_utils

from .recorded import schedules as recorded

RECORDED = json.loads(recorded.RECORD.read_text())


@pytest.mark.parametrize("name", recorded.SCHEDULES)
def test_rates_and_momenta_are_as_recorded(name: str) -> None:
    optimizer, schedule = recorded.made(torch, recorded.SCHEDULES[name])
    found = recorded.rates(optimizer, schedule, range(recorded.LENGTH))
    np.testing.assert_allclose(found, RECORDED["rates"][name], rtol=1e-11, atol=1e-15)
    assert schedule.get_last_lr() == [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize("name", RECORDED["beta1"])
def test_the_momentum_of_adam_is_beta1(name: str) -> None:
    optimizer, schedule = recorded.made(torch, recorded.SCHEDULES[name], adam=True)
    found = recorded.rates(optimizer, schedule, range(recorded.LENGTH))
    np.testing.assert_allclose(
        [row[2] for row in found], RECORDED["beta1"][name], rtol=1e-11, atol=1e-15
    )


@pytest.mark.parametrize("name", recorded.EPOCHS)
def test_a_schedule_can_be_sent_to_an_epoch(name: str) -> None:
    found = recorded.sent(torch, recorded.SCHEDULES[name])
    np.testing.assert_allclose(found, RECORDED["sent"][name], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("name", recorded.SCHEDULES)
def test_a_schedule_goes_on_from_a_file(name: str, suffix: str, tmp_path: Path) -> None:
    optimizer, schedule = recorded.made(torch, recorded.SCHEDULES[name])
    recorded.rates(optimizer, schedule, range(13))
    file = tmp_path / f"state.{suffix}"
    torch.save({"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, file)
    optimizer, schedule = recorded.made(torch, recorded.SCHEDULES[name])
    saved = torch.load(file)
    schedule.load_state_dict(saved["schedule"])
    optimizer.load_state_dict(saved["optimizer"])
    found = recorded.rates(optimizer, schedule, range(13, recorded.LENGTH))
    np.testing.assert_allclose(found, RECORDED["rates"][name][13:], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("name", recorded.SCHEDULES)
def test_states_have_the_recorded_keys_and_types(name: str) -> None:
    assert recorded.state(torch, recorded.SCHEDULES[name]) == RECORDED["states"][name]


@pytest.mark.parametrize("name", RECORDED["signatures"])
def test_options_stand_in_the_recorded_order_with_the_recorded_defaults(name: str) -> None:
    kind = getattr(schedulers, name, None) or getattr(swa_utils, name)
    assert recorded.signature(kind) == RECORDED["signatures"][name]


def test_every_schedule_is_found_by_either_import() -> None:
    module = importlib.import_module("flambeau.optim.lr_scheduler")
    assert module is torch.optim.lr_scheduler
    assert set(RECORDED["signatures"]) - set(vars(swa_utils)) <= set(module.__all__)


@pytest.mark.parametrize("name", ["step", "cosine", "one cycle", "plateau", "restarts", "chained"])
def test_a_rate_that_is_a_tensor_keeps_its_identity(name: str) -> None:
    rate = torch.tensor(0.1)
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=rate, momentum=0.9)
    names = {"S": schedulers, "A": swa_utils, "o": optimizer}
    schedule = eval(recorded.SCHEDULES[name], names)
    for step in range(12):
        wanted = RECORDED["rates"][name][step][0]
        assert rate.item() == pytest.approx(wanted, rel=1e-5)
        assert schedule.get_last_lr()[0] is not rate
        optimizer.step()
        schedule.step(*([np.sin(step) + 1.5] if name == "plateau" else []))
    assert optimizer.param_groups[0]["lr"] is rate


def sgd(**options: Any) -> Any:
    return torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1, **options)


def test_stepping_before_the_optimizer_is_warned_of_once() -> None:
    schedule = schedulers.StepLR(sgd(), 3)
    with pytest.warns(UserWarning, match=r"Expected `optimizer.step\(\)` before"):
        schedule.step()
    schedule.step()  # warnings are errors here
    optimizer = sgd()
    optimizer.step()
    with pytest.warns(UserWarning, match="none since the schedule began"):
        schedulers.StepLR(optimizer, 3).step()


def test_an_optimizer_of_the_users_own_counts_its_steps() -> None:
    class Still(torch.optim.Optimizer):  # type: ignore[misc]
        def step(self, closure: Any = None) -> None:
            pass

    optimizer = Still([torch.ones(1, requires_grad=True)], {"lr": 0.1})
    schedule = schedulers.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0.05


def test_a_schedule_of_the_users_own_has_the_older_base_too() -> None:
    class Inverse(schedulers._LRScheduler):
        def get_lr(self) -> list[float]:
            return [base / (1 + self.last_epoch) for base in self.base_lrs]

    optimizer = sgd()
    schedule = Inverse(optimizer)
    for _ in range(3):
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(0.025)]
    assert schedule._step_count == 4
    with pytest.raises(NotImplementedError, match="gives no schedule"):
        schedulers.LRScheduler(optimizer)


def test_rates_and_epochs_asked_for_in_the_old_way_are_warned_of() -> None:
    optimizer = sgd()
    schedule = schedulers.StepLR(optimizer, 2, gamma=0.5)
    with pytest.warns(UserWarning, match="get_last_lr"):
        schedule.get_lr()
    optimizer.step()
    with pytest.warns(UserWarning, match="the epoch is deprecated"):
        schedule.step(5)
    assert schedule.get_last_lr() == [0.025]


def test_a_schedule_resumes_at_an_epoch() -> None:
    optimizer = sgd()
    optimizer.param_groups[0]["initial_lr"] = 0.4
    schedule = schedulers.CosineAnnealingLR(optimizer, 10, last_epoch=4)
    assert schedule.last_epoch == 5
    assert schedule.get_last_lr() == [pytest.approx(0.1)]  # from the present rate on


def test_functions_are_not_saved_but_the_attributes_of_objects_are() -> None:
    class Growth:
        def __init__(self, by: float) -> None:
            self.by = by

        def __call__(self, epoch: int) -> float:
            return self.by**epoch

    def made(by: float) -> Any:
        return schedulers.LambdaLR(sgd(), Growth(by))

    state = made(0.5).state_dict()
    assert state["lr_lambdas"] == [{"by": 0.5}]
    schedule = made(0.1)
    schedule.load_state_dict(state)
    schedule.optimizer.step()
    schedule.step()
    assert schedule.get_last_lr() == [0.05]
    assert schedulers.LambdaLR(sgd(), lambda e: 1.0).state_dict()["lr_lambdas"] == [None]


def test_plateau_sees_groups_added_later() -> None:
    optimizer = sgd()
    schedule = schedulers.ReduceLROnPlateau(optimizer, patience=0, min_lr=0.05)
    optimizer.add_param_group({"params": torch.ones(1, requires_grad=True)})
    for _ in range(2):
        schedule.step(torch.tensor(1.0))
    assert schedule.get_last_lr() == [0.05, 0.05]
    fixed = schedulers.ReduceLROnPlateau(sgd(), patience=0, min_lr=[0.05])
    fixed.optimizer.add_param_group({"params": torch.ones(1, requires_grad=True)})
    fixed.step(1.0)
    with pytest.raises(RuntimeError, match="expected 1 groups"):
        fixed.step(1.0)


ERRORS = [
    (lambda S, o: S.StepLR(3, 1), TypeError, "Expected an optimizer. Got int"),
    (lambda S, o: S.StepLR(o, 1, last_epoch=3), KeyError, "'initial_lr' in parameter group 0"),
    (lambda S, o: S.LambdaLR(o, [abs, abs]), ValueError, "1 functions, one a group. Got 2"),
    (lambda S, o: S.MultiplicativeLR(o, 0.5), TypeError, "expected functions. Got float"),
    (lambda S, o: S.ConstantLR(o, 1.5), ValueError, "factor from 0 to 1. Got 1.5"),
    (lambda S, o: S.LinearLR(o, 0.0), ValueError, "start_factor above 0"),
    (lambda S, o: S.LinearLR(o, end_factor=2), ValueError, "end_factor from 0 to 1. Got 2"),
    (lambda S, o: S.SequentialLR(o, [], []), ValueError, "at least one schedule"),
    (lambda S, o: S.SequentialLR(o, [S.StepLR(o, 1)], [3]), ValueError, "0 milestones for 1"),
    (lambda S, o: S.SequentialLR(o, [3], []), TypeError, "Got int at index 0"),
    (lambda S, o: S.SequentialLR(o, [S.StepLR(sgd(), 1)], []), ValueError, "of one optimizer"),
    (lambda S, o: S.ChainedScheduler([]), ValueError, "at least one schedule"),
    (lambda S, o: S.ChainedScheduler([S.ReduceLROnPlateau(o)]), ValueError, "by itself"),
    (lambda S, o: S.ReduceLROnPlateau(o, factor=1.0), ValueError, "factor below 1. Got 1.0"),
    (lambda S, o: S.ReduceLROnPlateau(o, "best"), ValueError, "mode 'min' or 'max'. Got 'best'"),
    (lambda S, o: S.ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "'rel' or 'abs'"),
    (lambda S, o: S.ReduceLROnPlateau(o, min_lr=[0.0, 0.0]), ValueError, "1 values of min_lr"),
    (lambda S, o: S.CyclicLR(o, 0.1, 1.0, mode="x"), ValueError, "mode as one of"),
    (lambda S, o: S.CyclicLR(o, [0.1, 0.1], 1.0), ValueError, "1 values of base_lr"),
    (
        lambda S, o: S.CyclicLR(torch.optim.Adagrad(o.param_groups[0]["params"]), 0.1, 1.0),
        ValueError,
        "cycle_momentum=False",
    ),
    (lambda S, o: S.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0 as a positive integer"),
    (lambda S, o: S.CosineAnnealingWarmRestarts(o, 1, 0.5), ValueError, "T_mult as a positive"),
    (lambda S, o: S.CosineAnnealingWarmRestarts(o, 1).step(-1), ValueError, "not below 0. Got -1"),
    (lambda S, o: S.OneCycleLR(o, 0.1), ValueError, "total_steps, or epochs and"),
    (lambda S, o: S.OneCycleLR(o, 0.1, 0), ValueError, "total_steps as a positive integer"),
    (
        lambda S, o: S.OneCycleLR(o, 0.1, epochs=1.5, steps_per_epoch=2),
        ValueError,
        "expected epochs",
    ),
    (lambda S, o: S.OneCycleLR(o, 0.1, 9, pct_start=2.0), ValueError, "pct_start as a float"),
    (lambda S, o: S.OneCycleLR(o, 0.1, 9, anneal_strategy="x"), ValueError, "anneal_strategy"),
    (lambda S, o: swa_utils.SWALR(o, 0.1, 3, "x"), ValueError, "'cos' or 'linear'. Got 'x'"),
    (lambda S, o: swa_utils.SWALR(o, 0.1, -3), ValueError, "anneal_epochs as an integer from 0"),
]


@pytest.mark.parametrize(("make", "error", "words"), ERRORS)
def test_what_makes_no_sense_is_named(make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make(schedulers, sgd(momentum=0.9))


def test_one_cycle_ends_with_its_steps() -> None:
    optimizer = sgd(momentum=0.9)
    schedule = schedulers.OneCycleLR(optimizer, 0.5, total_steps=4)
    for _ in range(4):
        optimizer.step()
        schedule.step()
    with pytest.raises(ValueError, match=r"at most total_steps = 4 steps\. Got step 5"):
        schedule.step()


def test_composed_schedules_never_warn_when_used_as_documented() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("sequential", "sequential of three", "chained", "to swa"):
            optimizer, schedule = recorded.made(torch, recorded.SCHEDULES[name])
            recorded.rates(optimizer, schedule, range(8))
