"""Compiled functions: whose memory results have, and what gradients some of them ask for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import flambeau as torch
from flambeau.compiler import programs, region
from flambeau.core.tensor import Tensor


@pytest.fixture(autouse=True)
def small_tensors_wait_too(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(region, "LEAST", 0)
    yield
    torch.compiler.reset()


def both(function: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return function, torch.compile(function)


def two_branches(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    return x.sin() * 2, w.exp() + x.detach()


def test_inputs_of_results_that_nobody_differentiates_get_no_gradient() -> None:
    for function in both(two_branches):
        x, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
        first, second = function(x, w)
        first.sum().backward(retain_graph=True)
        assert x.grad is not None
        assert w.grad is None
        (first.sum() + second.sum()).backward()
        torch.testing.assert_close(w.grad, torch.ones(2).exp())
        torch.testing.assert_close(x.grad, 4 * torch.ones(2).cos())


def test_recorded_gradients_of_some_results_are_as_few() -> None:
    for function in both(two_branches):
        x, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
        first, _ = function(x, w)
        by_x, by_w = torch.autograd.grad(first.sum(), (x, w), create_graph=True, allow_unused=True)
        assert by_w is None
        (again,) = torch.autograd.grad(by_x.sum(), x)
        torch.testing.assert_close(again, -2 * torch.ones(2).sin())


def test_what_only_other_results_read_may_change_before_the_pass() -> None:
    for function in both(lambda x, w: (x * 2, x * w)):
        x, w = torch.ones(2, requires_grad=True), torch.full((2,), 3.0)
        first, second = function(x, w)
        w.add_(1)
        first.sum().backward()
        assert x.grad.tolist() == [2, 2]
        with pytest.raises(RuntimeError, match="changed in place"):
            second.sum().backward()


def test_each_result_may_have_a_pass_of_its_own_as_far_as_nothing_is_shared() -> None:
    def function(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        trunk = (x @ x).exp()
        return (w @ w).exp(), trunk * 2, trunk * trunk

    for run in both(function):
        x, w = (torch.eye(2).requires_grad_() for _ in "xw")
        apart, first, second = run(x, w)
        apart.sum().backward()
        torch.testing.assert_close(w.grad, 2 * torch.eye(2).exp())
        second.sum().backward()
        for again in (apart, first):
            with pytest.raises(RuntimeError, match=r"freed by an earlier.*retain_graph=True"):
                again.sum().backward()


def test_a_recorded_pass_refuses_inputs_that_changed_since() -> None:
    """It computes the results again from them, which the plain one need not."""

    @torch.compile
    def function(x: Tensor, w: Tensor) -> Tensor:
        return (x @ w).exp()

    x, w = torch.ones(2, 2), torch.ones(2, 2, requires_grad=True)
    out = function(x, w)
    x.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        torch.autograd.grad(out.sum(), w, create_graph=True)


@pytest.mark.parametrize("name", ["clone", "exp", "softmax"])
def test_equal_results_have_memory_of_their_own(name: str) -> None:
    def function(x: Tensor) -> Any:
        made = [torch.softmax(x, -1) if name == "softmax" else getattr(x, name)() for _ in "ab"]
        return (*made, made[1][0])

    first, second, view = torch.compile(function)(torch.zeros(2, 3))
    before = first.tolist()
    second.fill_(7)
    assert first.tolist() == before
    assert view.tolist() == [7, 7, 7]


@pytest.mark.parametrize("size", [3, 200])  # one that kernels compute, one for loops
def test_equal_results_in_another_order_have_memory_of_their_own(size: int) -> None:
    def function(x: Tensor) -> Any:
        return x * 2, (turned := x.t() * 2), x.t() * 2, turned.t()

    wanted, found = ([*f(torch.ones(size, size + 1))] for f in both(function))
    assert [t.stride() for t in found] == [t.stride() for t in wanted]
    for plus, (a, b) in enumerate(zip(wanted[:3], found[:3], strict=True)):
        a.add_(plus)
        b.add_(plus)
    for a, b in zip(wanted, found, strict=True):
        assert torch.equal(a, b)


def test_a_result_that_changes_is_not_what_gradients_read() -> None:
    for function in both(lambda x: ((y := x.exp()) * y, x.exp())):
        x = torch.zeros(2, requires_grad=True)
        squared, other = function(x)
        with torch.no_grad():
            other.mul_(0)
        squared.sum().backward()
        assert x.grad.tolist() == [2, 2]


def test_slices_of_a_dimension_share_memory() -> None:
    y, first, _ = torch.compile(lambda x: ((y := x * 2), *y.unbind(1)))(torch.ones(3, 2))
    y[:, 0] = 5
    assert (first.tolist(), first.stride()) == ([5, 5, 5], (2,))


def test_views_of_what_is_gone_pass_on_what_is_written_to_one_of_them() -> None:
    def function(x: Tensor) -> Tensor:
        y = x * 2
        row, rows = y[0], y[:2]
        del y
        row.mul_(3)
        return rows

    for run in both(function):
        x = torch.ones(3, 2, requires_grad=True)
        run(x).sum().backward()
        assert x.grad.tolist() == [[6, 6], [2, 2], [0, 0]]


def test_a_gradient_that_is_kept_is_not_added_to() -> None:
    x = torch.ones(2, requires_grad=True)
    y = x - x * 1
    by_x, by_y = torch.autograd.grad((x.tanh() + y * 2).sum(), (x, y))
    assert by_y.tolist() == [2, 2]
    torch.testing.assert_close(by_x, (1 - x.tanh() ** 2).detach())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_makes_a_program_can_make_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, done = threading.Event(), threading.Event()
    made = programs.Program.__init__

    def slow(self: Any, *args: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            done.wait(60)
        made(self, *args)

    monkeypatch.setattr(programs.Program, "__init__", slow)
    compiled = torch.compile(lambda x: x * 2 + 1)
    thread = threading.Thread(target=compiled, args=(torch.ones(3),))
    thread.start()
    try:
        assert begun.wait(60)
        child = os.fork()
        if child == 0:
            os._exit(7 if compiled(torch.ones(2)).tolist() == [3, 3] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        done.set()
        thread.join()
