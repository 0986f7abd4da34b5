"""Modules: layers against recorded PyTorch, parameters, hooks, state dicts, clipping."""

from __future__ import annotations

import copy
import json
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn

from .recorded import layers

RECORDED = json.loads(layers.RECORD.read_text())


@pytest.mark.parametrize("name", layers.CASES)
def test_layers_begin_compute_and_print_as_recorded(name: str) -> None:
    found, wanted = layers.outcome(torch, *layers.CASES[name]), RECORDED[name]
    assert found["repr"] == wanted["repr"]
    assert found["keys"] == wanted["keys"]
    for (total, absolute), (wanted_total, wanted_absolute) in zip(
        found["sums"], wanted["sums"], strict=True
    ):
        # float32 rounding grows with the terms that are added up, not with what is left of them
        assert absolute == pytest.approx(wanted_absolute, rel=2e-6, abs=5e-3)
        assert total == pytest.approx(wanted_total, abs=2e-6 * wanted_absolute + 5e-4)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("offset", torch.zeros(4))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        for block in self.blocks:
            x = torch.relu(block(x))
        return x * self.scale + self.offset


def test_members_have_dotted_names_in_order_of_assignment() -> None:
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale", "first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias",
        "blocks.1.weight", "blocks.1.bias",
    ]  # fmt: skip
    assert [n for n, _ in net.named_buffers()] == ["offset", "scratch"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "blocks", "blocks.0", "blocks.1"]
    assert [n for n, _ in net.named_children()] == ["first", "blocks"]
    assert net.get_submodule("blocks.1") is net.blocks[1]
    assert net.get_parameter("blocks.1.bias") is net.blocks[1].bias


def test_repeated_layers_of_a_list_print_once() -> None:
    assert repr(Net()) == (
        "Net(\n  (first): Linear(in_features=3, out_features=4, bias=True)\n"
        "  (blocks): ModuleList(\n"
        "    (0-1): 2 x Linear(in_features=4, out_features=4, bias=True)\n  )\n)"
    )


def test_shared_parameters_are_listed_once() -> None:
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, layer)
    assert len(list(net.parameters())) == 2
    assert len(net.state_dict()) == 4


def test_train_and_eval_reach_all_modules() -> None:
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    assert not any(m.training for m in net.eval().modules())
    assert all(m.training for m in net.train().modules())


def test_apply_visits_children_before_parents() -> None:
    seen: list[str] = []
    nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())).apply(
        lambda module: seen.append(type(module).__name__)
    )
    assert seen == ["ReLU", "Tanh", "Sequential", "Sequential"]


def test_conversion_keeps_the_parameters_that_optimizers_hold() -> None:
    net = nn.Linear(2, 2)
    weight = net.weight
    net(torch.ones(1, 2)).sum().backward()
    net.double()
    assert net.weight is weight
    assert weight.dtype is torch.float64
    assert weight.grad is not None
    assert weight.grad.dtype is torch.float64


def test_integer_buffers_keep_their_dtype_in_conversion() -> None:
    assert nn.BatchNorm1d(2).double().num_batches_tracked.dtype is torch.int64


def test_moving_to_meta_and_back_needs_assign() -> None:
    net = Net()
    on_meta = Net().to("meta")
    assert all(p.is_meta for p in on_meta.parameters())
    with pytest.raises(RuntimeError, match="assign=True"):
        on_meta.load_state_dict(net.state_dict())
    on_meta.load_state_dict(net.state_dict(), assign=True)
    assert torch.equal(on_meta.first.weight, net.first.weight)
    assert isinstance(on_meta.first.weight, nn.Parameter)


def test_attributes_of_the_wrong_kind_are_refused() -> None:
    net = Net()
    with pytest.raises(TypeError, match="expected a Parameter or None"):
        net.scale = torch.ones(1)
    with pytest.raises(TypeError, match="expected a tensor or None"):
        net.offset = 3
    with pytest.raises(KeyError, match="without dots"):
        net.register_buffer("a.b", None)
    with pytest.raises(KeyError, match="exists already"):
        net.register_parameter("forward", None)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = net.nothing


