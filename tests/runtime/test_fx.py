"""Symbolic tracing, and graphs that are changed and run."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import fx, nn


class Net(nn.Module):
    """Submodules, a parameter and a buffer of its own, methods, operators, a tree as a result."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        self.weight = nn.Parameter(torch.randn(8, 2))
        self.register_buffer("factor", torch.full((2,), 0.5))

    def forward(self, x: Any, y: Any = None) -> Any:
        a, b = self.body(x).chunk(2, dim=-1)
        h = F.linear(torch.cat([a, b], dim=1), self.weight.t()) * self.factor + 1.5
        return {"out": torch.sigmoid(2 - h.view(h.shape[0], -1)), "sum": (h.sum(),)}


def test_a_traced_module_computes_the_same_with_the_same_state() -> None:
    net, x = Net(), torch.randn(3, 4)
    traced = fx.symbolic_trace(net)
    assert torch.equal(traced(x)["out"], net(x)["out"])
    assert torch.equal(traced(x)["sum"][0], net(x)["sum"][0])
    assert traced.state_dict().keys() == net.state_dict().keys()
    assert traced.get_submodule("body.0").weight is net.body[0].weight
    assert {n.op for n in traced.graph.nodes} == {
        "placeholder", "get_attr", "call_module", "call_method", "call_function", "output",
    }  # fmt: skip


def test_a_node_is_replaced_and_the_code_written_anew() -> None:
    net, x = Net(), torch.randn(3, 4)
    traced = fx.symbolic_trace(net)
    (node,) = traced.graph.find_nodes(op="call_function", target=torch.sigmoid)
    with traced.graph.inserting_after(node):
        new = traced.graph.call_function(torch.tanh, node.args)
    node.replace_all_uses_with(new)
    traced.graph.erase_node(node)
    traced.graph.lint()
    traced.recompile()
    assert "torch.tanh" in traced.code
    assert "torch.sigmoid" not in traced.code
    wanted = torch.tanh(torch.logit(net(x)["out"]))
    assert torch.allclose(traced(x)["out"], wanted, atol=1e-5)
    copied = copy.deepcopy(traced)
    assert torch.equal(copied(x)["out"], traced(x)["out"])
    assert copied.weight is not traced.weight


def test_a_node_that_is_read_is_not_erased() -> None:
    graph = fx.symbolic_trace(lambda x: torch.relu(x) + 1).graph
    with pytest.raises(RuntimeError, match="read by add"):
        graph.erase_node(graph.find_nodes(op="call_function", target=torch.relu)[0])


def test_dead_nodes_go_and_inputs_stay() -> None:
    def dead(x: Any, y: Any) -> Any:
        torch.exp(x)
        return torch.relu(x)

    graph = fx.symbolic_trace(dead).graph
    assert graph.eliminate_dead_code()
    assert [n.name for n in graph.nodes] == ["x", "y", "relu", "output"]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x if x.sum() > 0 else -x, "cannot branch on gt"),
        (lambda x: [row * 2 for row in x], "cannot go through the parts of x"),
        (lambda x: x * len(x), "cannot take the length of x"),
        (lambda x: torch.zeros(int(x.shape[0])), "cannot take as a Python number"),
    ],
)
def test_what_looks_at_values_is_refused(function: Any, words: str) -> None:
    with pytest.raises(fx.TraceError, match=words):
        fx.symbolic_trace(function)


def test_concrete_arguments_let_python_decide() -> None:
    def either(x: Any, double: bool) -> Any:
        return x * 2 if double else x

    traced = fx.symbolic_trace(either, {"double": True})
    assert traced(torch.ones(1)).item() == 2


def test_custom_tracers_say_which_modules_stay_calls() -> None:
    class Whole(fx.Tracer):
        def is_leaf_module(self, m: Any, path: str) -> bool:
            return isinstance(m, nn.Sequential)

    net = Net()
    graph = Whole().trace(net)
    assert [n.target for n in graph.find_nodes(op="call_module")] == ["body"]
    assert torch.equal(
        fx.GraphModule(net, graph)(torch.ones(1, 4))["out"], net(torch.ones(1, 4))["out"]
    )


def test_functions_written_in_python_are_one_call() -> None:
    traced = fx.symbolic_trace(lambda x: torch.flatten(x, 1))
    assert [n.target for n in traced.graph.find_nodes(op="call_function")] == [torch.flatten]


def test_interpreters_see_every_value() -> None:
    seen = []

    class Watching(fx.Interpreter):
        def run_node(self, n: Any) -> Any:
            result = super().run_node(n)
            seen.append((n.name, getattr(result, "shape", None)))
            return result

    net = Net()
    found = Watching(fx.symbolic_trace(net)).run(torch.ones(3, 4))
    assert torch.equal(found["out"], net(torch.ones(3, 4))["out"])
    assert ("linear", (3, 2)) in seen


def test_tables_and_code_read_well(capsys: pytest.CaptureFixture[str]) -> None:
    traced = fx.symbolic_trace(lambda x: torch.relu(x)[0] + 1)
    traced.graph.print_tabular()
    assert "call_function  relu" in capsys.readouterr().out
    assert str(traced.graph).splitlines()[2].strip().startswith("%relu : [num_users=1] = call_")
    assert traced.code.splitlines()[1].strip() == "relu = torch.relu(x);  x = None"
