"""%why: the reason of a gradient that is None or zero."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import flambeau as torch
from flambeau.core import observers
from flambeau.magics.why import FlowRecorder, account
from flambeau.magics.why.history import suspects

Run = Callable[[str], str]


@pytest.fixture
def net(run: Run) -> Run:
    run(
        "net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)); x = torch.ones(2, 3)\n"
        "w = torch.ones(3, requires_grad=True)"
    )
    return run


def test_no_backward_pass_has_run(net: Run) -> None:
    net("loss = net(x).sum()")
    assert "no backward pass has run. loss would reach it: loss.backward()." in net(
        "%why net[0].weight.grad"
    )


def test_a_gradient_that_is_there_is_described(net: Run) -> None:
    net("(w * 2).sum().backward()")
    assert "w.grad is there: 3 of norm 3.464." in net("%why w.grad")
    assert "w.grad is there" in net("%why w")


def test_it_was_cleared_after_the_backward_pass(net: Run) -> None:
    net("loss = (w * w).sum(); loss.backward(); w.grad = None")
    assert "the backward pass of loss has run through w, and the gradient was cleared" in net(
        "%why w.grad"
    )


def test_zeros_written_afterwards_name_their_line(net: Run) -> None:
    net("(w * w).sum().backward()\nw.grad.zero_()")
    text = net("%why w.grad")
    assert "set so after the backward pass" in text
    assert "line 2: w.grad.zero_()" in text


def test_results_that_are_no_leaves(net: Run) -> None:
    net("v = torch.ones(2, requires_grad=True) * 0.5")
    text = net("%why v.grad")
    assert "v is not a leaf but the result of MulBackward0" in text
    assert "line 1: v = torch.ones(2, requires_grad=True) * 0.5" in text
    assert "retain_grad()" in text


def test_tensors_that_need_no_gradient(net: Run) -> None:
    assert "x requires no gradient" in net("%why x.grad")
    assert "torch.int64 has no gradients" in net("i = torch.arange(3)\n%why i.grad")
    net("d = (w * 2).detach()")
    assert "There its past ends: detach() gives a tensor without a past." in net("%why d.grad")
    net("net[0].weight.requires_grad = False")
    assert "The parameter is frozen" in net("%why net[0].weight.grad")


def test_the_line_that_detached_is_found_in_past_cells(net: Run) -> None:
    net("h = x * w\nk = h.detach()")
    net("loss = net(k).sum()")
    text = net("%why w.grad")
    assert "The graph behind loss does not lead to w." in text
    assert "line 2: k = h.detach()   (detach() gives a tensor without a past)" in text


def test_a_module_stands_for_its_parameters(net: Run) -> None:
    net("net[2].bias.requires_grad = False; net(x).sum().backward()")
    lines = net("%why net").splitlines()
    assert lines[0] == "net.0.weight, net.0.bias, net.2.weight: the gradient is there."
    assert "it.grad is None: it requires no gradient." in lines[2]


CASES = {
    "h = (x * w).detach()\nnet(h).sum().backward()": "was detached before addmm",
    "with torch.no_grad():\n    h = x * w\nnet(h).sum().backward()": "x * w) ran under no_grad",
    "h = (x * w).argmax(1).float()\n(h * net[2].weight.sum()).sum().backward()":
        "has no gradient",
    "net(x).sum().backward()": "Nothing in the cell was computed from w.",
    "h = w.data * 2\nnet(x * h).sum().backward()": "w was detached before mul",
    "loss = (x * w).sum()": "No backward pass ran in the cell.",
    "y = w * 2\nnet(x).sum().backward()": "which does not depend on w.",
    "((x * w) - 100).relu().sum().backward()": "relu (In [",
}  # fmt: skip


@pytest.mark.parametrize("cell", CASES)
def test_a_cell_is_followed_to_where_the_way_is_cut(net: Run, cell: str) -> None:
    assert CASES[cell] in net(f"%%why w.grad\n{cell}")
    assert observers.active == []


def test_leaves_made_in_the_cell_are_followed(net: Run) -> None:
    text = net("%%why u.grad\nu = torch.ones(3, requires_grad=True)\n(u * 2).detach().sum()")
    assert "u.grad is None." in text
    assert "the result of mul" in text


def test_the_gradient_dies_at_the_first_zero_only() -> None:
    w = torch.ones(3, requires_grad=True)
    flow = FlowRecorder()
    with observers.observing(flow):
        ((w * 2).clamp(max=-1.0) * 3).sum().backward()
    lines = account(flow, w, "w")
    assert len(lines) == 2
    assert lines[1].strip().startswith("clamp")


def test_recording_keeps_nothing_alive() -> None:
    w = torch.ones(3, requires_grad=True)
    flow = FlowRecorder()
    with observers.observing(flow):
        inner: Any = w * 2
        known = weakref.ref(inner)
        (inner * 2).sum().backward()
        del inner
    gc.collect()
    assert known() is None
    assert len(flow.steps) == 3


def test_suspects_follow_names_through_assignments_only() -> None:
    cells = ["", "a = f(w)\nb = a + 1\nother = q.detach()", "%magic\nwith torch.no_grad():\n c = b"]
    assert [(s.cell, s.line) for s in suspects(cells, "w")] == [(2, 3)]
    assert suspects(["def f(t):\n    return t.item()"], "w")[0].line == 2
    assert suspects(["this is no Python"], "w") == []


def test_lines_that_the_loss_was_not_computed_by_are_no_suspects() -> None:
    cells = ["old = w.argmax()", "with torch.no_grad():\n out = f(w)\nloss = out.sum()"]
    assert [(s.cell, s.line) for s in suspects(cells, "w", ["loss"])] == [(1, 2)]
    assert [(s.cell, s.line) for s in suspects(cells, "w")] == [(1, 2), (0, 1)]
    again = [*cells, "loss = g(w).detach().sum()"]
    assert [(s.cell, s.line) for s in suspects(again, "w", ["loss"])] == [(2, 1)]


def test_parts_that_the_forward_pass_never_mentions_are_told(net: Run) -> None:
    net(
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.used, self.idle = nn.Linear(3, 1), nn.Sequential(nn.Linear(3, 1))\n"
        "    def forward(self, x):\n"
        "        return self.used(x)\n"
        "own = Net(); own(x).sum().backward()"
    )
    lines = net("%why own").splitlines()
    assert lines[0] == "own.used.weight, own.used.bias: the gradient is there."
    assert lines[1] == "own.idle.0.weight, own.idle.0.bias:"
    assert lines[2].strip() == "it.grad is None: Net.forward does not mention idle."


def test_nonsense_is_refused(net: Run) -> None:
    assert "UsageError: %why: expected a tensor or a module" in net("%why 3")
    assert "UsageError: %why: expected a tensor or a module" in net("%why")
    assert "NameError" in net("%why nothing.grad")
