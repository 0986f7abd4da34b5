"""%%trace: gradients by parameter and by node."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.core import observers
from flambeau.magics.trace import Statistics, tracing

Run = Callable[[str], str]


def test_statistics_count_zeros_nan_and_infinities() -> None:
    found = Statistics.of(np.array([0.0, 3.0, 4.0, np.nan, np.inf, 0.0], np.float32))
    assert (found.norm, found.nan, found.infinite) == (5.0, 1, 1)
    assert found.zeros == pytest.approx(2 / 6)


def test_the_report_lists_parameters_then_nodes_in_order(run: Run) -> None:
    run("net = nn.Sequential(nn.Linear(3, 2), nn.ReLU()); x = torch.ones(4, 3)")
    lines = run("%%trace\nnet(x).sum().backward()").splitlines()
    assert lines[0] == "Gradients, 1 backward pass"
    assert [line.split()[0] for line in lines[2:4]] == ["net.0.weight", "net.0.bias"]
    names = [line.split()[0] for line in lines[6:]]
    assert names == ["SumBackward0", "ReluBackward0", "AddmmBackward0"]


def test_norms_are_those_of_the_gradients() -> None:
    net = nn.Linear(3, 2)
    with tracing() as found:
        net(torch.ones(4, 3)).sum().backward()
    report = found.report({id(p): n for n, p in net.named_parameters()})
    for name, statistics in report.parameters:
        gradient = net.get_parameter(name).grad
        assert gradient is not None
        assert statistics.norm == pytest.approx(np.linalg.norm(gradient.numpy()))


def test_contributions_to_a_shared_weight_add_up() -> None:
    w = torch.ones(2, requires_grad=True)
    with tracing() as found:
        (w * 2 + w.sin() * 0 + w).sum().backward()
    ((_, statistics),) = found.report({id(w): "w"}).parameters
    assert statistics.norm == pytest.approx(np.sqrt(2 * 9.0))


def test_the_last_of_several_passes_is_shown(run: Run) -> None:
    run("w = torch.ones(2, requires_grad=True)")
    text = run("%%trace\nfor k in range(3):\n    (w * k).sum().backward()")
    assert "last of 3 backward passes" in text
    assert "w          2      2.83     0%" in text


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
    assert "no gradient: net.unused.weight, net.unused.bias\n" in text


def test_a_cell_that_fails_shows_its_traceback_and_leaves_nobody_watching(run: Run) -> None:
    text = run("%%trace\n1 / 0")
    assert "ZeroDivisionError" in text
    assert "No backward pass" in text
    assert observers.active == []


def test_the_number_of_nodes_can_be_limited(run: Run) -> None:
    run("w = torch.ones(2, requires_grad=True)")
    text = run("%%trace --nodes 1\nw.exp().sin().sum().backward()")
    assert "... and 2 more" in text
    assert "unrecognized arguments" in run("%%trace --depth 3\n1")


def test_sparse_gradients_are_shown_as_what_they_stand_for(run: Run) -> None:
    run("table = nn.Embedding(5, 2, sparse=True)")
    text = run("%%trace\ntable(torch.tensor([1, 1])).sum().backward()")
    assert "table.weight  5×2    2.83    80%" in text