def test_assigning_before_init_says_what_is_missing() -> None:
    class Hasty(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\) first"):
        Hasty()


# -- hooks -----------------------------------------------------------------------------------------


def test_forward_hooks_see_and_replace_inputs_and_outputs() -> None:
    net = nn.Linear(2, 2)
    before = net.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    after = net.register_forward_hook(lambda module, args, out: out + 100)
    x = torch.ones(1, 2)
    hooked = net(x)
    before.remove()
    after.remove()
    np.testing.assert_allclose(hooked.detach(), net(x * 2).detach() + 100)


def test_hooks_with_keyword_arguments() -> None:
    seen = {}

    class Scaled(nn.Module):
        def forward(self, x: Any, *, by: float) -> Any:
            return x * by

    net = Scaled()
    net.register_forward_pre_hook(lambda m, a, k: (a, {"by": k["by"] + 1}), with_kwargs=True)
    net.register_forward_hook(lambda m, a, k, out: seen.update(k), with_kwargs=True)
    assert net(torch.tensor(2.0), by=2.0).item() == 6.0
    assert seen == {"by": 3.0}


def test_always_called_hooks_run_after_an_error() -> None:
    seen = []
    net = nn.Linear(2, 2)
    net.register_forward_hook(lambda m, a, out: seen.append(out), always_call=True)
    with pytest.raises(RuntimeError, match="linear"):
        net(torch.ones(1, 3))
    assert seen == [None]


def test_backward_hooks_see_gradients_of_inputs_and_outputs() -> None:
    seen = {}

    def hook(module: Any, grad_input: Any, grad_output: Any) -> Any:
        seen["input"], seen["output"] = grad_input, grad_output
        return (grad_input[0] * 10,)

    net = nn.Linear(3, 2)
    net.register_full_backward_hook(hook)
    x = torch.ones(4, 3, requires_grad=True)
    net(x).sum().backward()
    np.testing.assert_array_equal(seen["output"][0], np.ones((4, 2)))
    wanted = net.weight.detach().sum(0).expand(4, 3)
    np.testing.assert_allclose(seen["input"][0], wanted, rtol=1e-6)
    np.testing.assert_allclose(x.grad, wanted * 10, rtol=1e-6)


def test_backward_pre_hooks_replace_gradients_of_outputs() -> None:
    net = nn.Linear(3, 2)
    net.register_full_backward_pre_hook(lambda module, grads: (grads[0] * 3,))
    net(torch.ones(1, 3)).sum().backward()
    np.testing.assert_array_equal(net.bias.grad, [3.0, 3.0])


def test_hooks_of_all_modules() -> None:
    seen = []
    handle = nn.modules.hooks.register_module_forward_hook(lambda m, a, out: seen.append(type(m)))
    nn.Sequential(nn.ReLU())(torch.ones(1))
    handle.remove()
    nn.ReLU()(torch.ones(1))
    assert seen == [nn.ReLU, nn.Sequential]


# -- state dicts -----------------------------------------------------------------------------------


def test_a_state_dict_shares_memory_and_loads_back() -> None:
    net, other = Net(), Net()
    state = net.state_dict()
    assert list(state) == [
        "scale", "offset", "first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias",
        "blocks.1.weight", "blocks.1.bias",
    ]  # fmt: skip
    assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
    x = torch.randn(2, 3)
    assert torch.equal(net(x), other(x))
    state["scale"].fill_(7.0)
    assert net.scale.item() == 7.0


def test_a_state_dict_that_does_not_fit_changes_nothing() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = copy.deepcopy(net.state_dict())
    wrong = OrderedDict(
        {"0.weight": torch.zeros(2, 2), "0.bias": torch.zeros(3), "extra": torch.ones(1)}
    )
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(wrong)
    text = str(caught.value)
    assert 'Unexpected key(s) in state_dict: "extra". ' in text
    assert 'Missing key(s) in state_dict: "1.weight", "1.bias". ' in text
    assert (
        "size mismatch for 0.bias: copying a param with shape torch.Size([3]) from checkpoint, "
        "the shape in current model is torch.Size([2])." in text
    )
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_loading_without_strict_reports_what_did_not_match() -> None:
    net = nn.Linear(2, 2)
    result = net.load_state_dict({"weight": torch.ones(2, 2), "other": torch.ones(1)}, strict=False)
    assert result.missing_keys == ["bias"]
    assert result.unexpected_keys == ["other"]
    assert torch.equal(net.weight, torch.ones(2, 2))


