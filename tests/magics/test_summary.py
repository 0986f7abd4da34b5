"""%summary: layers with shapes and work, also of a forward pass that fails."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.core import observers
from flambeau.magics.base import count_text
from flambeau.magics.summary import summary
from flambeau.profiler.flops import flops

Run = Callable[[str], str]


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(800, 10))


def test_layers_have_shapes_parameters_and_work() -> None:
    found = {layer.path: layer for layer in summary(net(), (4, 3, 12, 12)).layers}
    assert [found[path].output for path in ("", "0", "1", "2", "3")] == [
        "4×10", "4×8×10×10", "4×8×10×10", "4×800", "4×10",
    ]  # fmt: skip
    assert found["0"].parameters == 8 * 3 * 9 + 8
    assert found["0"].flops == 2 * (4 * 8 * 10 * 10) * 27
    assert found["2"].flops == 0
    assert found["3"].flops == 2 * 4 * 800 * 10
    assert found[""].parameters == 224 + 16 + 8010


def test_a_forward_that_fails_shows_what_was_reached(run: Run) -> None:
    run("net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(5, 2), nn.Tanh())")
    lines = run("%summary net (3, 4)").splitlines()
    assert lines[3].split() == ["1", "ReLU", "3×6", "18"]
    assert lines[4].endswith("✗ failed here")
    assert lines[5].endswith("not reached")
    assert "failed in 2 (Linear): ShapeError: linear: expected input with 5 features" in lines[-1]


def test_nothing_of_the_model_is_changed() -> None:
    model = net().train()
    mean = model[1].running_mean.clone()  # type: ignore[union-attr, operator]
    summary(model, torch.randn(4, 3, 12, 12))
    assert all(module.training for module in model.modules())
    assert torch.equal(model[1].running_mean, mean)  # type: ignore[arg-type]
    assert all(not module._hooks.get("forward") for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert observers.active == []


def test_a_model_that_trains_meanwhile_stays_as_it_is_and_is_not_counted() -> None:
    class Meeting(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            if threading.current_thread() is threading.main_thread():
                inside.set()
                assert trained.wait(60)
            else:
                modes.append(self.training)
            return super().forward(input)

    def train() -> None:
        assert inside.wait(60)
        model(torch.ones(7, 3))
        trained.set()

    inside, trained, modes, calls = threading.Event(), threading.Event(), list[bool](), list[int]()
    model = nn.Sequential(Meeting(3, 4), nn.ReLU())
    model.register_forward_hook(lambda module, given, output: calls.append(len(output)))
    other = threading.Thread(target=train)
    other.start()
    found = summary(model, (2, 3))
    other.join(60)
    assert [(layer.calls, layer.flops) for layer in found.layers[:2]] == [(1, 48 + 8), (1, 48)]
    assert modes == [True]
    assert calls == [7, 2]
    model(torch.ones(5, 3))
    assert calls == [7, 2, 5]
    assert found.layers[0].calls == 1


def test_embeddings_get_integers_and_dicts_are_keywords(run: Run) -> None:
    run("net = nn.Sequential(nn.Embedding(10, 4), nn.LSTM(4, 5, batch_first=True))")
    assert "2×3×5, 1×2×5, 1×2×5" in run("%summary net (2, 3)")
    run("net = nn.Linear(2, 3)")
    assert "7×3" in run("%summary net {'input': torch.ones(7, 2)}")
    assert "7×3" in run("%summary net torch.ones(7, 2)")


def test_shared_parameters_count_once_and_frozen_ones_are_told() -> None:
    a = nn.Linear(3, 3)
    a.bias.requires_grad = False
    text = str(summary(nn.Sequential(a, a)))
    assert "12 parameters, 48 B, 9 of them trained." in text
    assert "partly frozen" in text


def test_modules_that_run_twice_or_never_are_told() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.never = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.twice(self.twice(x))

    lines = str(summary(Odd(), (1, 2))).splitlines()
    assert lines[2].endswith("called 2 times")
    assert lines[3].endswith("not called")


def test_depth_folds_what_lies_deeper(run: Run) -> None:
    run("net = nn.Sequential(nn.Sequential(nn.Linear(1, 1)))")
    assert "Linear" in run("%summary net")
    assert "Linear" not in run("%summary -d 1 net")


def test_nonsense_is_refused(run: Run) -> None:
    assert "%summary: expected a module first. Got 3, int." in run("%summary 3")
    run("net = nn.Linear(2, 2)")
    assert "NameError" in run("%summary net nothing")


@pytest.mark.parametrize(
    ("label", "shapes", "out", "count"),
    [
        ("matmul", [(5, 7), (7, 3)], (5, 3), 2 * 5 * 7 * 3),
        ("addmm", [(3,), (5, 7), (7, 3)], (5, 3), 2 * 5 * 7 * 3),
        ("linear", [(5, 7), (3, 7), (3,)], (5, 3), 2 * 5 * 7 * 3),
        ("bmm", [(2, 5, 7), (2, 7, 3)], (2, 5, 3), 2 * 2 * 5 * 7 * 3),
        ("mul", [(5, 7), (7,)], (5, 7), 35),
        ("sum", [(5, 7)], (), 35),
    ],
)
def test_work_is_counted(label: str, shapes: list[tuple[int, ...]], out: tuple[int, ...],
                         count: int) -> None:  # fmt: skip
    assert flops(label, shapes, out) == count


def test_counts_read_well() -> None:
    assert [count_text(n) for n in (7, 1200, 3_456_000, 2.5e15)] == [
        "7", "1.2 k", "3.46 M", "2.5e+03 T",
    ]  # fmt: skip


def test_two_models_stand_beside_each_other(run: Run) -> None:
    run("a = nn.Sequential(nn.Linear(4, 6), nn.Dropout(), nn.Linear(6, 2))")
    run("b = nn.Linear(4, 2); b.weight.grad = torch.ones(2, 4)")
    lines = run("%summary a torch.ones(3, 4) --beside b").splitlines()
    assert lines[0].split() == ["a", "b", "first", "/", "second"]
    assert lines[1].split() == ["parameters", "44", "10", "4.40"]
    assert lines[3].split() == ["FLOP", "216", "48", "4.50"]
    assert lines[5].startswith("For 3×4: the largest output is the same in ")
    same = run("%summary a {'input': torch.ones(3, 4)} -b a")
    assert "the same in 100.0%; outputs differ by 0 at most." in same
    assert "(True, 8.0)" in run("a.training, b.weight.grad.sum().item()")
    assert "outputs of other shapes" in run("%summary a (3, 4) -b nn.Linear(4,1)")
    assert "expected an input for two models" in run("%summary a -b b")
    assert "%summary: ShapeError" in run("%summary a (3, 4) -b nn.Linear(5,2)")
    assert "expected a module first. Got 3, int." in run("%summary a (3, 4) -b 3")


def test_a_report_keeps_its_columns_in_a_notebook_and_breaks_its_sentences() -> None:
    shown = summary(nn.Linear(2, 1), (3, 2))._repr_html_()
    table, sentence = shown.split("</pre>")[:2]
    assert "white-space:pre;" in table
    assert "Linear" in table
    assert "white-space:pre-wrap;" in sentence
    assert "3 parameters" in sentence
