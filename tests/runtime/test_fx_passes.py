"""Passes over graphs: patterns replaced, shapes noted, modules cut and fused, graphs made anew."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import fx, nn
from flambeau.fx.experimental.optimization import fuse, remove_dropout
from flambeau.fx.passes.shape_prop import ShapeProp
from flambeau.fx.passes.split_module import split_module
from flambeau.fx.subgraph_rewriter import replace_pattern_with_filters


def called(traced: Any) -> list[str]:
    """What the graph calls, in order."""
    return [
        n.target if isinstance(n.target, str) else n.target.__name__
        for n in traced.graph.nodes
        if n.op.startswith("call")
    ]


class Net(nn.Module):
    """A convolution with its norm, a parameter, a default, a method."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.drop = nn.Dropout(0.5)
        self.p = nn.Parameter(torch.randn(2))
        self.bn.running_mean.normal_()

    def forward(self, x: Any, scale: float = 2.0) -> Any:
        y = F.relu(self.bn(self.conv(x))).mean((2, 3))
        y = self.drop(self.fc(y)) * scale + self.p
        return y.view(y.size(0), -1)


X = torch.randn(2, 3, 6, 6)


def test_each_place_that_looks_like_the_pattern_is_replaced() -> None:
    def model(x: Any, w: Any) -> Any:
        first = torch.cat([x, w]).sum()
        return x + torch.max(first) + torch.cat([x, w]).sum()

    traced = fx.symbolic_trace(model)
    matches = fx.replace_pattern(
        traced, lambda a, b: torch.cat([a, b]).sum(), lambda a, b: torch.stack([b, a])
    )
    assert [m.anchor.name for m in matches] == ["sum_2", "sum_1"]
    assert called(traced) == ["stack", "max", "add", "stack", "add"]
    x, w = torch.randn(3), torch.randn(3)
    assert torch.equal(traced(x, w), x + torch.max(torch.stack([w, x])) + torch.stack([w, x]))


def test_places_that_feed_each_other_are_all_replaced() -> None:
    traced = fx.symbolic_trace(lambda x: torch.relu(torch.relu(torch.relu(x))))
    assert len(fx.replace_pattern(traced, torch.relu, lambda x: x - 1)) == 3
    assert traced(torch.ones(1)).item() == -2


def test_values_read_outside_and_other_constants_are_no_match() -> None:
    def model(x: Any) -> Any:
        y = x + 1
        return torch.relu(y) * y, torch.relu(x + 2)

    traced = fx.symbolic_trace(model)
    assert fx.replace_pattern(traced, lambda x: torch.relu(x + 1), lambda x: x) == []
    assert len(fx.replace_pattern(traced, lambda x, k: torch.relu(x + k), lambda x, k: x + k)) == 1
    assert traced(torch.ones(1))[1].item() == 3


def test_a_pattern_and_a_replacement_of_other_parameters_change_nothing() -> None:
    traced = fx.symbolic_trace(lambda x: torch.relu(x))
    with pytest.raises(ValueError, match=r"the same parameters\. Got \(x\) and \(x, y\)"):
        fx.replace_pattern(traced, lambda x: torch.relu(x), lambda x, y: x + y)
    assert called(traced) == ["relu"]


def test_a_pattern_of_two_results_and_a_filter() -> None:
    traced = fx.symbolic_trace(lambda x: (torch.sin(x) + 1, torch.cos(x) * 2))

    def pair(x: Any) -> Any:
        return torch.sin(x), torch.cos(x)

    refused = replace_pattern_with_filters(traced, pair, pair, [lambda *a: False])
    assert refused == []
    assert len(fx.replace_pattern(traced, pair, lambda x: (x, -x))) == 1
    assert [t.item() for t in traced(torch.ones(1))] == [2, -2]


def test_a_replacement_brings_its_modules() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(3, 3)

        def forward(self, x: Any) -> Any:
            return self.dense(x)

    new = Dense()
    traced = fx.symbolic_trace(lambda x: torch.relu(x))
    fx.replace_pattern(traced, lambda x: torch.relu(x), new)
    assert torch.equal(traced(torch.ones(3)), new(torch.ones(3)))


