"""%graph of large models: folded by module, unfolded in a page, compared, written for others."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.magics.graph import folded, graph, graph_diff
from flambeau.magics.graph.export import graph_dot, graph_json, graph_mermaid
from flambeau.magics.graph.folding import READABLE, inside, readable
from flambeau.magics.graph.folding_html import graph_html
from flambeau.magics.graph.modules import placed
from flambeau.magics.graph.nodes import Graph
from flambeau.magics.modules import named_modules

Run = Callable[[str], str]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return x + self.two(self.one(x).relu())


def network(blocks: int) -> tuple[Any, dict[int, str]]:
    torch.manual_seed(0)
    net = nn.Sequential(*[Block() for _ in range(blocks)])
    return net, {id(p): f"net.{n}" for n, p in net.named_parameters()}


def is_acyclic(found: Graph) -> bool:
    done: set[int] = set()
    for node in reversed(found.operations):
        if any(k not in done for k in node.inputs if not found.nodes[k].is_leaf):
            return False
        done.add(node.key)
    return True


def test_modules_are_guessed_from_the_names_of_parameters() -> None:
    net, names = network(2)
    found = graph(net(torch.ones(2, 4)).sum(), names)
    by_label = [(n.label, n.path[-1] if n.path else "") for n in found.operations]
    assert by_label == [
        ("sum", ""), ("add", ""), ("addmm", "net.1.two"), ("relu", "net.1"),
        ("addmm", "net.1.one"), ("add", "net"), ("addmm", "net.0.two"), ("relu", "net.0"),
        ("addmm", "net.0.one"),
    ]  # fmt: skip


def test_watched_forwards_know_modules_and_lines_exactly() -> None:
    net, names = network(2)
    with placed(named_modules({"net": net})):
        out = net(torch.ones(2, 4))
    found = graph(out, names)
    assert [n.path[1] for n in found.operations] == ["net.1"] * 4 + ["net.0"] * 4
    assert all("test_folding.py line" in n.line for n in found.operations)


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
@pytest.mark.parametrize("watched", [True, False])
def test_folding_keeps_order_operations_and_parameters(depth: int, watched: bool) -> None:
    net, names = network(5)
    x = torch.ones(2, 4, requires_grad=True)
    if watched:
        with placed(named_modules({"net": net})):
            out = net(x).sum()
    else:
        out = net(x).sum()
    whole = graph(out, {**names, id(x): "x"})
    found = folded(whole, depth)
    assert is_acyclic(found)
    assert sum(n.operations for n in found.operations) == len(whole.operations)
    kept = sum(n.count for n in found.leaves) + sum(n.parameters for n in found.operations)
    assert kept == sum(n.count for n in whole.leaves)
    assert "x" in [n.label for n in found.leaves]


def test_a_module_called_again_later_is_folded_apart() -> None:
    shared = nn.Linear(4, 4)
    names = {id(p): f"shared.{n}" for n, p in shared.named_parameters()}
    with placed({id(shared): "shared"}):
        out = shared(shared(torch.ones(1, 4)).exp())
    found = folded(graph(out, names), 0)
    assert [n.label for n in found.operations] == ["shared", "exp", "shared"]
    assert is_acyclic(found)


def test_large_graphs_are_folded_as_deep_as_can_be_read() -> None:
    net, names = network(30)
    whole = graph(net(torch.ones(2, 4)), names)
    found = readable(whole)
    assert len(found.operations) <= READABLE < len(whole.operations)
    assert [n.label for n in readable(whole, 0).operations] == ["add", "net"]
    small = graph(torch.ones(1, requires_grad=True).exp())
    assert readable(small) is small


def test_what_is_folded_can_be_looked_into() -> None:
    net, names = network(2)
    with placed(named_modules({"net": net})):
        out = net(torch.ones(2, 4))
    found = folded(graph(out, names), 1)
    last = found.operations[0]
    assert last.label == "net.1"
    part = inside(found, last.key)
    assert [n.label for n in part.operations] == ["add", "net.1.two", "relu", "net.1.one"]
    assert [n.label for n in part.leaves] == ["from add of net.0"]
    deeper = inside(part, part.operations[1].key)
    assert [n.label for n in deeper.operations] == ["addmm"]


def test_five_thousand_nodes_make_a_page(run: Run) -> None:
    net, names = network(1000)
    out = net(torch.ones(1, 4)).sum()
    whole = graph(out, names)
    assert len(whole.operations) == 4001
    page = graph_html(whole)
    assert len(page) < 20_000_000
    assert len(str(readable(whole)).splitlines()) < 410


def test_the_page_unfolds_by_elements_that_are_there() -> None:
    net, names = network(30)
    with placed(named_modules({"net": net})):
        out = net(torch.ones(2, 4)).sum()
    page = graph_html(graph(out, names))
    panels = set(re.findall(r'<details id="([^"]+)"', page))
    clicked = set(re.findall(r"getElementById\('([^']+)'\)", page))
    assert clicked == panels
    assert len(panels) >= 30
    ET.fromstring(page.replace("var d=", "").replace("<details ", "<details "))


def test_gradients_colour_boxes() -> None:
    net, names = network(1)
    loss = net(torch.ones(2, 4)).sum()
    cold = graph(loss, names)._repr_svg_()
    loss.backward()
    hot = graph(loss, names)._repr_svg_()
    assert "gradient norm" not in cold
    assert "gradient norm" in hot
    assert "#ee8b80" in hot


def test_saved_bytes_are_told() -> None:
    x = torch.ones(1000, requires_grad=True)
    assert "saves 4.0 kB" in graph(x.exp())._repr_svg_()


def test_other_programs_can_read_it() -> None:
    net, names = network(2)
    with placed(named_modules({"net": net})):
        out = net(torch.ones(2, 4)).sum()
    found = graph(out, names)
    data = json.loads(graph_json(found))
    assert len(data["nodes"]) == len(found.nodes)
    assert {"from", "to"} == set(data["edges"][0])
    assert data["nodes"][1]["module"] == ["net", "net.1"]
    for text, begin, end, arrow in (
        (graph_mermaid(found), "subgraph", "end", "-->"),
        (graph_dot(found), "subgraph", "}", "->"),
    ):
        rows = [row.strip() for row in text.splitlines()]
        assert sum(row.startswith(begin) for row in rows) == 7
        assert sum(row == end for row in rows) == 7 + (end == "}")
        assert sum(arrow in row for row in rows) == len(data["edges"])
        assert sum(bool(re.match(r"n\d+[\[(\s]+[^-]", row)) for row in rows) >= len(found.nodes)


def test_a_model_is_called_on_its_input_and_stays_as_it_was(run: Run) -> None:
    run("net = nn.Sequential(nn.Linear(3, 2), nn.ReLU()); x = torch.ones(4, 3)")
    lines = run("%graph net x").splitlines()
    assert lines[1:] == [
        "●  relu  4×2", "●  addmm  4×2  ← input 0 4×3, net.0.weight 2×3, net.0.bias 2",
    ]  # fmt: skip
    assert run("x.requires_grad, net[0].weight.grad").strip().endswith("(False, None)")


def test_what_changed_between_two_runs_is_shown(run: Run) -> None:
    run("w = torch.ones(3, 3, requires_grad=True); x = torch.ones(2, 3); y = (x @ w).relu().sum()")
    run("%graph y")
    run("y = (x[:1] @ w).relu().exp().sum()")
    text = run("%graph --diff y")
    assert "~ matmul  2×3  float32  →  1×3  float32" in text
    assert "+ exp  1×3  float32" in text
    assert "1 operation or leaf new; 2 operations or leaves changed" in text
    assert "Both graphs are the same" in run("%graph --diff y")
    assert "- relu" in run("%graph --diff w.relu().sum() w.sum()")


def test_unchanged_stretches_are_counted_not_shown() -> None:
    def chain(last: str) -> Any:
        out = torch.ones(1, requires_grad=True)
        for _ in range(20):
            out = out.sin()
        return graph(getattr(out, last)())

    text = str(graph_diff(chain("exp"), chain("cos")))
    assert "... 18 operations the same" in text
    assert "- exp" in text
    assert "+ cos" in text


@pytest.mark.parametrize("suffix", ["svg", "html", "txt", "mmd", "dot", "json"])
def test_every_kind_of_file_is_written(run: Run, tmp_path: Path, suffix: str) -> None:
    run("w = torch.ones(3, requires_grad=True)")
    run(f"%graph -o {tmp_path}/g.{suffix} w.exp().sum()")
    assert "exp" in (tmp_path / f"g.{suffix}").read_text()