def test_hooks_may_rename_keys_while_loading() -> None:
    net = nn.Linear(2, 2)

    def rename(module: Any, state: Any, prefix: str, *rest: Any) -> None:
        state[prefix + "weight"] = state.pop(prefix + "old")

    net.register_load_state_dict_pre_hook(rename)
    net.load_state_dict({"old": torch.ones(2, 2), "bias": torch.zeros(2)})
    assert torch.equal(net.weight, torch.ones(2, 2))


def test_extra_state_travels_with_the_state_dict() -> None:
    class Counting(nn.Module):
        count = 0

        def get_extra_state(self) -> int:
            return self.count

        def set_extra_state(self, state: int) -> None:
            self.count = state

    first, second = Counting(), Counting()
    first.count = 5
    second.load_state_dict(first.state_dict())
    assert second.count == 5


def test_modules_copy_and_pickle() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert repr(twin) == repr(net)
        assert all(
            torch.equal(a, b) for a, b in zip(twin.parameters(), net.parameters(), strict=True)
        )
        assert twin[0].weight is not net[0].weight
        assert isinstance(twin[0].weight, nn.Parameter)
        twin(torch.randn(4, 2)).sum().backward()


# -- containers ------------------------------------------------------------------------------------


def test_sequential_is_a_list_of_layers() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    net.append(nn.Linear(3, 1)).insert(1, nn.Tanh())
    assert [type(m).__name__ for m in net] == ["Linear", "Tanh", "ReLU", "Linear"]
    assert isinstance(net[1:3], nn.Sequential)
    assert list(net[1:3].state_dict()) == []
    del net[1]
    assert [n for n, _ in net.named_children()] == ["0", "1", "2"]
    assert isinstance(net.pop(-1), nn.Linear)
    with pytest.raises(IndexError, match="from -2 to 1"):
        net[2]


def test_sequential_of_named_layers() -> None:
    net = nn.Sequential(OrderedDict([("in", nn.Linear(2, 2)), ("out", nn.ReLU())]))
    assert list(dict(net.named_children())) == ["in", "out"]


def test_module_dict_is_a_dict() -> None:
    table = nn.ModuleDict({"a": nn.ReLU()})
    table["b"] = nn.Tanh()
    assert list(table) == ["a", "b"]
    assert "a" in table
    assert len(table) == 2
    assert isinstance(table.pop("a"), nn.ReLU)


# -- layers' own rules -----------------------------------------------------------------------------


