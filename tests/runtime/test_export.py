"""Models traced into graphs: sizes that stay open, writes in place, values that Python reads."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.export import Dim, ExportError, TracerWarning
from flambeau.export.fitting import Source, fit

BATCH = Dim("batch")


def same(program: Any, model: Any, *args: Any) -> None:
    """Both give the same for `args`."""
    found, wanted = program.module()(*args), model(*args)
    assert found.shape == wanted.shape
    assert torch.allclose(found, wanted, atol=1e-6)


def test_a_program_keeps_open_sizes_open_and_fixed_ones_fixed() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
    )
    program = torch.export.export(model, (torch.randn(1, 1, 8, 8),), dynamic_shapes=({0: BATCH},))
    for size in (1, 2, 7):
        same(program, model, torch.randn(size, 1, 8, 8))
    fixed = torch.export.export(model, (torch.randn(2, 1, 8, 8),))
    with pytest.raises(RuntimeError):
        fixed.module()(torch.randn(3, 1, 8, 8))


def test_sizes_computed_in_python_follow_the_input() -> None:
    def model(x: Any) -> Any:
        b, t, c = x.shape
        rows = x.reshape(b * t, c)[: b * t // 2]
        places = torch.arange(t * 2 - 1)
        mask = torch.ones(t, t).tril() + torch.full((t, t), float(t))
        return rows.sum() + places.sum() + mask.sum() + x.new_zeros(b, 3).sum() + b / 1

    program = torch.export.export(
        model, (torch.randn(2, 4, 3),), dynamic_shapes={"x": {0: Dim("b"), 1: Dim("t")}}
    )
    same(program, model, torch.randn(5, 6, 3))
    same(program, model, torch.randn(3, 9, 3))


def test_writes_in_place_reach_the_tensor_its_base_and_its_views() -> None:
    def model(x: Any) -> Any:
        y = x * 2
        first, turned = y[:, 0], y.t()
        first += 10
        y[1:, 1] = 5
        turned[2].mul_(3)
        y.clamp_(-20, 20)
        z = torch.zeros(4)
        z[1:3] = x[0, :2]
        return y + turned.t() + first.sum() + z.sum() + y.view(-1)[3]

    x = torch.randn(4, 3)
    same(torch.export.export(model, (x,)), model, torch.randn(4, 3))


def test_data_made_in_the_model_and_written_starts_as_it_was_made() -> None:
    def model(x: Any) -> Any:
        y = torch.zeros(4, 3)
        y[:, 0] = x[:, 0]
        y[:, 1] += 5
        return y

    x = torch.randn(4, 3)
    same(torch.export.export(model, (x,)), model, torch.randn(4, 3))


class Counting(nn.Module):
    """A counter written in place, a mean that is bound anew, an argument that is written."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(3))
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Any) -> Any:
        self.count += 1
        self.mean = 0.5 * self.mean + 0.5 * x.mean(0)
        x *= 2
        return self.norm(x) * self.count + self.mean


@pytest.mark.parametrize("shapes", [None, ({0: BATCH},)])
def test_export_changes_no_buffer_no_argument_and_no_stream_of_numbers(shapes: Any) -> None:
    model, x = Counting().train(), torch.randn(4, 3)
    model.norm.train(shapes is None)  # its variance is corrected by n / (n - 1), a fixed number
    before, given = copy.deepcopy(model.state_dict()), x.clone()
    held, random = model.mean, torch.get_rng_state()
    torch.export.export(model, (x,), dynamic_shapes=shapes)
    with pytest.warns(TracerWarning, match="count, mean"):
        torch.onnx.export(model, (x,), dynamic_shapes=shapes, training=True)
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert model.mean is held
    assert torch.equal(x, given)
    assert torch.equal(torch.get_rng_state(), random)


def test_a_program_updates_the_buffers_that_the_model_updates(tmp_path: Any) -> None:
    model, x = Counting().train(), torch.randn(4, 3)
    program = torch.export.export(copy.deepcopy(model), (x.clone(),))
    torch.export.save(program, tmp_path / "model.pt2")
    assert set(program.graph_signature.buffers_to_mutate.values()) >= {"count", "norm.running_var"}
    for again in (program.module(), torch.export.load(tmp_path / "model.pt2").module()):
        fresh = copy.deepcopy(model)
        for _ in range(3):
            given = torch.randn(4, 3)
            assert torch.allclose(again(given.clone()), fresh(given), atol=1e-4)
        kept = again.state_dict()
        for name, wanted in fresh.state_dict().items():
            assert torch.allclose(kept[name], wanted, atol=1e-5), name


def test_vmap_is_refused_with_its_line() -> None:
    with pytest.raises(ExportError, match=r"sin inside vmap.*test_export"):
        torch.export.export(lambda x: torch.vmap(torch.sin)(x), (torch.ones(3),))


def test_numbers_that_follow_from_sizes_do_so_as_floats_too() -> None:
    def model(x: Any) -> Any:
        return (x - x.mean(0)) / x.std(0)

    program = torch.export.export(model, (torch.randn(4, 3),), dynamic_shapes=({0: BATCH},))
    same(program, model, torch.randn(9, 3))


