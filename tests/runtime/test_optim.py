"""Optimizers: recorded trajectories, states, groups, hooks, options."""

from __future__ import annotations

import base64
import copy
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.core import observers
from flambeau.optim import optimizer as optimizers

from .recorded import optimizers as recorded
from .recorded import streams

RECORDED = json.loads(recorded.RECORD.read_text())
EVERY_CASE = {**recorded.CASES, **recorded.MUON}
KINDS = sorted({name for name, _ in EVERY_CASE.values()})


def tolerance(name: str) -> dict[str, float]:
    """float64 rounding over 20 steps; ASGD keeps its rate in float32, Muon computes in bfloat16,
    L-BFGS divides by differences of gradients."""
    if name.startswith("muon"):
        return {"rtol": 2**-8, "atol": 1e-3}
    return {"rtol": 1e-7 if name.startswith(("asgd", "lbfgs")) else 1e-11, "atol": 1e-13}


@pytest.mark.parametrize("name", EVERY_CASE)
def test_twenty_steps_go_where_recorded(name: str) -> None:
    found = recorded.trajectory(torch, EVERY_CASE[name])
    np.testing.assert_allclose(found, RECORDED["trajectories"][name], **tolerance(name))


@pytest.mark.parametrize("name", recorded.COMPLEX)
def test_complex_parameters_are_pairs_of_real_ones(name: str) -> None:
    found = recorded.trajectory(torch, recorded.CASES[name], is_complex=True)
    np.testing.assert_allclose(found, RECORDED["complex"][name], **tolerance(name))


@pytest.mark.parametrize("name", EVERY_CASE)
def test_training_goes_on_from_a_file(name: str, tmp_path: Path) -> None:
    params = recorded.parameters(torch)
    optimizer = recorded.made(torch, EVERY_CASE[name], params)
    recorded.train(torch, optimizer, params, range(10))
    torch.save({"params": params, "state": optimizer.state_dict()}, tmp_path / "ten.pt")
    saved = torch.load(tmp_path / "ten.pt")
    params = [p.detach().requires_grad_() for p in saved["params"]]
    optimizer = recorded.made(torch, EVERY_CASE[name], params)
    optimizer.load_state_dict(saved["state"])
    recorded.train(torch, optimizer, params, range(10, 20))
    wanted = RECORDED["trajectories"][name][-1]
    np.testing.assert_allclose(recorded.values(torch, params), wanted, **tolerance(name))


@pytest.mark.parametrize("name", recorded.FILES)
def test_training_goes_on_from_a_file_that_pytorch_wrote(name: str) -> None:
    content = zlib.decompress(base64.b64decode(RECORDED["files"][name]))
    saved = torch.load(io.BytesIO(content))
    params = [p.requires_grad_() for p in saved["params"]]
    optimizer = recorded.made(torch, recorded.CASES[name], params)
    optimizer.load_state_dict(saved["state"])
    recorded.train(torch, optimizer, params, range(10, 20))
    wanted = RECORDED["trajectories"][name][-1]
    np.testing.assert_allclose(recorded.values(torch, params), wanted, **tolerance(name))


@pytest.mark.parametrize("name", EVERY_CASE)
def test_states_have_the_recorded_keys_and_types(name: str) -> None:
    assert recorded.state(torch, EVERY_CASE[name]) == RECORDED["states"][name]


@pytest.mark.parametrize("name", KINDS)
def test_options_stand_in_the_recorded_order_with_the_recorded_defaults(name: str) -> None:
    assert recorded.signature(getattr(torch.optim, name)) == RECORDED["signatures"][name]


@pytest.mark.parametrize("name", KINDS)
def test_an_optimizer_prints_its_groups(name: str) -> None:
    case = next(case for case in EVERY_CASE.values() if case[0] == name)
    made = recorded.made(torch, case, recorded.parameters(torch))
    assert repr(made) == RECORDED["reprs"][name]


def test_a_whole_training_prints_the_losses_recorded() -> None:
    wanted = json.loads(streams.RECORD.read_text())["training"]
    # float32 rounding differs from the first product on and grows from step to step.
    np.testing.assert_allclose(streams.training(torch), wanted, rtol=2e-4)


