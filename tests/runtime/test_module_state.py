"""Modules: state dicts through hooks and overrides, members by name, registration, conversion."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.nn.modules import module as modules


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 3)
        self.b = nn.BatchNorm1d(3)
        self.register_buffer("c", torch.zeros(2))
        self.d = nn.Parameter(torch.zeros(()))

    def forward(self, x: Any) -> Any:
        return self.b(self.a(x))


# -- loading ---------------------------------------------------------------------------------------


def test_all_that_does_not_fit_is_told_at_once_in_pytorchs_words() -> None:
    net = Net()
    state = net.state_dict()
    state.update({"a.weight": torch.zeros(5, 2), "c": torch.zeros(3), "zz.q": torch.zeros(1)})
    state.update({"a.foo": torch.zeros(1), "a.bias": "hello"})
    del state["b.bias"]
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value).split("\n\t") == [
        "Error(s) in loading state_dict for Net:",
        'Missing key(s) in state_dict: "b.bias". ',
        'Unexpected key(s) in state_dict: "zz.q", "a.foo". ',
        "size mismatch for c: copying a param with shape torch.Size([3]) from checkpoint, "
        "the shape in current model is torch.Size([2]).",
        "size mismatch for a.weight: copying a param with shape torch.Size([5, 2]) from "
        "checkpoint, the shape in current model is torch.Size([3, 2]).",
        'While copying the parameter named "a.bias", expected torch.Tensor or Tensor-like object '
        "from checkpoint but received <class 'str'>",
    ]
    with pytest.raises(RuntimeError, match=r"Net:\n\tsize mismatch for c"):
        net.load_state_dict(state, strict=False)


def test_batch_counts_are_asked_for_by_version() -> None:
    net = Net()
    state = net.state_dict()
    del state["b.num_batches_tracked"]
    net.load_state_dict(dict(state))  # plain dicts do not say their version
    with pytest.raises(RuntimeError, match=r"b\.num_batches_tracked"):
        net.load_state_dict(state)


def test_numbers_saved_with_a_dimension_are_read() -> None:
    net = Net()
    net.load_state_dict({**net.state_dict(), "d": torch.ones(1)})
    assert (net.d.shape, net.d.item()) == ((), 1)


def test_assigned_tensors_are_shared_and_stay_parameters() -> None:
    net, other = Net(), Net()
    other.a.weight.requires_grad_(False)
    other.load_state_dict(net.state_dict(), assign=True)
    assert other.a.weight.data_ptr() == net.a.weight.data_ptr()
    assert isinstance(other.a.weight, nn.Parameter)
    assert not other.a.weight.requires_grad
    assert other.c.data_ptr() == net.c.data_ptr()


def test_a_class_may_load_itself() -> None:
    class Renamed(nn.Linear):
        def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "old")
            super()._load_from_state_dict(state_dict, prefix, *rest)
            self.seen = self.weight.sum().item()

    net = nn.Sequential(Renamed(2, 2))
    net.load_state_dict({"0.old": torch.ones(2, 2), "0.bias": torch.zeros(2)})
    assert net[0].seen == 4


def test_hooks_before_loading_rename_and_those_after_forgive() -> None:
    layer = nn.Linear(2, 2)
    seen = []

    def rename(module: Any, state_dict: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        state_dict[prefix + "weight"] = state_dict.pop(prefix + "w")

    def plain(state_dict: Any, prefix: str, metadata: Any, strict: bool, *rest: Any) -> None:
        seen.append((sorted(state_dict), prefix, metadata, strict))

    layer.register_load_state_dict_pre_hook(rename)
    layer._register_load_state_dict_pre_hook(plain)
    layer.register_load_state_dict_post_hook(lambda module, keys: keys.missing_keys.clear())
    layer.load_state_dict({"w": torch.ones(2, 2)})
    assert torch.equal(layer.weight, torch.ones(2, 2))
    assert seen == [(["weight"], "", {}, True)]
    layer.register_load_state_dict_post_hook(lambda module, keys: keys)
    with pytest.raises(AssertionError, match="expected None from a hook"):
        layer.load_state_dict({"w": torch.ones(2, 2)})


# -- saving ----------------------------------------------------------------------------------------


def test_hooks_of_saving() -> None:
    layer = nn.Linear(2, 2)
    calls = []
    layer.register_state_dict_pre_hook(lambda module, prefix, keep: calls.append((prefix, keep)))
    layer.register_state_dict_post_hook(lambda module, state, prefix, meta: state.update(z=1))
    assert list(layer.state_dict()) == ["weight", "bias", "z"]
    assert calls == [("", False)]
    assert type(layer.state_dict()) is OrderedDict
    layer._register_state_dict_hook(lambda module, state, prefix, meta: OrderedDict(only=2))
    assert layer.state_dict() == {"only": 2}
    layer.register_state_dict_post_hook(lambda module, state, prefix, meta: state)
    with pytest.raises(RuntimeError, match="expected None from a hook"):
        layer.state_dict()


def test_positions_of_older_calls_warn() -> None:
    with pytest.warns(FutureWarning, match="by name"):
        assert list(nn.Linear(1, 1).state_dict(OrderedDict(), "p.")) == ["p.weight", "p.bias"]


# -- members ---------------------------------------------------------------------------------------


def test_modules_are_put_by_dotted_name() -> None:
    net = nn.Sequential(Net(), nn.ReLU())
    net.set_submodule("0.a", nn.Linear(2, 4))
    assert net[0].a.out_features == 4
    net.set_submodule("0.new", nn.Tanh())
    assert net.get_submodule("0.new") is net[0].new
    for name, put, error, words in (
        ("0.other", nn.Tanh(), AttributeError, "Got none"),
        ("0.a.weight", nn.Tanh(), AttributeError, "Got Parameter"),
        ("", nn.Tanh(), ValueError, "an empty one"),
        ("0.a", 3, ValueError, "expected a Module. Got int"),
    ):
        with pytest.raises(error, match=words):
            net.set_submodule(name, put, strict=True)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match=r"no module '0\.a\.weight'"):
        net.get_submodule("0.a.weight")


def test_names_are_taken_once() -> None:
    net = Net()
    for register in (
        lambda: net.register_buffer("d", torch.zeros(1)),
        lambda: net.register_parameter("forward", None),
        lambda: net.add_module("training", nn.ReLU()),
    ):
        with pytest.raises(KeyError, match="exists already"):
            register()
    net.c = nn.Parameter(torch.ones(2))  # assignment replaces
    assert [n for n, _ in net.named_parameters()][:2] == ["d", "c"]
    assert "c" not in dict(net.named_buffers())


def test_modules_that_stand_twice_are_listed_once_unless_asked() -> None:
    net = nn.Sequential(*[nn.ReLU()] * 2)
    assert len(list(net.modules())) == 2
    assert len(list(net.modules(remove_duplicate=False))) == 3


def test_arguments_reach_a_class_beside_module_only_if_asked() -> None:
    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

    class Both(nn.Module, Named):
        call_super_init = True

        def __init__(self) -> None:
            super().__init__("it")

    assert Both().name == "it"
    with pytest.raises(TypeError, match="takes no arguments"):
        nn.Module(3)


# -- hooks of all modules, older hooks -------------------------------------------------------------


def test_hooks_see_and_replace_what_is_registered() -> None:
    seen = []
    handles = [
        modules.register_module_parameter_registration_hook(
            lambda module, name, value: seen.append(name)
        ),
        modules.register_module_buffer_registration_hook(
            lambda module, name, value: seen.append(name)
        ),
        modules.register_module_module_registration_hook(
            lambda module, name, value: nn.Identity() if name == "0" else None
        ),
    ]
    try:
        net = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(1, 1, bias=False))
    finally:
        for handle in handles:
            handle.remove()
    assert seen == [
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked", "weight",
    ]  # fmt: skip
    assert isinstance(net[0], nn.Identity)


def test_older_backward_hooks_see_the_last_operation() -> None:
    layer = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    seen = []
    handle = layer.register_backward_hook(lambda m, before, after: seen.append((before, after)))
    layer(torch.ones(1, 2)).sum().backward()
    ((before, after),) = seen
    assert torch.equal(after[0], torch.ones(1, 2))
    assert before[0].shape == (1, 2)
    with pytest.raises(RuntimeError, match="Got both"):
        layer.register_full_backward_hook(lambda m, before, after: None)
    handle.remove()
    layer.register_full_backward_hook(lambda m, before, after: None)
    with pytest.raises(RuntimeError, match="Got both"):
        layer.register_backward_hook(lambda m, before, after: None)


def test_wrong_results_of_hooks_are_refused() -> None:
    layer = nn.Linear(2, 2)
    handle = layer.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"a tuple \(args, kwargs\).*Got 3"):
        layer(torch.ones(1, 2))
    handle.remove()
    layer.register_full_backward_hook(lambda m, before, after: (1, 2))
    with pytest.raises(RuntimeError, match="expected 1 gradients, or None"):
        layer(torch.ones(1, 2, requires_grad=True)).sum().backward()


# -- conversion ------------------------------------------------------------------------------------


def test_modules_leave_meta_without_values() -> None:
    net = Net().to("meta").to_empty(device="cpu")
    assert not any(p.is_meta for p in net.parameters())
    own = Net().to("meta").to_empty(device="cpu", recurse=False)
    assert (own.d.is_meta, own.a.weight.is_meta) == (False, True)


def test_modules_become_complex() -> None:
    layer = nn.Linear(2, 2).to(torch.complex64)
    assert layer.weight.dtype is torch.complex64
    assert layer(torch.ones(1, 2, dtype=torch.complex64)).dtype is torch.complex64
    with pytest.raises(TypeError, match="expected device, dtype"):
        layer.to(colour="red")


def test_overridden_methods_of_children_are_called() -> None:
    class Frozen(nn.Linear):
        def train(self, mode: bool = True) -> Any:
            return super().train(False)

        def _apply(self, fn: Any, recurse: bool = True) -> Any:
            return self

    net = nn.Sequential(Frozen(1, 1), nn.Linear(1, 1)).train().double()
    assert [m.training for m in net] == [False, True]
    assert [m.weight.dtype for m in net] == [torch.float32, torch.float64]


def test_a_module_compiled_in_place_is_copied_and_pickled_as_before() -> None:
    net, x = Net(), torch.ones(2, 2)
    wanted, names = net(x).tolist(), list(net.state_dict())
    net.compile()
    again = pickle.loads(pickle.dumps(net))
    for one in (net, copy.deepcopy(net), again):
        assert one(x).tolist() == wanted
        assert list(one.state_dict()) == names
    assert again.forward.module is again


# -- single layers --------------------------------------------------------------------------------


def test_an_empty_batch_leaves_running_statistics() -> None:
    norm = nn.BatchNorm2d(3)
    assert norm(torch.zeros(0, 3, 2, 2)).shape == (0, 3, 2, 2)
    assert norm.running_mean.tolist() == [0, 0, 0]
    assert norm.num_batches_tracked.item() == 1
    with pytest.raises(ValueError, match=r"eps above 0 in training\. Got 0\.0"):
        nn.BatchNorm1d(3, eps=0.0)(torch.ones(2, 3))


SIBLINGS = [
    (nn.CELU, nn.ELU), (nn.Hardshrink, nn.Softshrink), (nn.LogSoftmax, nn.Softmax),
    (nn.CrossEntropyLoss, nn.NLLLoss), (nn.AvgPool2d, nn.AvgPool1d), (nn.Hardswish, nn.Hardsigmoid),
    (nn.InstanceNorm2d, nn.modules.batchnorm._BatchNorm),
]  # fmt: skip


def test_layers_are_told_apart_by_class() -> None:
    assert not [pair for pair in SIBLINGS if issubclass(*pair)]
    assert issubclass(nn.ReLU6, nn.Hardtanh)
    assert issubclass(nn.ZeroPad2d, nn.ConstantPad2d)
    assert issubclass(nn.ConvTranspose2d, nn.modules.conv._ConvNd)
    assert repr(nn.AvgPool1d(2, padding=1)) == (
        "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(1,))"
    )


def test_recurrent_layers_take_flags_as_booleans() -> None:
    with pytest.raises(TypeError, match=r"True or False as bias\. Got int"):
        nn.GRU(3, 4, bias=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"True or False as batch_first\. Got str"):
        nn.LSTM(3, 4, batch_first="no")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"hx\[0\] with 1 or 2 dimensions"):
        nn.RNNCell(3, 4)(torch.ones(2, 3), torch.ones(2, 1, 4))
