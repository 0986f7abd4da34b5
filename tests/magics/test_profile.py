"""%profile: calls, times, bytes and rates by operation, line and module."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.core import observers
from flambeau.magics.profile import Cost, ProfileReport, profile_report, profiling
from flambeau.magics.profile.ceilings import Ceilings, ceilings
from flambeau.magics.profile.flame import frames

Run = Callable[[str], str]


def test_calls_and_bytes_are_counted_by_operation() -> None:
    x = torch.ones(1000, requires_grad=True)
    with profiling() as profiler:
        for _ in range(3):
            (x.exp() * 2).sum().backward()
    costs = {c.name: c for c in profiler.costs()}
    assert {name: c.calls for name, c in costs.items()} == {"exp": 3, "mul": 3, "sum": 3}
    assert all(c.backward_calls == 3 for c in costs.values())
    assert costs["exp"].nbytes == 3 * (4000 + 4000)
    assert costs["exp"].moved == 3 * (4000 + 4000)
    assert profiler.seconds >= sum(c.total for c in costs.values()) > 0


def test_backward_time_stands_at_the_forward_line_and_module(run: Run) -> None:
    run("net = nn.Sequential(nn.Linear(3, 4), nn.Tanh()); x = torch.ones(2, 3)")
    text = run("%%profile --by line\nout = net(x)\nloss = (out * 2).sum()\nloss.backward()")
    lines = [line for line in text.splitlines() if line.startswith("In [")]
    rows = {line.split(":")[0].split()[-1]: line for line in lines}
    assert set(rows) == {"2", "3"}
    assert all(line.count("s  ") >= 3 for line in rows.values())
    text = run("%%profile --by module\nnet(x).sum().backward()")
    assert {"net.0", "net.1"} <= {line.split()[0] for line in text.splitlines()}


def test_views_make_and_move_no_bytes() -> None:
    x = torch.ones(1000)
    with profiling() as profiler:
        x.view(10, 100).t()
    assert sum(c.nbytes + c.moved + c.flops for c in profiler.costs()) == 0


def test_the_peak_counts_what_lives_at_one_time() -> None:
    with profiling() as profiler:
        for _ in range(5):
            a = torch.ones(1000) * 2
            del a
    assert profiler.peak == 4000
    with profiling() as profiler:
        kept = [torch.ones(1000) * k for k in range(5)]
    assert profiler.peak == 20_000
    del kept


def test_rates_are_shares_of_the_ceiling_that_binds() -> None:
    cost = Cost("matmul", 1, forward=1.0, moved=10**9, flops=50 * 10**9)
    report = ProfileReport(1.0, [cost], ceilings=Ceilings(40e9, 100e9))
    assert "1.00 s" in str(report)
    row = str(report).splitlines()[1].split()
    assert row[-4:] == ["1.0", "50.0", "50%", "arithmetic"]
    cost = Cost("add", 1, forward=1.0, moved=30 * 10**9, flops=10**9)
    report = ProfileReport(1.0, [cost], ceilings=Ceilings(40e9, 100e9))
    assert str(report).splitlines()[1].split()[-2:] == ["75%", "memory"]


def test_ceilings_are_measured_and_possible() -> None:
    found = ceilings()
    assert 1e8 < found.bandwidth < 1e13
    assert 1e8 < found.rate < 1e15


def test_optimizer_steps_have_a_row(run: Run) -> None:
    run("w = torch.ones(2, requires_grad=True); sgd = torch.optim.SGD([w], lr=0.1)")
    text = run("%%profile\nw.sum().backward()\nsgd.step()")
    assert "SGD.step" in text


def test_the_dearest_come_first_and_the_share_is_of_the_whole_time() -> None:
    report = ProfileReport(2.0, [Cost("dear", 1, 1.5), Cost("cheap", 2, 0.1, 2, 0.1)])
    lines = str(report).splitlines()
    assert lines[1].split() == ["dear", "1", "1.50", "s", "1.50", "s", "75%"]
    assert lines[2].split()[:2] == ["cheap", "2"]
    assert lines[-1].startswith("2.00 s in all: 1.70 s in operations, 300 ms in Python and in")


@pytest.mark.parametrize("sort", ["total", "forward", "backward", "calls", "bytes", "flops"])
def test_rows_can_be_sorted_and_limited(run: Run, sort: str) -> None:
    text = run(f"%%profile --sort {sort} --top 1\nx = torch.ones(3).exp().sin()")
    assert "... and 1 operation more" in text


def test_two_runs_are_compared(run: Run) -> None:
    run("%profile torch.ones(1000).exp().sin()")
    text = run("%profile --compare torch.ones(1000).exp().cos()")
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert "%)" in lines["exp"]
    assert "new" in lines["cos"].split()
    assert "no longer there: sin" in text
    assert "(before " in text


def test_the_session_is_measured_from_on_to_off(run: Run) -> None:
    assert "Profiling is on." in run("%profile on")
    run("x = torch.ones(3).exp()")
    assert "exp" in run("%profile")
    run("x.sin()")
    text = run("%profile off")
    assert "exp" in text
    assert "sin" in text
    assert observers.active == []
    assert "Profiling is off. %profile on" in run("%profile")


def test_files_hold_the_flame_graph_the_trace_and_the_rows(run: Run, tmp_path: Path) -> None:
    run("net = nn.Linear(3, 4)")
    for suffix in ("svg", "json", "csv"):
        run(f"%profile -o {tmp_path}/p.{suffix} net(torch.ones(2, 3)).sum().backward()")
    ElementTree.fromstring((tmp_path / "p.svg").read_text())
    events = json.loads((tmp_path / "p.json").read_text())["traceEvents"]
    assert {"s", "f", "X", "M"} == {event["ph"] for event in events}
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert {row["operation"] for row in rows} >= {"sum"}
    assert "expected a file that ends in .svg, .json, .csv" in run("%profile -o a.gif 1 + 1")


def test_the_flame_graph_adds_up_lines_and_operations() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    names = {id(net): "net", id(net[0]): "net.0", id(net[1]): "net.1"}
    with profiling(names) as profiler:
        net(torch.ones(2, 3)).sum().backward()
    root = frames(profiler)
    assert root.seconds == pytest.approx(sum(e.seconds for e in profiler.events))

    def kinds(frame: object) -> set[str]:
        above = frame.above.values()  # type: ignore[attr-defined]
        return {frame.kind}.union(*(kinds(f) for f in above))  # type: ignore[attr-defined]

    assert kinds(root) == {"line", "module", "forward", "backward"}


def test_arguments_it_does_not_know_are_refused(run: Run) -> None:
    assert "invalid choice: 'name'" in run("%%profile --sort name\n1")
    assert "unrecognized arguments" in run("%%profile --fast\n1")
    assert "expected options only. Got 'x'" in run("%%profile x\n1")


def test_there_must_be_something_to_compare_with(shell: object, run: Run) -> None:
    registry = shell.magics_manager.registry  # type: ignore[attr-defined]
    registry["ProfileMagics"].last = None
    assert "no earlier profile" in run("%profile --compare 1 + 1")


def test_a_cell_that_fails_leaves_nobody_watching(run: Run) -> None:
    assert "ZeroDivisionError" in run("%%profile\n1 / 0")
    assert observers.active == []


def test_a_cell_without_operations_says_so(run: Run) -> None:
    assert "No tensor operation" in run("%%profile\n1 + 1")


def test_reports_are_made_of_what_is_there() -> None:
    with profiling() as profiler:
        torch.ones(3).exp()
    assert "<details>" in profile_report(profiler)._repr_html_()