@pytest.mark.parametrize("name", [n for n in KINDS if n not in ("LBFGS", "Muon", "Adafactor")])
@pytest.mark.parametrize("turned", ["", "both", "gradient", "parameter"])
def test_large_parameters_are_changed_like_small_ones(name: str, turned: str) -> None:
    start, gradient = np.random.default_rng(0).standard_normal((2, 7_000, 10))

    def laid(values: Any, is_turned: bool) -> Any:
        return torch.tensor(values.T.copy()).T if is_turned else torch.tensor(values)

    found = []
    for part in (slice(None), slice(0, 7_000, 350)):  # three blocks and less than one
        p = laid(start[part], turned in ("both", "parameter")).requires_grad_()
        optimizer = getattr(torch.optim, name)([p])
        for scale in (1.0, -0.5):
            p.grad = laid(gradient[part] * scale, turned in ("both", "gradient"))
            optimizer.step()
        found.append(p.detach().numpy())
    np.testing.assert_allclose(found[0][::350], found[1], rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", KINDS)
def test_half_types_are_computed_in_float32_and_rounded_once(name: str, dtype: Any) -> None:
    start = torch.tensor([[0.5, -1.25, 2.0], [3.0, -0.125, 1.0]])
    narrow, wide = start.to(dtype).requires_grad_(), start.clone().requires_grad_()
    for p in (narrow, wide):
        p.grad = (start * 0.5).to(p.dtype)
        # The default eps is 0 in float16.
        options = {"eps": 1e-3} if name in ("Adam", "NAdam", "RAdam") else {}
        getattr(torch.optim, name)([p], **options).step(lambda: torch.tensor(1.0))
    assert narrow.dtype == dtype
    spacing = torch.finfo(dtype).eps
    np.testing.assert_allclose(
        narrow.detach().float().numpy(), wide.detach().numpy(), rtol=spacing, atol=spacing
    )


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "NAdam", "ASGD"])
def test_gradients_flow_through_a_differentiable_step(name: str) -> None:
    # Rates and hyperparameters are learned so: d final / d start against float64 differences.
    @torch.enable_grad()  # type: ignore[untyped-decorator]
    def final(start: Any) -> Any:
        p = start.detach().requires_grad_() * 1 if not start.requires_grad else start.clone()
        optimizer = getattr(torch.optim, name)([p], lr=0.1, differentiable=True)
        for _ in range(2):
            q = p.clone()
            (p.grad,) = torch.autograd.grad((q.sin() * q).sum(), q, create_graph=True)
            optimizer.step()
        return p

    start = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(final, (start,), atol=1e-4)


def test_a_rate_that_is_a_tensor_gets_its_gradient() -> None:
    lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    p = torch.tensor([2.0], dtype=torch.float64, requires_grad=True).clone()
    optimizer = torch.optim.SGD([p], lr=lr, differentiable=True)
    p.grad = torch.tensor([3.0], dtype=torch.float64)
    optimizer.step()
    p.sum().backward()
    assert lr.grad.item() == -3.0


def pair() -> tuple[Any, Any]:
    return torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)


def test_groups_have_options_of_their_own() -> None:
    a, b = pair()
    sgd = torch.optim.SGD([{"params": [a]}, {"params": [b], "lr": 1.0}], lr=0.1)
    (a + b).sum().backward()
    sgd.step()
    assert (a.item(), b.item()) == pytest.approx((0.9, 0.0))
    sgd.add_param_group({"params": torch.ones(1, requires_grad=True)})
    assert [g["lr"] for g in sgd.param_groups] == [0.1, 1.0, 0.1]


@pytest.mark.parametrize("name", KINDS)
def test_on_meta_there_are_states_but_no_values(name: str) -> None:
    p = torch.ones(2, 3, device="meta", requires_grad=True)
    p.grad = torch.ones(2, 3, device="meta")
    optimizer = getattr(torch.optim, name)([p])
    if name in ("Adafactor", "LBFGS"):  # their steps depend on norms
        with pytest.raises(RuntimeError, match="meta"):
            optimizer.step(lambda: torch.tensor(1.0))
    else:
        optimizer.step()
        assert all(v.shape in ((), (2, 3)) for v in optimizer.state[p].values())


def test_states_lie_in_memory_as_their_parameters_do() -> None:
    p = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    p.grad = torch.rand(2, 3, 4, 5)
    adam = torch.optim.Adam([p])
    adam.step()
    assert adam.state[p]["exp_avg"].stride() == p.stride() == (60, 1, 15, 3)


def test_groups_given_as_dicts_are_shared() -> None:
    groups = [{"params": pair(), "lr": 0.5}]
    sgd = torch.optim.SGD(groups)
    groups[0]["lr"] = 0.25
    assert sgd.param_groups[0]["lr"] == 0.25


