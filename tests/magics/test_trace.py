"""%%trace: gradients by parameter and by node."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.core import observers
from flambeau.magics.statistics import Statistics
from flambeau.magics.trace import SampledTrace, trace_report, tracing

Run = Callable[[str], str]


def test_statistics_count_zeros_nan_and_infinities() -> None:
    found = Statistics.of(np.array([0.0, 3.0, 4.0, np.nan, np.inf, 0.0], np.float32))
    assert (found.norm, found.nan, found.infinite) == (5.0, 1, 1)
    assert found.zeros == pytest.approx(2 / 6)


def test_the_report_lists_parameters_then_nodes_in_order(run: Run) -> None:
    run("net = nn.Sequential(nn.Linear(3, 2), nn.Tanh()); x = torch.ones(4, 3)")
    lines = run("%%trace\nnet(x).sum().backward()").splitlines()
    lines = [line for line in lines if not line.startswith("  !")]  # of the random weights
    assert lines[0] == "Gradients, 1 backward pass"
    assert [line.split()[0] for line in lines[3:5]] == ["net.0.weight", "net.0.bias"]
    names = [line.split()[0] for line in lines[7:]]
    assert [re.findall(r"net\.\d", line)[0] for line in lines[8:]] == ["net.1", "net.0"]
    assert all("line 2: net(x).sum().backward()" in line for line in lines[7:])
    assert names == ["SumBackward0", "TanhBackward0", "AddmmBackward0"]


def test_a_cell_that_runs_again_is_named_by_its_own_number(run: Run, shell: Any) -> None:
    run("w = torch.ones(3, requires_grad=True)")
    for _ in range(2):
        number = shell.execution_count
        assert f"In [{number}] line 2: w.sum()" in run("%%trace\nw.sum().backward()")


def test_norms_are_those_of_the_gradients() -> None:
    net = nn.Linear(3, 2)
    with tracing() as found:
        net(torch.ones(4, 3)).sum().backward()
    report = trace_report(found, {id(p): n for n, p in net.named_parameters()})
    for row in report.parameters:
        gradient = net.get_parameter(row.name).grad
        assert gradient is not None
        assert row.statistics.norm == pytest.approx(np.linalg.norm(gradient.numpy()))


def test_contributions_to_a_shared_weight_add_up() -> None:
    w = torch.ones(2, requires_grad=True)
    with tracing() as found:
        (w * 2 + w.sin() * 0 + w).sum().backward()
    (row,) = trace_report(found, {id(w): "w"}).parameters
    assert row.statistics.norm == pytest.approx(np.sqrt(2 * 9.0))


def test_the_last_of_several_passes_is_shown(run: Run) -> None:
    run("w = torch.ones(2, requires_grad=True)")
    text = run("%%trace\nfor k in range(3):\n    (w * k).sum().backward()")
    assert "last of 3 backward passes" in text
    assert "w          2      2.83     2    2    2     0%  ▁" in text


def test_vanished_and_spoiled_gradients_are_marked(run: Run) -> None:
    run("a = torch.ones(2, requires_grad=True); b = torch.zeros(2, requires_grad=True)")
    text = run("%%trace\n((a * 0).sum() + b.sqrt().sum()).backward()")
    assert "all zero" in text
    assert "2 Inf" in text


def test_parameters_without_gradient_are_named(run: Run) -> None:
    run(
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.used, self.unused = nn.Linear(2, 1), nn.Linear(2, 1)\n"
        "        self.register_buffer('count', torch.zeros(1))\n"
        "    def forward(self, x):\n"
        "        return self.used(x)\n"
        "net = Net()"
    )
    text = run("%%trace\nnet(torch.ones(1, 2)).sum().backward()")
    assert "No gradient at all: net.unused.weight and net.unused.bias." in text


def test_a_cell_that_fails_shows_its_traceback_and_leaves_nobody_watching(run: Run) -> None:
    text = run("%%trace\n1 / 0")
    assert "ZeroDivisionError" in text
    assert "No backward pass" in text
    assert observers.active == []


def test_the_number_of_nodes_can_be_limited(run: Run) -> None:
    run("w = torch.ones(2, requires_grad=True)")
    text = run("%%trace --nodes 1\nw.exp().sin().sum().backward()")
    assert "... and 2 more" in text
    assert "%trace: unrecognized arguments: --depth" in run("%%trace --depth 3\n1")


def test_sparse_gradients_are_shown_as_what_they_stand_for(run: Run) -> None:
    run("table = nn.Embedding(5, 2, sparse=True)")
    text = run("%%trace\ntable(torch.tensor([1, 1])).sum().backward()")
    assert "table.weight  5×2    2.83   0.4    0    2    80%" in text


def test_the_first_node_that_makes_nan_is_named_with_its_line(run: Run) -> None:
    run("w = torch.zeros(2, requires_grad=True)")
    text = run("%%trace\nroot = w.sqrt()\n(root * 0.5).exp().sum().backward()")
    assert "! SqrtBackward0 was the first to make 2 Inf, recorded at In [" in text
    assert "line 2: root = w.sqrt()" in text


def test_vanishing_gradients_are_told(run: Run) -> None:
    run("net = nn.Sequential(*[m for _ in range(8) for m in (nn.Linear(8, 8), nn.Sigmoid())])")
    text = run("%%trace\nnet(torch.ones(4, 8)).sum().backward()")
    assert "! Gradients vanish:" in text
    assert "at net.14.weight" in text
    assert "at net.0.weight" in text


def test_exploding_gradients_and_steps_too_large_are_told(run: Run) -> None:
    run("net = nn.Linear(2, 2); sgd = torch.optim.SGD(net.parameters(), lr=1.0)")
    text = run("%%trace\n(net(torch.ones(1, 2)) * 1e4).sum().backward()\nsgd.step()")
    assert "! Gradients explode: norm 2.0e+04 at net.weight" in text
    assert "! The last step changed net.weight by up to" in text


def test_dead_units_are_counted(run: Run) -> None:
    run("net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())\nwith torch.no_grad():\n"
        "    net[0].bias[:3] = -100.0; net[0].bias[3] = 100.0")  # fmt: skip
    text = run("%%trace\nnet(torch.ones(16, 3)).sum().backward()")
    assert "! 3 of 4 units of net.1 gave 0 for the whole batch" in text


def test_updates_are_compared_with_weights() -> None:
    w = torch.full((4,), 2.0, requires_grad=True)
    sgd = torch.optim.SGD([w], lr=0.5)
    with tracing() as found:
        w.sum().backward()
        sgd.step()
    (row,) = trace_report(found, {id(w): "w"}).parameters
    assert row.update == pytest.approx(0.5 / 2.0)


def test_a_healthy_network_has_no_findings() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    sgd = torch.optim.SGD(net.parameters(), lr=0.01)
    with tracing() as found:
        net(torch.randn(64, 8)).square().mean().backward()
        sgd.step()
    report = trace_report(found, {id(p): f"net.{n}" for n, p in net.named_parameters()})
    assert report.findings == []


def test_the_flow_over_passes_is_kept_and_drawn() -> None:
    w = torch.ones(2, requires_grad=True)
    with tracing() as found:
        for k in (1.0, 10.0, 100.0):
            (w * k).sum().backward()
    report = trace_report(found, {id(w): "w"})
    assert report.parameters[0].norms == pytest.approx([k * 2**0.5 for k in (1, 10, 100)])
    assert "▁▅█" in str(report)
    assert report.svg().startswith("<svg")
    assert "Gradient norms over passes" in report._repr_html_()


def test_the_session_is_traced_by_samples_within_its_share(run: Run) -> None:
    run("net = nn.Linear(4, 4); sgd = torch.optim.SGD(net.parameters(), lr=0.01)")
    run("def step():\n    sgd.zero_grad(); net(torch.ones(2, 4)).sum().backward(); sgd.step()")
    assert "Tracing is on; no optimizer step yet." in run("%trace on")
    run("for _ in range(200): step()")
    text = run("%trace")
    assert "of 200 steps watched" in text
    assert "net.weight" in text
    assert "Tracing is off." in run("%trace off")
    assert observers.active == []
    assert "Tracing is off. %trace on watches the session" in run("%trace")


def test_between_samples_nothing_is_observed() -> None:
    w = torch.ones(2, requires_grad=True)
    sgd = torch.optim.SGD([w], lr=0.0)
    sampled = SampledTrace(share=1e-9)
    sampled.start()
    try:
        seen = []
        for _ in range(5):
            w.sum().backward()
            sgd.step()
            seen.append(len(observers.active))
    finally:
        sampled.stop()
    assert seen == [1, 0, 0, 0, 0]
    assert sampled.watched == 1


def test_plots_go_to_files_and_nonsense_is_refused(run: Run, tmp_path: Path) -> None:
    run("w = torch.ones(2, requires_grad=True)")
    target = tmp_path / "flow.svg"
    assert "1 parameters" in run(f"%%trace -o {target}\nw.sum().backward()")
    ElementTree.fromstring(target.read_text())
    assert "expected a file that ends in .svg" in run(f"%%trace -o {tmp_path / 'a.gif'}\n1")
    assert "expected on, off or nothing. Got 'maybe'" in run("%trace maybe")
    assert "expected a share between 0 and 1" in run("%trace on --share 2")
