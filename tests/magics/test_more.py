"""%bench, %lr_find, %plot, %watch, %device, %seed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.magics.bench import Bench, bench
from flambeau.magics.lr_find import LearningRates, lr_find
from flambeau.magics.plot import plot
from flambeau.magics.watch import described, live_value
from tests.kernel.conftest import LiveKernel

Run = Callable[[str], str]

# -- %bench ----------------------------------------------------------------------------------------


def test_blocks_alternate_and_run_as_often_on_both_sides() -> None:
    order: list[str] = []

    def side(name: str) -> Callable[[int], None]:
        def run(count: int) -> None:
            order.append(name)
            sum(range(200 * count))

        return run

    found = bench(side("a"), side("b"), block=0.001, blocks=5)
    assert order[-10:] == ["a", "b"] * 5
    assert [len(times) for times in found.seconds] == [5, 5]


def test_the_verdict_needs_most_pairs_to_agree() -> None:
    clear = Bench(["a", "b"], [[1.0] * 9, [2.0] * 9])
    assert "The first is 2.00 times as fast: second / first 2.00" in str(clear)
    clear = Bench(["a", "b"], [[2.0] * 9, [1.0] * 9])
    assert "The second is 2.00 times as fast" in str(clear)
    noisy = Bench(["a", "b"], [[1.0] * 9, [0.8, 0.9, 1.1, 1.2, 1.0, 0.9, 1.1, 1.2, 0.8]])
    assert "No difference that shows" in str(noisy)


def test_statements_see_the_session(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flambeau.magics.bench.bench.__kwdefaults__", {"block": 0.001,
                        "blocks": 3, "names": None})  # fmt: skip
    run("mine = torch.ones(3)")
    lines = run("%bench mine * 2 vs mine.exp()").splitlines()
    assert [line.split("  ")[0] for line in lines[1:3]] == ["mine * 2", "mine.exp()"]
    assert "second / first" in lines[3]
    assert run("%%bench\na = mine + 1\nb = a * 2\nvs\nc = mine").splitlines()[2].startswith("c = ")
    assert "NameError" in run("%bench unknown + 1")
    assert "is no Python" in run("%bench 1 +")
    assert "expected a statement" in run("%bench")


# -- %lr_find --------------------------------------------------------------------------------------


def setup() -> tuple[Any, Any, Any, Any]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
    x = torch.randn(64, 4)
    return net, x, x.sum(1, keepdim=True), torch.optim.Adam(net.parameters(), lr=0.5)


def test_it_finds_a_rate_and_leaves_everything_as_it_was() -> None:
    net, x, y, adam = setup()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    words = torch.get_rng_state().clone()
    found = lr_find(lambda: ((net(x) - y) ** 2).mean() + 0 * torch.rand(1).sum(), adam,
                    1e-5, 100.0, 40, [net])  # fmt: skip
    assert found.best is not None
    assert 1e-4 < found.best < 10
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert adam.param_groups[0]["lr"] == 0.5
    assert len(adam.state) == 0
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(torch.get_rng_state(), words)


def test_an_error_half_way_puts_all_back_too() -> None:
    net, x, _, adam = setup()
    weight = net[0].weight.clone()
    calls = []

    def loss() -> Any:
        calls.append(1)
        if len(calls) > 3:
            raise KeyError("no more data")
        return net(x).mean()

    with pytest.raises(KeyError):
        lr_find(loss, adam)
    assert torch.equal(net[0].weight, weight)
    assert adam.param_groups[0]["lr"] == 0.5


def test_the_suggestion_is_where_the_loss_falls_fastest() -> None:
    found = LearningRates([1e-4, 1e-3, 1e-2, 1e-1, 1.0], [1.0, 0.95, 0.5, 0.2, 3.0])
    assert found.best == 1e-2
    ElementTree.fromstring(found._repr_html_().partition("<pre")[0])
    assert "fell at no learning rate" in str(LearningRates([1e-3, 1e-2], [1.0, 2.0]))


def test_the_magic_refuses_what_is_no_loss(run: Run) -> None:
    run("net = nn.Linear(2, 1); sgd = torch.optim.SGD(net.parameters(), lr=0.1)")
    assert "lr=" in run("%lr_find --steps 20 sgd (net(torch.ones(4, 2)) - 3).square().mean()")
    assert "expected an optimizer first. Got Linear" in run("%lr_find net 1")
    assert "%lr_find: expected a loss" in run("%lr_find sgd 3")
    assert "shape (4, 1)" in run("%lr_find sgd net(torch.ones(4, 2))")
    assert "expected 0 < low < high" in run("%lr_find --low 2 --high 1 sgd net.weight.sum()")


# -- %plot -----------------------------------------------------------------------------------------


def test_kinds_of_values_become_lines() -> None:
    net = nn.Linear(2, 1)
    assert plot([1, 2, 3], "x").lines == {"x": [1.0, 2.0, 3.0]}
    assert plot(torch.ones(2, 3), "m").lines == {"m[0]": [1.0] * 3, "m[1]": [1.0] * 3}
    assert set(plot({"a": [1.0], "b": torch.ones(2)}).lines) == {"a", "b"}
    assert set(plot(net).lines) == {"parameter norm", "gradient norm"}
    counted = plot(torch.tensor([0.0, 0.0, 1.0]), "h", histogram=True)
    assert sum(counted.lines["h"]) == 3.0


def test_text_rises_with_the_values() -> None:
    rows = str(plot([1.0, 2.0, 3.0, float("nan")], "x")).splitlines()
    assert len(rows) == 9
    assert rows[0].endswith("│  █")
    assert rows[7].endswith("│▁██")
    assert rows[0].split()[0] == "3"
    assert rows[7].split()[0] == "1"


def test_plots_are_written_and_nonsense_is_refused(run: Run, tmp_path: Path) -> None:
    run(f"%plot [1, 2, 3] -o {tmp_path}/p.svg")
    ElementTree.fromstring((tmp_path / "p.svg").read_text())
    assert "█" in run("%plot [1, 2, 3]")
    assert "%plot: expected numbers. Got Tensor" not in run("%plot torch.ones(3)")
    assert "%plot: expected numbers" in run("%plot 'abc'")
    assert "at most 12 lines. Got 20" in run("%plot {k: [k] for k in range(20)}")


# -- %watch ----------------------------------------------------------------------------------------


@pytest.fixture
def kernel() -> Iterator[LiveKernel]:
    found = LiveKernel()
    yield found
    found.close()


def test_locals_of_the_function_that_runs_are_seen_from_another_thread() -> None:
    seen: list[Any] = []

    def train() -> None:
        secret_step = 41
        thread = threading.Thread(
            target=lambda: seen.append(live_value("secret_step + other", {"other": 1}))
        )
        thread.start()
        thread.join(60)
        assert secret_step == 41

    train()
    assert seen == [42]


def test_values_are_told_in_a_line() -> None:
    assert described(torch.tensor(0.25)) == "0.25"
    assert described(torch.arange(4.0)) == "4 torch.float32: mean 1.5, 0 to 3"
    assert described(torch.ones(2, device="meta")) == "2 torch.float32 on meta"
    assert len(described("x" * 1000)) == 200


def test_it_looks_as_often_as_asked(run: Run) -> None:
    run("a, b = 1, torch.ones(2)")
    assert run("%watch a b.sum() -n 2 --every 0") == "a = 1   b.sum() = 2\n" * 2
    assert "(NameError: name 'nothing' is not defined)" in run("%watch nothing")
    assert "at least one look" in run("%watch a -n 0")


# -- %device, %seed --------------------------------------------------------------------------------


def test_the_seed_serves_all_generators(run: Run) -> None:
    draw = "import random, numpy\nprint(torch.rand(1).item(), numpy.random.rand(), random.random())"
    run("%seed 7")
    first = run(draw)
    run("%seed 7")
    assert run(draw) == first
    assert "The seed is 7." in run("%seed")
    assert "expected an integer. Got 'x'" in run("%seed x")


def test_the_device_of_new_tensors(run: Run) -> None:
    assert "There: cpu and meta" in run("%device")
    run("%device meta")
    assert "meta" in run("torch.ones(1).device")
    assert "New tensors are made on cpu." in run("%device cpu")
    assert "UsageError: %device:" in run("%device toaster")
