"""%graph: what it draws, as text and as SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.magics.graph import graph, svg

Run = Callable[[str], str]
SVG = "{http://www.w3.org/2000/svg}"


def test_the_text_names_operations_shapes_and_leaves(run: Run) -> None:
    run("x = torch.tensor(2.0, requires_grad=True); y = x**2 + 3*x")
    assert run("%graph y").splitlines() == [
        "3 operations, 1 leaf with 1 element",
        "●  add  scalar",
        "├─╮",
        "│ ●  mul  scalar  ← x scalar",
        "●  pow  scalar  (exponent=2)  ← x scalar",
    ]


def test_parameters_have_the_path_below_their_module(run: Run) -> None:
    run("net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))")
    run("out = net(torch.ones(4, 3))")
    lines = run("%graph out.mean()").splitlines()
    assert lines[1:] == [
        "●  mean  scalar",
        "●  addmm  4×1  ← net.2.weight 1×2, net.2.bias 1",
        "●  relu  4×2",
        "●  addmm  4×2  ← net.0.weight 2×3, net.0.bias 2",
    ]


def test_branches_join_where_a_value_is_used_twice() -> None:
    x = torch.ones(2, requires_grad=True)
    h = x.exp()
    text = str(graph((h.sin() + h).sum(), {id(x): "x"}))
    assert text.splitlines()[1:] == [
        "●  sum  scalar",
        "●  add  2",
        "├─╮",
        "● │  sin  2",
        "├─╯",
        "●  exp  2  ← x 2",
    ]


def test_the_graph_holds_every_node_and_edge_once() -> None:
    x = torch.ones(2, requires_grad=True)
    h = x * x
    found = graph(h + h)
    assert [n.label for n in found.operations] == ["add", "mul"]
    assert len(found.leaves) == 1
    add, mul = found.operations
    assert add.inputs == [mul.key, mul.key]


def test_a_number_of_steps_cuts_the_graph_and_says_so() -> None:
    x = torch.ones(1, requires_grad=True)
    out = x
    for _ in range(10):
        out = out.sin()
    found = graph(out, steps=3)
    assert len(found.operations) == 4
    assert "cut at the steps asked for" in str(found)


def test_a_graph_of_ten_thousand_nodes_needs_no_recursion() -> None:
    out = x = torch.ones(1, requires_grad=True)
    for _ in range(10_000):
        out = out + x
    text = str(graph(out))
    assert text.splitlines()[-1].startswith("... and ")
    assert "too many to draw" in graph(out)._repr_svg_()


def test_shapes_survive_a_backward_pass_as_far_as_they_can() -> None:
    x = torch.ones(3, requires_grad=True)
    out = (x * 2).sum()
    out.backward()
    assert "sum" in str(graph(out))


def drawing(found: Any) -> Any:
    return ET.fromstring(found._repr_svg_())


def boxes(root: Any) -> list[tuple[float, float, float, float]]:
    return [
        tuple(float(r.get(k)) for k in ("x", "y", "width", "height"))  # type: ignore[misc]
        for r in root.iterfind(f"./{SVG}g/{SVG}rect")
    ]


def network_loss() -> tuple[Any, Any]:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))

        def forward(self, x: Any) -> Any:
            return torch.relu(x + self.inner(x))

    net = nn.Sequential(Block(), Block(), nn.Linear(4, 3))
    loss = nn.functional.cross_entropy(net(torch.ones(2, 4)), torch.tensor([0, 1]))
    return loss, net


def test_the_drawing_is_valid_svg_with_a_box_a_node_and_no_overlap() -> None:
    loss, net = network_loss()
    found = graph(loss, {id(p): n for n, p in net.named_parameters()})
    root = drawing(found)
    placed = boxes(root)
    assert len(placed) == len(found.nodes)
    width, height = float(root.get("width")), float(root.get("height"))
    for k, (x, y, w, h) in enumerate(placed):
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
        for x2, y2, w2, h2 in placed[k + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    words = " ".join(t.text or "" for t in root.iter(f"{SVG}text"))
    assert "0.inner.0.weight" in words
    assert "nll_loss" in words


def test_data_flows_downwards_in_the_drawing() -> None:
    root = drawing(graph(network_loss()[0]))
    for path in root.findall(f"./{SVG}path"):
        numbers = [float(v) for v in re.findall(r"-?[\d.]+", path.get("d"))]
        assert numbers[1] < numbers[-1]


def test_names_are_escaped_in_the_drawing() -> None:
    x = torch.ones(1, requires_grad=True)
    assert "a&lt;b" in graph(x.exp(), {id(x): "a<b"})._repr_svg_()


def test_a_single_leaf_is_drawn() -> None:
    x = torch.ones(1, requires_grad=True)
    assert len(boxes(drawing(graph(x, {id(x): "x"})))) == 1
    assert str(graph(x, {id(x): "x"})).splitlines() == [
        "0 operations, 1 leaf with 1 element",
        "x 1",
    ]


def test_the_graph_of_a_call_leaves_statistics_and_random_streams(run: Run) -> None:
    run("net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout())")
    run("mean = net[1].running_mean.clone(); state = torch.get_rng_state()")
    shown = run("%graph net (5, 3)")  # a shape stands for a tensor
    assert "native_batch_norm" in shown
    assert "input 0 5×3" in shown
    assert "net.1.weight 4" in shown
    left = "net[1].running_mean.equal(mean), torch.get_rng_state().equal(state), net.training"
    assert "(True, True, True)" in run(left)


def test_drawings_stop_at_a_size_that_can_be_read() -> None:
    assert svg.LIMIT <= 2000


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%graph", "%graph: the following arguments are required: expression. %graph? explains."),
        ("%graph --colour y", "unrecognized arguments: --colour"),
        ("%graph nothing_of_the_name", "raised NameError"),
        ("%graph 3", "Got int"),
        ("%graph nn.Linear(1, 1)", "Got Linear. Give its input too: %graph model input."),
        ("%graph torch.ones(2)", "requires_grad=True"),
        ("%graph []", "Got list"),
        ("%graph -d deep torch.ones(1, requires_grad=True).exp()", "a depth from 0 up, or all"),
        ("%graph --diff torch.ones(1, requires_grad=True).cos()", "that %graph has shown before"),
        (
            "%graph -o graph.pdf torch.ones(1, requires_grad=True).exp()",
            "that ends in .txt, .svg, .html, ",
        ),
    ],
)
def test_arguments_that_make_no_graph_are_explained(run: Run, line: str, words: str) -> None:
    text = run(line)
    assert words in text
    assert "Traceback" not in text


def test_the_drawing_goes_to_a_file(run: Run, tmp_path: Path) -> None:
    run("x = torch.ones(2, requires_grad=True)")
    run(f"%graph x.exp() -o {tmp_path / 'g.svg'}")
    run(f"%graph x.exp() -o {tmp_path / 'g.txt'}")
    assert ET.fromstring((tmp_path / "g.svg").read_text()).tag == f"{SVG}svg"
    assert "exp" in (tmp_path / "g.txt").read_text()


def test_a_file_whose_name_has_a_space_is_given_in_quotes(run: Run, tmp_path: Path) -> None:
    run("x = torch.ones(2, requires_grad=True)")
    run(f"%graph x.exp() -o '{tmp_path / 'of x.txt'}'")
    assert "exp" in (tmp_path / "of x.txt").read_text()


def test_colours_of_gradients_are_explained_below_the_drawing() -> None:
    w = torch.ones(3, requires_grad=True)
    loss = (w * 2).sum()
    assert "gradient norm" not in svg.graph_svg(graph(loss))
    loss.backward()
    drawn = ET.fromstring(svg.graph_svg(graph((w * 2).sum())))
    texts = [t.text for t in drawn.iter(f"{SVG}text")]
    assert texts[-2:] == ["gradient norm 3.5", "3.5"]  # 2 * sqrt(3)
    lowest = max(float(r.get("y", 0)) + 10 for r in drawn.iter(f"{SVG}rect"))
    assert lowest <= float(drawn.get("height", 0))