def test_names_of_parameters_are_kept_and_saved() -> None:
    net = nn.Linear(3, 2)
    named = torch.optim.SGD(net.named_parameters(), lr=0.1)
    assert named.param_groups[0]["param_names"] == ["weight", "bias"]
    state = named.state_dict()
    assert state["param_groups"][0]["param_names"] == ["weight", "bias"]
    del state["param_groups"][0]["param_names"]
    named.load_state_dict(state)
    assert named.param_groups[0]["param_names"] == ["weight", "bias"]


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


class Halving(torch.optim.Optimizer):  # type: ignore[misc]
    """An optimizer as users write them."""

    def __init__(self, params: Any, rate: Any = optimizers.required) -> None:
        super().__init__(params, {"rate": rate})

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(0.5)


class Quartering(Halving):
    """One whose step calls its parent's."""

    def step(self, closure: Any = None) -> None:
        super().step()
        super().step()


@pytest.mark.parametrize("kind", [torch.optim.SGD, Halving, Quartering])
def test_hooks_run_once_around_the_steps_of_one_and_of_all_optimizers(kind: Any) -> None:
    seen: list[str] = []
    optimizer = kind([torch.ones(1, requires_grad=True)], 0.1)
    handles = [
        optimizer.register_step_pre_hook(lambda *_: seen.append("before")),
        optimizer.register_step_post_hook(lambda *_: seen.append("after")),
        optimizers.register_optimizer_step_pre_hook(lambda *_: seen.append("before all")),
        optimizers.register_optimizer_step_post_hook(lambda *_: seen.append("after all")),
    ]
    optimizer.step()
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert seen == ["before all", "before", "after", "after all"]


def test_a_pre_hook_may_change_the_arguments() -> None:
    a, _ = pair()
    sgd = torch.optim.SGD([a], lr=0.1)
    sgd.register_step_pre_hook(lambda opt, args, kwargs: ((opt,), {"closure": lambda: 7.0}))
    assert sgd.step() == 7.0
    sgd.register_step_pre_hook(lambda *_: 3)
    with pytest.raises(RuntimeError, match=r"None or \(args, kwargs\). Got 3"):
        sgd.step()


def test_observers_see_steps_without_the_time_of_their_closure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    now = 0.0

    class Watch(observers.Observer):
        def step_started(self, optimizer: Any) -> None:
            seen.append("started")

        def step_done(self, optimizer: Any, seconds: float) -> None:
            seen.append(seconds)

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    def closure() -> float:
        nonlocal now
        now += 100.0
        return 1.0

    monkeypatch.setattr(optimizers, "perf_counter", clock)
    with observers.observing(Watch()):
        torch.optim.SGD([torch.ones(1, requires_grad=True)]).step(closure)
    assert seen == ["started", 2.0]  # the clock's ticks before and after the closure


def test_hooks_see_states_saved_and_loaded() -> None:
    a, b = pair()
    source, target = torch.optim.Adam([a]), torch.optim.Adam([b])
    seen: list[Any] = []
    source.register_state_dict_pre_hook(lambda opt: seen.append("second"))
    source.register_state_dict_pre_hook(lambda opt: seen.append("first"), prepend=True)
    source.register_state_dict_post_hook(lambda opt, state: {**state, "note": "mine"})
    target.register_load_state_dict_pre_hook(lambda opt, state: seen.append(state.pop("note")))
    target.register_load_state_dict_post_hook(lambda opt: seen.append(opt is target))
    state = source.state_dict()
    target.load_state_dict(state)
    assert seen == ["first", "second", "mine", True]
    assert state["note"] == "mine"  # hooks get a copy


def test_zero_grad_drops_gradients_or_zeroes_them() -> None:
    p = torch.ones(1, requires_grad=True)
    sgd = torch.optim.SGD([p], lr=0.1)
    p.sum().backward()
    sgd.zero_grad(set_to_none=False)
    assert p.grad is not None
    assert p.grad.item() == 0.0
    sgd.zero_grad()
    assert p.grad is None


