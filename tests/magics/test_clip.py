"""%clip: the session's rule for gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import flambeau as torch
from flambeau.core import observers
from flambeau.magics.clip import ClipRule

Run = Callable[[str], str]

SETUP = """
w = torch.zeros(2, requires_grad=True)
sgd = torch.optim.SGD([w], lr=1.0)
def step(*gradient):
    w.grad = torch.tensor(gradient)
    sgd.step()
"""


def test_the_norm_is_limited_before_every_step(run: Run) -> None:
    run(SETUP)
    assert "no optimizer step yet" in run("%clip 1.0")
    run("step(3.0, 4.0); step(0.3, 0.4)")
    assert run("[round(v, 4) for v in w.tolist()]").strip().endswith("[-0.9, -1.2]")
    assert "1 of 2 steps clipped (50%), largest norm 5." in run("%clip")
    assert "Clipping is off." in run("%clip off")
    run("w.grad = None; w.data.zero_(); step(3.0, 4.0)")
    assert run("w.tolist()").strip().endswith("[-3.0, -4.0]")


def test_elements_can_be_limited_instead(run: Run) -> None:
    run(SETUP)
    run("%clip 1.0 --value")
    run("step(3.0, -0.5)")
    assert run("w.tolist()").strip().endswith("[-1.0, 0.5]")
    assert "largest element 3." in run("%clip off")


def test_a_rule_leaves_operations_on_their_fast_path(run: Run) -> None:
    run("%clip 1.0")
    assert observers.active == []
    run("%clip off")


def test_a_new_rule_takes_the_place_of_the_old(run: Run) -> None:
    run(SETUP)
    run("%clip 0.5")
    run("%clip 2.0")
    run("step(3.0, 4.0)")
    assert run("round(float(w.norm()), 4)").strip().endswith("2.0")
    run("%clip off")


def test_spoiled_gradients_are_counted(run: Run) -> None:
    run(SETUP)
    run("%clip 1.0")
    run("step(float('nan'), 1.0)")
    assert "1 with NaN or infinite gradients" in run("%clip off")


@pytest.mark.parametrize("line", ["%clip -1", "%clip much", "%clip 0", "%clip nan"])
def test_limits_that_make_no_sense_are_refused(run: Run, line: str) -> None:
    assert "expected a number above 0, or off" in run(line)


def test_other_arguments_are_refused(run: Run) -> None:
    assert "unrecognized arguments" in run("%clip 1.0 --norm 2")


def test_the_rule_serves_scripts_without_a_session() -> None:
    w = torch.zeros(2, requires_grad=True)
    sgd = torch.optim.SGD([w], lr=1.0)
    rule = ClipRule(1.0)
    rule.start()
    try:
        w.grad = torch.tensor([3.0, 4.0])
        sgd.step()
    finally:
        rule.stop()
    assert w.norm().item() == pytest.approx(1.0, abs=1e-5)


def test_a_step_with_a_closure_is_clipped_after_it() -> None:
    rule = ClipRule(1.0)
    rule.start()
    w = torch.zeros(2, requires_grad=True)

    def closure() -> float:
        w.grad = torch.tensor([3.0, 4.0])
        return 5.0

    try:
        assert torch.optim.SGD([w], lr=1.0).step(closure) == 5.0
        torch.optim.SGD([w], lr=1.0).step(closure=closure)
    finally:
        rule.stop()
    assert [round(v, 4) for v in w.tolist()] == [-1.2, -1.6]
    assert (rule.steps, rule.clipped) == (2, 2)
