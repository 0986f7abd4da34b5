"""%clip: the session's rule for gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import flambeau as torch
from flambeau.core import observers
from flambeau.magics.clip import ClipRule, clipping

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
    assert "1 of 2 steps clipped (50%), largest norm 5" in run("%clip")
    assert "Clipping is off." in run("%clip off")
    run("w.grad = None; w.data.zero_(); step(3.0, 4.0)")
    assert run("w.tolist()").strip().endswith("[-3.0, -4.0]")


def test_elements_can_be_limited_instead(run: Run) -> None:
    run(SETUP)
    run("%clip 1.0 --value")
    run("step(3.0, -0.5)")
    assert run("w.tolist()").strip().endswith("[-1.0, 0.5]")
    assert "largest element 3" in run("%clip off")


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
    text = run(line)
    assert "expected a number above 0, or off" in text or "expected a limit above 0" in text


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


def parameters(*norms: float) -> list[torch.Tensor]:
    found = []
    for norm in norms:
        p = torch.zeros(1, requires_grad=True)
        p.grad = torch.tensor([norm])
        found.append(p)
    return found


def test_each_group_is_clipped_by_its_own_norm() -> None:
    a, b = parameters(10.0, 0.5)
    sgd = torch.optim.SGD([{"params": [a]}, {"params": [b]}], lr=1.0)
    with clipping(ClipRule(1.0, scope="group")) as rule:
        sgd.step()
    assert (a.item(), b.item()) == pytest.approx((-1.0, -0.5), abs=1e-5)
    assert {name: t.clipped for name, t in rule.tallies.items()} == {"group 0": 1, "group 1": 0}


def test_each_layer_is_clipped_by_its_own_norm(run: Run) -> None:
    run("net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))")
    run("sgd = torch.optim.SGD(net.parameters(), lr=1.0)")
    run("%clip 1.0 --per layer")
    run("for p, g in zip(net.parameters(), (30.0, 40.0, 0.3, 0.4)):\n"
        "    p.data.zero_(); p.grad = torch.full_like(p, g)")  # fmt: skip
    run("sgd.step()")
    values = run("[round(p.item(), 3) for p in net.parameters()]")
    assert values.strip().endswith("[-0.6, -0.8, -0.3, -0.4]")
    text = run("%clip")
    assert "net.0  1 of 1 (100%)       50    ×0.02" in text
    assert "net.1    0 of 1 (0%)      0.5       ×1" in text
    run("%clip off")


def test_an_adaptive_rule_learns_its_limit_from_the_norms_it_sees() -> None:
    (w,) = parameters(1.0)
    sgd = torch.optim.SGD([w], lr=1.0)
    with clipping(ClipRule(percentile=50.0)) as rule:
        for _ in range(20):
            w.grad = torch.tensor([1.0])
            sgd.step()
        before = w.item()
        w.grad = torch.tensor([100.0])
        sgd.step()
    assert before == pytest.approx(-20.0)
    assert w.item() == pytest.approx(-21.0, abs=1e-4)
    assert rule.clipped == 1
    assert "50th percentile of 100 steps" in str(rule)


def test_scaled_gradients_are_clipped_unscaled() -> None:
    (w,) = parameters(1.0)
    sgd = torch.optim.SGD([w], lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    w.grad = None
    scaler.scale(w.sum() * 5.0).backward()
    with clipping(ClipRule(1.0)) as rule:
        scaler.step(sgd)
        scaler.update()
    assert w.item() == pytest.approx(-1.0, abs=1e-5)
    assert rule.tallies["SGD"].largest == pytest.approx(5.0)


def test_a_rule_for_one_cell_ends_with_it(run: Run) -> None:
    run(SETUP)
    text = run("%%clip 1.0\nstep(3.0, 4.0)")
    assert "1 of 1 steps clipped (100%), largest norm 5, at the hardest ×0.2" in text
    assert "No clipping." in run("%clip")
    run("w.data.zero_(); step(3.0, 4.0)")
    assert run("w.tolist()").strip().endswith("[-3.0, -4.0]")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%clip 1 --per planet", "invalid choice: 'planet'"),
        ("%clip --percentile 120", "expected a percentile up to 100"),
        ("%clip 1 --value --per layer", "are of norms, not of values"),
    ],
)
def test_rules_that_make_no_sense_are_refused(run: Run, line: str, words: str) -> None:
    assert words in run(line)