def test_batch_norm_statistics_follow_the_momentum_and_serve_in_evaluation() -> None:
    x = torch.tensor(np.random.RandomState(0).normal(3.0, 2.0, (64, 2)), dtype=torch.float32)
    net = nn.BatchNorm1d(2, momentum=0.5)
    net(x)
    values = x.numpy()
    np.testing.assert_allclose(net.running_mean, 0.5 * values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(net.running_var, 0.5 + 0.5 * values.var(0, ddof=1), rtol=1e-5)
    assert net.num_batches_tracked.item() == 1
    net.eval()
    wanted = (values - net.running_mean.numpy()) / np.sqrt(net.running_var.numpy() + 1e-5)
    np.testing.assert_allclose(net(x).detach(), wanted, rtol=1e-4, atol=1e-5)


def test_batch_norm_refuses_one_value_per_channel() -> None:
    with pytest.raises(ValueError, match="more than one value per channel"):
        nn.BatchNorm1d(2)(torch.ones(1, 2))


def test_the_padding_row_of_an_embedding_stays() -> None:
    table = nn.Embedding(4, 3, padding_idx=1)
    assert not table.weight[1].any()
    table(torch.tensor([[0, 1], [1, 3]])).sum().backward()
    np.testing.assert_array_equal(table.weight.grad[:, 0], [1.0, 0.0, 0.0, 1.0])


def test_embedding_names_an_index_that_is_not_there() -> None:
    with pytest.raises(IndexError, match="4"):
        nn.Embedding(4, 3)(torch.tensor([4]))


def test_pretrained_embeddings_are_frozen() -> None:
    table = nn.Embedding.from_pretrained(torch.eye(3))
    assert not table.weight.requires_grad
    assert torch.equal(table(torch.tensor([2])), torch.tensor([[0.0, 0.0, 1.0]]))


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (nn.Linear(5, 3), (2, 4), r"input with 5 features"),
        (nn.Conv2d(3, 4, 3), (1, 2, 8, 8), r"conv2d: expected input with 3 channels"),
        (nn.Conv2d(3, 4, 5), (1, 3, 4, 4), r"at least as large as the kernel"),
        (nn.Conv2d(3, 4, 3), (3, 4), r"input with 3 or 4 dimensions"),
        (nn.BatchNorm2d(3), (2, 4, 5, 5), r"one per channel of input \(2, 4, 5, 5\)"),
        (nn.BatchNorm2d(3), (2, 3), r"expected input with 4 dimensions"),
        (nn.LayerNorm(5), (2, 4), r"layer_norm: expected input \(..., 5\)"),
        (nn.MaxPool2d(5), (1, 1, 3, 3), r"max_pool2d"),
        (nn.Softmax(), (2, 2), r"expected a dim"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_layers_name_what_does_not_fit(layer: Any, shape: Any, words: str) -> None:
    with pytest.raises((RuntimeError, TypeError, ValueError), match=words):
        layer(torch.zeros(*shape))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups that divide both"),
        (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), "needs stride 1"),
        (lambda: nn.Dropout(1.5), "p from 0 to 1"),
        (lambda: nn.Embedding(3, 2, padding_idx=5), "padding_idx from -3 to 2"),
        (lambda: nn.CrossEntropyLoss(reduction="average"), "'mean', 'sum' or 'none'"),
        (lambda: nn.Hardtanh(1.0, 0.0), "min_val below max_val"),
    ],
)
def test_constructors_name_options_that_make_no_sense(make: Any, words: str) -> None:
    with pytest.raises((ValueError, RuntimeError), match=words):
        make()


def test_class_numbers_out_of_range_are_named() -> None:
    with pytest.raises(IndexError, match="class numbers from 0 to 2"):
        nn.CrossEntropyLoss()(torch.zeros(2, 3), torch.tensor([0, 3]))
    with pytest.raises(RuntimeError, match="expected target"):
        nn.CrossEntropyLoss()(torch.zeros(2, 3), torch.tensor([0.0, 1.0]))


# -- clipping and initial values -------------------------------------------------------------------


def gradients(*rows: list[float]) -> list[Any]:
    parameters = [nn.Parameter(torch.zeros(len(row))) for row in rows]
    for parameter, row in zip(parameters, rows, strict=True):
        parameter.grad = torch.tensor(row)
    return parameters


@pytest.mark.parametrize(("order", "norm"), [(2.0, 13.0), (1.0, 19.0), (float("inf"), 12.0)])
def test_clipping_by_norm_scales_all_gradients_together(order: float, norm: float) -> None:
    parameters = gradients([3.0, 4.0], [12.0])
    total = nn.utils.clip_grad_norm_(parameters, norm / 2, norm_type=order)
    assert total.item() == pytest.approx(norm)
    np.testing.assert_allclose(parameters[0].grad, [1.5, 2.0], rtol=1e-5)
    np.testing.assert_allclose(parameters[1].grad, [6.0], rtol=1e-5)


def test_small_gradients_are_left_alone() -> None:
    parameters = gradients([3.0, 4.0])
    nn.utils.clip_grad_norm_(parameters, 6.0)
    np.testing.assert_array_equal(parameters[0].grad, [3.0, 4.0])


def test_clipping_can_refuse_infinite_norms() -> None:
    with pytest.raises(RuntimeError, match="finite norm"):
        nn.utils.clip_grad_norm_(gradients([float("nan")]), 1.0, error_if_nonfinite=True)