def test_shapes_types_and_dtypes_are_noted() -> None:
    traced = fx.symbolic_trace(Net().eval())
    ShapeProp(traced).propagate(X)
    noted = {n.name: n.meta for n in traced.graph.nodes}
    assert noted["conv"]["tensor_meta"].shape == (2, 4, 4, 4)
    assert noted["fc"]["tensor_meta"].dtype is torch.float32
    assert noted["size"]["type"] is int
    assert "tensor_meta" not in noted["size"]


def test_a_transformer_makes_another_graph_of_the_same_modules() -> None:
    class Smooth(fx.Transformer):
        def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
            if target is F.relu:
                return torch.neg(super().call_function(torch.tanh, args, {}))
            return super().call_function(target, args, kwargs)

    net = Net().eval()
    made = Smooth(fx.symbolic_trace(net)).transform()
    assert called(made)[2:4] == ["tanh", "neg"]
    assert made.conv is net.conv
    assert not torch.equal(made(X), net(X))
    assert torch.equal(fx.Transformer(fx.symbolic_trace(net)).transform()(X, 3.0), net(X, 3.0))


def test_batch_norms_fold_and_dropout_goes() -> None:
    net = Net().eval()
    fused = fuse(net)
    assert "bn" not in called(fused)
    assert torch.allclose(fused(X), net(X), atol=1e-5)
    assert called(remove_dropout(net)) == [n for n in called(fx.symbolic_trace(net)) if n != "drop"]


@pytest.mark.parametrize("cut", [2, 3, 6])
def test_a_graph_is_cut_into_modules(cut: int) -> None:
    net = Net().eval()
    traced = fx.symbolic_trace(net)
    order = {n: k for k, n in enumerate(traced.graph.nodes)}
    parts = split_module(traced, net, lambda n: "late" if order[n] > cut else "early")
    assert [name for name, _ in parts.named_children()] == ["submod_early", "submod_late"]
    assert torch.equal(parts(X), net(X))
    assert parts.submod_early.conv is net.conv


def test_parts_that_need_each_other_are_refused() -> None:
    traced = fx.symbolic_trace(lambda x: torch.relu(torch.exp(torch.sin(x))))
    with pytest.raises(RuntimeError, match="need each other"):
        split_module(traced, traced, lambda n: int(n.name == "exp"))


def test_graph_modules_are_pickled_with_their_graph() -> None:
    traced = fx.symbolic_trace(Net().eval())
    again = pickle.loads(pickle.dumps(traced))
    assert again.code == traced.code
    assert torch.equal(again(X), traced(X))

    def deep(x: Any) -> Any:
        for _ in range(1500):
            x = x + 1
        return x

    assert pickle.loads(pickle.dumps(fx.symbolic_trace(deep)))(torch.zeros(1)).item() == 1500


def test_dead_modules_go_and_what_does_something_stays() -> None:
    def model(x: Any) -> Any:
        y = x.clone()
        y.add_(1)
        torch.exp(x)
        return y

    traced = fx.symbolic_trace(model)
    assert traced.graph.eliminate_dead_code()
    assert called(traced) == ["clone", "add_"]
    for net, remains in ((Net().eval(), False), (Net().train(), True)):
        graph = fx.symbolic_trace(net)
        (norm,) = graph.graph.find_nodes(op="call_module", target="bn")
        norm.replace_all_uses_with(norm.args[0])
        graph.graph.eliminate_dead_code()
        assert ("bn" in called(graph)) == remains


def test_starred_arguments_are_inputs() -> None:
    def model(x: Any, *rest: Any, k: int = 2, **named: Any) -> Any:
        return x * k + rest[0] - named["a"]

    class Module(nn.Module):
        def forward(self, *rest: Any) -> Any:
            return rest[0] + rest[1]

    traced = fx.symbolic_trace(model)
    one = torch.ones(1)
    assert traced(one, 5 * one, a=one).item() == 6
    assert fx.symbolic_trace(Module())(one, one).item() == 2


def test_a_fixed_argument_may_be_given_and_is_checked() -> None:
    def model(x: Any, double: bool, by: int) -> Any:
        return x * by if double else x

    traced = fx.symbolic_trace(model, {"double": True, "by": 3})
    one = torch.ones(1)
    assert traced(one).item() == traced(one, True, 3).item() == 3
    with pytest.raises(AssertionError, match="double was fixed to True"):
        traced(one, False)