@pytest.mark.parametrize("name", ["SGD", "Adam", "LBFGS"])
def test_a_step_counts_as_a_write_to_what_was_saved(name: str) -> None:
    p = torch.ones(2, requires_grad=True)
    loss = (p * p).sum()
    p.grad = torch.ones(2)
    getattr(torch.optim, name)([p], lr=0.1).step(lambda: torch.tensor(1.0))
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize("name", KINDS)
def test_a_copy_of_an_optimizer_trains_parameters_of_its_own(name: str) -> None:
    case = next(case for case in EVERY_CASE.values() if case[0] == name)
    params = recorded.parameters(torch)
    optimizer = recorded.made(torch, case, params)
    recorded.train(torch, optimizer, params, range(3))
    before = recorded.values(torch, params)
    twins, twin = copy.deepcopy((params, optimizer))
    recorded.train(torch, twin, twins, range(3, 6))
    assert recorded.values(torch, params) == before
    recorded.train(torch, optimizer, params, range(3, 6))
    assert recorded.values(torch, params) == recorded.values(torch, twins)


def test_states_of_older_versions_with_plain_step_numbers_are_continued() -> None:
    a, b = pair()
    source, target = torch.optim.Adam([a]), torch.optim.Adam([b])
    for p, optimizer in ((a, source), (b, target)):
        p.grad = torch.ones(1)
        optimizer.step()
    state = copy.deepcopy(source.state_dict())
    state["state"][0]["step"] = 1
    del state["param_groups"][0]["maximize"]
    target.load_state_dict(state)
    for optimizer in (source, target):
        optimizer.step()
    assert torch.equal(a, b)
    assert target.state[b]["step"].dtype == torch.float32


def test_loading_copies_the_state() -> None:
    a, b = pair()
    source, target = (torch.optim.SGD([p], lr=0.1, momentum=0.9) for p in (a, b))
    a.grad = b.grad = torch.ones(1)
    source.step()
    target.load_state_dict(source.state_dict())
    target.step()
    assert source.state[a]["momentum_buffer"].item() == 1.0
    assert target.state[b]["momentum_buffer"].item() == pytest.approx(1.9)


def test_an_option_without_a_default_must_be_in_each_group() -> None:
    a, b = pair()
    with pytest.raises(ValueError, match="'rate' in each group"):
        Halving([a])
    Halving([{"params": [b], "rate": 1.0}])


def test_a_parameter_twice_in_a_group_is_warned_of() -> None:
    a, _ = pair()
    with pytest.warns(UserWarning, match="same parameter twice"):
        torch.optim.SGD([a, a])


def test_tensors_are_rates_and_decays_too() -> None:
    a, b = pair()
    for p, decay in ((a, torch.tensor(0.5)), (b, 0.5)):
        p.grad = torch.ones(1)
        torch.optim.SGD([p], lr=1.0, weight_decay=decay).step()
    assert a.item() == b.item() == -0.5
    lr = torch.tensor([0.25])
    for p, rate in ((a, lr), (b, 0.25)):
        p.grad = torch.ones(1)
        torch.optim.Adam([p], lr=rate, betas=(torch.tensor(0.9), torch.tensor(0.999))).step()
    assert a.item() == b.item()


def test_an_optimizer_works_on_other_parameters_for_a_while() -> None:
    a, b = pair()
    adam = torch.optim.Adam([a], lr=0.1)
    swap = torch.optim.swap_in_optimizer_params_and_state
    with pytest.raises(RuntimeError, match="before its first step"), swap(adam, {}, {}):
        pass
    for p in (a, b):
        p.grad = torch.ones(1)
    adam.step()
    state = copy.deepcopy(adam.state_dict())
    state["param_groups"][0]["lr"] = 0.5
    before = a.item()
    with swap(adam, {"b": b}, state):
        adam.step()
    assert (a.item(), adam.param_groups[0]["lr"]) == (before, 0.1)
    assert b.item() == pytest.approx(0.5)
    assert state["state"][0]["step"].item() == 2
    assert adam.state[a]["step"].item() == 1
    for wrong, words in (
        ({}, "state_dict"),
        ({**state, "param_groups": []}, "as many parameters"),
        ({**state, "state": {7: {}}}, r"Got keys \[7\]"),
    ):
        with pytest.raises(RuntimeError, match=words), swap(adam, {"b": b}, wrong):
            pass
    with pytest.raises(RuntimeError, match=r"Expected 1 parameters\. Got 0"), swap(adam, {}, state):
        pass