def test_keyword_arguments_come_in_any_order_and_under_their_own_names() -> None:
    def model(x: Any, scale: Any = None, **more: Any) -> Any:
        return (x * scale + more["shift"]).sum(1)

    x, scale, shift = torch.ones(2, 3), torch.tensor([[2.0], [5.0]]), torch.zeros(2, 3)
    shapes = {"x": {0: BATCH}, "shift": {0: BATCH}, "scale": {0: BATCH}}
    given = {"shift": shift, "scale": scale}
    program = torch.export.export(model, (x,), given, dynamic_shapes=shapes)
    assert program.graph_signature.user_inputs == ("x", "shift", "scale")
    more = {"scale": torch.ones(4, 1), "shift": torch.randn(4, 3)}
    found = program.module()(torch.ones(4, 3), **more)
    assert torch.equal(found, model(torch.ones(4, 3), **more))


def test_a_call_in_another_form_is_told_both() -> None:
    program = torch.export.export(lambda x, *, y: x + y, (torch.ones(2),), {"y": torch.ones(2)})
    with pytest.raises(TypeError, match=r"a dict of y\. Got a dict of z"):
        program.module()(torch.ones(2), z=torch.ones(2))
    with pytest.raises(TypeError, match=r"a tensor as y\. Got int"):
        program.module()(torch.ones(2), y=3)


def test_a_value_that_python_reads_is_told_with_its_line() -> None:
    def model(x: Any) -> Any:
        return x * x.max().item()

    with pytest.warns(TracerWarning, match=r"test_export.*x\.max\(\)\.item\(\)"):
        torch.export.export(model, (torch.ones(3),))


def test_a_loop_over_an_open_size_is_refused_with_its_line() -> None:
    def model(x: Any) -> Any:
        total = x[0]
        for k in range(1, x.shape[0]):
            total = total + x[k]
        return total

    with pytest.raises(ExportError, match="different things at different sizes"):
        torch.export.export(model, (torch.ones(3, 2),), dynamic_shapes=({0: BATCH},))


def test_a_size_that_the_model_refuses_to_change_is_told_with_the_reason() -> None:
    model = nn.Linear(4, 2)
    with pytest.raises(ExportError, match=r"open dimension 'batch'.*4 columns|ran at 4 only"):
        torch.export.export(model, (torch.ones(3, 4),), dynamic_shapes=({1: BATCH},))


def test_equal_names_want_equal_sizes() -> None:
    shapes = ({0: BATCH}, {0: BATCH})
    with pytest.raises(ExportError, match="equal"):
        torch.export.export(
            lambda x, y: x.sum() + y.sum(), (torch.ones(2), torch.ones(3)), dynamic_shapes=shapes
        )


def test_a_failed_export_leaves_the_model_in_its_mode() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    model[1].eval()
    with pytest.raises(RuntimeError):
        torch.onnx.export(model, (torch.ones(1, 3),))
    assert [m.training for m in model.modules()] == [True, True, False]


def test_a_program_tells_its_parameters_buffers_inputs_and_outputs() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()
    signature = torch.export.export(model, (torch.ones(4, 2),)).graph_signature
    assert signature.user_inputs == ("input",)
    assert signature.parameters == ("0.weight", "0.bias", "1.weight", "1.bias")
    assert signature.buffers == ("1.running_mean", "1.running_var")


def test_trees_of_arguments_and_results_come_back_as_they_were() -> None:
    def model(pair: Any, scale: float, *, more: Any = None) -> Any:
        return {"sum": pair[0] + pair[1] * scale, "more": (more["m"].exp(), scale)}

    args = ((torch.ones(2), torch.ones(2)), 3.0)
    program = torch.export.export(model, args, {"more": {"m": torch.zeros(1)}})
    found = program.module()(*args, more={"m": torch.zeros(1)})
    assert found["sum"].tolist() == [4.0, 4.0]
    assert found["more"][1] == 3.0


@pytest.mark.parametrize(
    ("values", "sizes", "at", "expected"),
    [
        ((4, 4, 4), (3, 4, 6), 9, 4),
        ((5, 7, 11), (3, 4, 6), 10, 19),
        ((2, 2, 3), (5, 6, 8), 9, 4),
        ((3, 3, 4), (5, 6, 8), 9, 5),
        ((9, 16, 36), (3, 4, 6), 5, 25),
    ],
)
def test_integers_are_expressed_by_sizes(values: Any, sizes: Any, at: int, expected: int) -> None:
    import operator

    def computed(expression: Any) -> int:
        if isinstance(expression, int):
            return expression
        if isinstance(expression, Source):
            return at
        name, *parts = expression
        return int(getattr(operator, name)(*map(computed, parts)))

    assert computed(fit(values, [Source("x", 0, sizes)])) == expected


def test_integers_that_no_size_explains_are_not_made_up() -> None:
    assert fit((7, 1, 900), [Source("x", 0, (3, 4, 6))]) is None
