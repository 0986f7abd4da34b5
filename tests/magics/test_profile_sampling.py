"""Which steps %profile records, and what these stand for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn, optim
from flambeau.core import observers
from flambeau.magics.profile import profile_report, profiling, sampling


class Clock:
    """A clock that stands still but for what a test adds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(sampling, "perf_counter", found)
    monkeypatch.setattr(sampling.threading, "Thread", lambda **_: SimpleNamespace(start=int))
    return found


class Steps:
    """A sampler, and what it was told and did; a step makes 9 events while recording is on."""

    def __init__(self, clock: Clock, share: float) -> None:
        self.clock = clock
        self.on, self.events = False, 0
        self.sampler = sampling.Sampler(
            lambda: self.switch(True), lambda: self.switch(False), lambda: self.events, share
        )
        self.sampler.start()

    def switch(self, on: bool) -> None:
        assert on != self.on
        self.on = on

    def step(self, optimizer: Any, seconds: float = 1e-4) -> None:
        self.clock.now += seconds
        self.events += 9 * self.on
        self.sampler._after_step(optimizer, (), {})


class Optimizer:
    pass


def test_recording_takes_no_more_than_its_share_and_stands_for_every_step(clock: Clock) -> None:
    steps, adam = Steps(clock, share=0.05), Optimizer()
    for _ in range(5000):
        steps.step(adam)
    windows = steps.sampler.windows
    assert windows.steps == 5000 - sampling.FIRST
    assert windows.recorded < 5000 / 10
    assert steps.events * sampling.EVENT <= 0.05 * clock.now + sampling.FREE + sampling.BURST
    weights = windows.weights(steps.events)
    assert sum(weights) == pytest.approx(9 * 5000)
    steps.sampler.stop()


def test_long_steps_are_all_recorded(clock: Clock) -> None:
    steps, adam = Steps(clock, share=0.05), Optimizer()
    for _ in range(50):
        steps.step(adam, seconds=0.02)
    assert steps.events == 9 * 50
    assert set(steps.sampler.windows.weights(steps.events)) == {1.0}
    steps.sampler.stop()


def test_an_evaluation_between_steps_is_recorded_and_stands_for_itself(clock: Clock) -> None:
    steps, adam = Steps(clock, share=0.0), Optimizer()
    for _ in range(100):
        steps.step(adam)
    assert not steps.on
    steps.sampler.look()
    assert not steps.on
    clock.now += 1.0
    steps.sampler.look()
    assert steps.on
    before = steps.events
    steps.step(adam)
    assert not steps.on
    assert steps.sampler.windows.weights(steps.events)[before:] == [1.0] * 9
    steps.sampler.stop()


def test_two_optimizers_in_turn_are_one_rhythm(clock: Clock) -> None:
    steps, first, second = Steps(clock, share=0.05), Optimizer(), Optimizer()
    for _ in range(1000):
        steps.step(first)
        steps.step(second)
    assert steps.sampler.windows.steps == 1000 - sampling.FIRST
    for _ in range(100):  # the first has had its time
        steps.step(second)
    assert steps.sampler.windows.steps > 1000 + 80
    steps.sampler.stop()


def test_a_profile_of_many_short_steps_counts_them_all_and_says_so() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    sgd = optim.SGD(net.parameters(), lr=0.1)
    x = torch.randn(4, 8)
    with profiling(share=0.0) as profiler:
        for _ in range(1500):
            sgd.zero_grad()
            net(x).square().mean().backward()
            sgd.step()
    calls = {cost.name: cost.calls for cost in profiler.costs()}
    assert profiler.windows.recorded < profiler.windows.steps
    assert calls["tanh"] == pytest.approx(1500, rel=0.1)
    assert calls["addmm"] == pytest.approx(3000, rel=0.1)
    assert calls["SGD.step"] == pytest.approx(1500, rel=0.1)
    assert "steps were recorded and stand for all" in str(profile_report(profiler))
    assert not observers.active


def test_a_share_of_one_records_everything() -> None:
    w = torch.ones(3, requires_grad=True)
    sgd = optim.SGD([w], lr=0.1)
    with profiling(share=1.0) as profiler:
        for _ in range(600):
            w.square().sum().backward()
            sgd.step()
    assert {c.name: c.calls for c in profiler.costs()}["square"] == 600