ERRORS = [
    (lambda o, p: o.SGD([], lr=0.1), ValueError, "at least one parameter"),
    (lambda o, p: o.SGD(p, lr=0.1), TypeError, "Got one tensor"),
    (lambda o, p: o.SGD([p * 2], lr=0.1), ValueError, "leaf"),
    (lambda o, p: o.SGD([{"params": p}, {"params": p}]), ValueError, "in two"),
    (lambda o, p: o.SGD([{"params": {p}}]), TypeError, "Got a set"),
    (lambda o, p: o.SGD([("a", p), p]), ValueError, "a name for each of 2 parameters. Got 1"),
    (
        lambda o, p: o.SGD([{"params": [p]}, {"params": [("a", p.detach())]}]),
        ValueError,
        "names in all groups or in none",
    ),
    (lambda o, p: o.SGD([p]).add_param_group([p]), TypeError, "group as a dict"),
    (lambda o, p: o.SGD([p], lr=-1.0), ValueError, "lr not below 0"),
    (lambda o, p: o.SGD([p], lr=torch.ones(2)), ValueError, r"one element. Got a .* shape \(2,\)"),
    (lambda o, p: o.SGD([p], fused=True, foreach=True), RuntimeError, "fused or foreach"),
    (lambda o, p: o.Adam([p], betas=(0.9, 1.0)), ValueError, "betas from 0 to below 1"),
    (lambda o, p: o.Adam([p], betas=(0.9, torch.tensor(0.9))), ValueError, "or two tensors"),
    (lambda o, p: o.Adam([p], lr=torch.tensor(0.1), foreach=True), ValueError, "Got a tensor"),
    (lambda o, p: o.AdamW([p], fused=True, differentiable=True), RuntimeError, "differentiable"),
    (lambda o, p: o.SGD([p], lr=1.0, nesterov=True), ValueError, "nesterov"),
    (lambda o, p: o.SGD([3.0], lr=1.0), TypeError, "Got float"),
    (lambda o, p: o.Adadelta([p], rho=1.1), ValueError, "rho from 0 to 1. Got 1.1"),
    (lambda o, p: o.Adagrad([p], lr_decay=-1), ValueError, "lr_decay not below 0"),
    (lambda o, p: o.NAdam([p], momentum_decay=-1), ValueError, "momentum_decay not below 0"),
    (lambda o, p: o.RMSprop([p], momentum=-1), ValueError, "momentum not below 0"),
    (lambda o, p: o.Rprop([p], etas=(1.0, 0.5)), ValueError, "0 < down < 1 < up"),
    (lambda o, p: o.ASGD([p], weight_decay=-1), ValueError, "weight_decay not below 0"),
    (lambda o, p: o.Adafactor([p], d=0.5), ValueError, "threshold d from 1 on"),
    (lambda o, p: o.Adafactor([p], beta2_decay=0.8), ValueError, "beta2_decay of at most 0"),
    (lambda o, p: o.Adafactor([p], eps=(-1.0, 0.1)), ValueError, r"eps\[0\] not below 0"),
    (lambda o, p: o.Muon([p]), ValueError, r"expected matrices. .* shape \(1,\)"),
    (lambda o, p: o.Muon([p], adjust_lr_fn="mine"), ValueError, "Got 'mine'"),
    (lambda o, p: o.LBFGS([{"params": p}, {"params": p.detach()}]), ValueError, "one group"),
    (lambda o, p: o.LBFGS([p]).step(), TypeError, "closure"),
    (
        lambda o, p: o.LBFGS([p], line_search_fn="armijo").step(lambda: (p * 1).sum()),
        RuntimeError,
        "Got 'armijo'",
    ),
    (
        lambda o, p: o.SGD([p]).load_state_dict(o.SGD([p, p.detach()]).state_dict()),
        ValueError,
        r"groups of \[1\] parameters. Got groups of \[2\]",
    ),
]


@pytest.mark.parametrize(("make", "error", "words"), ERRORS)
def test_what_makes_no_sense_is_named(make: Any, error: Any, words: str) -> None:
    p = torch.ones(1, requires_grad=True)
    p.grad = torch.ones(1)
    with pytest.raises(error, match=words):
        make(torch.optim, p)


@pytest.mark.parametrize("name", ["Muon", "Adafactor"])
def test_those_without_complex_steps_say_so(name: str) -> None:
    p = torch.ones(2, 2, dtype=torch.complex64, requires_grad=True)
    p.grad = torch.ones(2, 2, dtype=torch.complex64)
    with pytest.raises(RuntimeError, match="real parameters"):
        getattr(torch.optim, name)([p]).step()
