"""%%profile: calls, times and bytes by operation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import flambeau as torch
from flambeau.core import observers
from flambeau.magics.profile import Cost, ProfileReport, profiling

Run = Callable[[str], str]


def test_calls_and_bytes_are_counted_by_operation() -> None:
    x = torch.ones(1000, requires_grad=True)
    with profiling() as profiler:
        for _ in range(3):
            (x.exp() * 2).sum().backward()
    costs = {c.name: c for c in profiler.report().costs}
    assert {name: c.calls for name, c in costs.items()} == {"exp": 3, "mul": 3, "sum": 3}
    assert all(c.backward_calls == 3 for c in costs.values())
    assert costs["exp"].nbytes == 3 * (4000 + 4000)
    assert profiler.seconds >= sum(c.total for c in costs.values()) > 0


def test_views_make_no_bytes() -> None:
    x = torch.ones(1000)
    with profiling() as profiler:
        x.view(10, 100).t()
    assert sum(c.nbytes for c in profiler.report().costs) == 0


def test_optimizer_steps_have_a_row(run: Run) -> None:
    run("w = torch.ones(2, requires_grad=True); sgd = torch.optim.SGD([w], lr=0.1)")
    text = run("%%profile\nw.sum().backward()\nsgd.step()")
    assert "SGD.step" in text


def test_the_dearest_come_first_and_the_share_is_of_the_whole_time() -> None:
    report = ProfileReport(2.0, [Cost("dear", 1, 1.5), Cost("cheap", 2, 0.1, 2, 0.1, 2048)])
    lines = str(report).splitlines()
    assert lines[1].split() == ["dear", "1", "1.50", "s", "1.50", "s", "75%", "0", "B"]
    assert lines[2].split()[:2] == ["cheap", "2"]
    assert lines[-1] == "2.00 s in all: 1.70 s in operations, 300.00 ms in Python and in watching"


@pytest.mark.parametrize("sort", ["total", "forward", "backward", "calls", "bytes"])
def test_rows_can_be_sorted_and_limited(run: Run, sort: str) -> None:
    text = run(f"%%profile --sort {sort} --top 1\nx = torch.ones(3).exp().sin()")
    assert "... and 1 operations more" in text


def test_arguments_it_does_not_know_are_refused(run: Run) -> None:
    assert "invalid choice: 'name'" in run("%%profile --sort name\n1")
    assert "unrecognized arguments" in run("%%profile --fast\n1")


def test_a_cell_that_fails_leaves_nobody_watching(run: Run) -> None:
    assert "ZeroDivisionError" in run("%%profile\n1 / 0")
    assert observers.active == []


def test_a_cell_without_operations_says_so(run: Run) -> None:
    assert "No tensor operation" in run("%%profile\n1 + 1")