def test_clipping_by_value() -> None:
    parameters = gradients([3.0, -4.0, 0.5])
    nn.utils.clip_grad_value_(parameters, 1.0)
    np.testing.assert_array_equal(parameters[0].grad, [1.0, -1.0, 0.5])


def test_parameters_go_to_a_vector_and_back() -> None:
    net = nn.Linear(2, 2)
    vector = nn.utils.parameters_to_vector(net.parameters())
    nn.utils.vector_to_parameters(torch.zeros(6), net.parameters())
    assert not net.weight.any()
    nn.utils.vector_to_parameters(vector, net.parameters())
    assert torch.equal(nn.utils.parameters_to_vector(net.parameters()), vector)
    with pytest.raises(RuntimeError, match="vector of 6 elements"):
        nn.utils.vector_to_parameters(torch.zeros(5), net.parameters())


INITIAL = {
    "xavier_uniform_": ({}, np.sqrt(6 / 500), None),
    "xavier_normal_": ({}, None, np.sqrt(2 / 500)),
    "kaiming_uniform_": ({"nonlinearity": "relu"}, np.sqrt(6 / 200), None),
    "kaiming_normal_": ({"nonlinearity": "relu"}, None, np.sqrt(2 / 200)),
    "trunc_normal_": ({"std": 0.5, "a": -1.0, "b": 1.0}, 1.0, None),
    "normal_": ({"std": 0.3}, None, 0.3),
    "uniform_": ({"a": -0.2, "b": 0.2}, 0.2, None),
}


@pytest.mark.parametrize("name", INITIAL)
def test_initial_values_have_the_bound_or_deviation_of_their_source(name: str) -> None:
    options, bound, deviation = INITIAL[name]
    torch.manual_seed(0)
    weight = getattr(nn.init, name)(nn.Parameter(torch.empty(300, 200)), **options)
    values = weight.detach().numpy()
    if bound is not None:
        assert abs(values).max() <= bound
        assert abs(values).max() > 0.95 * bound
    if deviation is not None:
        # 60,000 draws: the standard error of the deviation is 0.3 %
        assert values.std() == pytest.approx(deviation, rel=0.015)
    assert abs(values.mean()) < 0.02


def test_orthogonal_weights_are_orthonormal() -> None:
    weight = nn.init.orthogonal_(torch.empty(4, 2, 3), gain=2.0)
    rows = weight.reshape(4, 6).numpy()
    np.testing.assert_allclose(rows @ rows.T, 4.0 * np.eye(4), atol=1e-5)


def test_dirac_weights_pass_their_input_on() -> None:
    weight = nn.init.dirac_(torch.empty(3, 3, 3, 3))
    x = torch.randn(1, 3, 5, 5)
    assert torch.equal(nn.functional.conv2d(x, weight, padding=1), x)


def test_fans_need_two_dimensions() -> None:
    with pytest.raises(ValueError, match="two dimensions or more"):
        nn.init.xavier_uniform_(torch.empty(3))


def test_subclasses_of_convolutions_may_change_weight_and_bias() -> None:
    class Standardized(nn.Conv2d):
        def forward(self, input: Any) -> Any:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return self._conv_forward(input, weight, self.bias)

    layer = Standardized(2, 3, 3, padding=1, padding_mode="reflect")
    found = layer(torch.ones(1, 2, 5, 5))  # which the weights, of mean 0, do not see
    assert torch.allclose(found, layer.bias.view(1, 3, 1, 1).expand(1, 3, 5, 5), atol=1e-6)


def test_a_removed_hook_leaves_a_module_as_quick_as_before() -> None:
    net = nn.Linear(2, 2)
    first = net.register_forward_hook(lambda *_: None)
    second = net.register_forward_hook(lambda *_: None)
    first.remove()
    first.remove()
    assert list(net._hooks) == ["forward"]
    second.remove()
    assert net._hooks == {}
    everywhere = nn.modules.module.register_module_forward_hook(lambda *_: None)
    everywhere.remove()
    assert nn.modules.hooks.everywhere == {}
