"""Parametrizations: what they own, how they are assigned to, shared, removed and refused."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.nn.utils import parametrizations, parametrize


class Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x: Any) -> Any:
        return x.triu()


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Any) -> Any:
        return x * self.factor


class Halves(nn.Module):
    def forward(self, a: Any, b: Any) -> Any:
        return a + b

    def right_inverse(self, x: Any) -> Any:
        return x / 2, x / 2


def _layer(*made: nn.Module) -> Any:
    layer: Any = nn.Linear(3, 3)
    for parametrization in made:
        parametrize.register_parametrization(layer, "weight", parametrization)
    return layer


def test_the_original_stays_the_parameter_that_optimizers_hold() -> None:
    layer = nn.Linear(3, 3)
    weight = layer.weight
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert layer.parametrizations.weight.original is weight
    assert torch.equal(layer.weight, layer.weight.mT)
    layer(torch.ones(1, 3)).sum().backward()
    assert torch.equal(weight.grad, torch.tensor([[1.0, 2, 2], [0, 1, 2], [0, 0, 1]]))
    parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight is weight
    assert torch.equal(weight, weight.mT)
    assert type(layer) is nn.Linear
    assert list(layer.state_dict()) == ["bias", "weight"]


def test_parametrizations_are_applied_in_order() -> None:
    layer = _layer(Symmetric(), Scaled())
    assert torch.equal(layer.weight, 2 * Symmetric()(layer.parametrizations.weight.original))
    assert list(layer.state_dict()) == [
        "bias", "parametrizations.weight.original", "parametrizations.weight.1.factor",
    ]  # fmt: skip
    assert repr(layer) == (
        "ParametrizedLinear(\n  in_features=3, out_features=3, bias=True\n"
        "  (parametrizations): ModuleDict(\n    (weight): ParametrizationList(\n"
        "      (0): Symmetric()\n      (1): Scaled()\n    )\n  )\n)"
    )
    assert parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    with pytest.raises(RuntimeError, match="Scaled to have a right_inverse"):
        layer.weight = torch.eye(3)


def test_values_are_assigned_through_the_inverse() -> None:
    layer = _layer(Symmetric())
    layer.weight = torch.ones(3, 3)
    assert torch.equal(layer.parametrizations.weight.original, torch.ones(3, 3).triu())
    assert torch.equal(layer.weight, torch.ones(3, 3))
    with pytest.raises(KeyError, match="exists already"):
        layer.weight = nn.Parameter(torch.ones(3, 3))


def test_several_originals() -> None:
    layer = _layer(Halves())
    held = layer.parametrizations.weight
    assert (held.ntensors, held.is_tensor) == (2, False)
    layer.weight = torch.eye(3)
    assert torch.equal(held.original1, torch.eye(3) / 2)
    with pytest.raises(ValueError, match="leave_parametrized=True for a tensor computed of 2"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    parametrize.remove_parametrizations(layer, "weight")
    assert torch.equal(layer.weight, torch.eye(3))
    assert isinstance(layer.weight, nn.Parameter)


def test_the_original_can_be_left() -> None:
    layer = _layer(Scaled())
    original = layer.parametrizations.weight.original.clone()
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert torch.equal(layer.weight, original)


def test_buffers_stay_buffers() -> None:
    norm: Any = nn.BatchNorm1d(3)
    parametrize.register_parametrization(norm, "running_mean", Scaled())
    names = [n for n, _ in norm.named_buffers()]
    assert names == ["running_var", "num_batches_tracked", "parametrizations.running_mean.original"]
    norm.eval()(torch.ones(2, 3))
    parametrize.remove_parametrizations(norm, "running_mean")
    assert [n for n, _ in norm.named_buffers()][-1] == "running_mean"


def test_cached_tensors_are_computed_once() -> None:
    layer = _layer(Symmetric())
    with parametrize.cached():
        first = layer.weight
        with parametrize.cached():
            assert layer.weight is first
        assert layer.weight is first
    assert layer.weight is not first


def test_copies_are_apart_and_pickles_refused() -> None:
    layer = _layer(Symmetric())
    again = copy.deepcopy(layer)
    with torch.no_grad():
        again.parametrizations.weight.original.zero_()
    assert layer.weight.abs().sum() > 0
    assert again.weight.abs().sum() == 0
    with pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(layer)


def test_parametrizations_and_values_are_transferred() -> None:
    source, target = _layer(Symmetric(), Scaled()), nn.Linear(3, 3)
    parametrize.transfer_parametrizations_and_params(source, target)
    assert torch.equal(source.weight, target.weight)
    assert target.parametrizations.weight.original is not source.parametrizations.weight.original


def _function(change: Any, back: Any = None) -> nn.Module:
    module: Any = nn.Identity()
    module.forward = change
    if back is not None:
        module.right_inverse = back
    return module


REFUSED: dict[str, tuple[Any, str]] = {
    "shape": (_function(lambda x: x[:1]), r"keep the shape of its tensor, .*\[3, 3\]\)\. Got"),
    "dtype": (_function(lambda x: x.double()), "keep the dtype"),
    "no tensor": (_function(lambda x: 3), "what a parametrization gives to be a tensor. Got int"),
    "inverse": (_function(lambda x: x, lambda x: 3), "several of right_inverse. Got int"),
    "inverse shape": (_function(lambda x: x, lambda x: x[:1]), "keep the shape"),
    "inverse dtype": (_function(lambda x: x, lambda x: x.double()), "keep the dtype"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_changes_a_tensor_is_refused(name: str) -> None:
    made, words = REFUSED[name]
    layer = nn.Linear(3, 3)
    with pytest.raises(ValueError, match=words):
        parametrize.register_parametrization(layer, "weight", made)
    assert type(layer) is nn.Linear


def test_unsafe_ones_may_change_it() -> None:
    layer: Any = nn.Linear(3, 3)
    made = _function(lambda x: x[:1])
    parametrize.register_parametrization(layer, "weight", made, unsafe=True)
    assert layer.weight.shape == (1, 3)


CALLS: dict[str, tuple[Any, type[Exception], str]] = {
    "no tensor": (
        lambda: parametrize.register_parametrization(nn.Linear(1, 1), "w", Scaled()),
        ValueError, "expected a parameter or buffer 'w'",
    ),
    "not there": (
        lambda: parametrize.remove_parametrizations(nn.Linear(1, 1), "weight"),
        ValueError, "expected a parametrization of 'weight'",
    ),
    "map": (
        lambda: parametrizations.orthogonal(nn.Linear(2, 2), "weight", "qr"),
        ValueError, "a map of matrix_exp, cayley, householder. Got 'qr'",
    ),
    "vector": (
        lambda: parametrizations.orthogonal(nn.Linear(2, 2), "bias"), ValueError, "a matrix, or",
    ),
    "assigning": (
        lambda: setattr(
            parametrizations.orthogonal(nn.Linear(2, 2), use_trivialization=False), "weight",
            torch.eye(2),
        ),
        NotImplementedError, "use_trivialization=True",
    ),
    "other shape": (
        lambda: setattr(parametrizations.orthogonal(nn.Linear(2, 2)), "weight", torch.eye(3)),
        ValueError, r"a value of shape \(2, 2\). Got \(3, 3\)",
    ),
    "iterations": (
        lambda: parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=0),
        ValueError, "n_power_iterations above 0",
    ),
    "dim": (
        lambda: parametrizations.spectral_norm(nn.Linear(2, 2), dim=2),
        IndexError, "a dim from -2 to 1. Got 2",
    ),
    "no weight": (
        lambda: parametrizations.weight_norm(nn.ReLU()), ValueError, "buffer 'weight' of ReLU",
    ),
    "lazy": (
        lambda: parametrizations.spectral_norm(nn.LazyLinear(2)), ValueError, "with a shape",
    ),
    "hook iterations": (
        lambda: nn.utils.spectral_norm(nn.Linear(2, 2), n_power_iterations=0),
        ValueError, "n_power_iterations above 0",
    ),
    "hook twice": (
        lambda: nn.utils.spectral_norm(nn.utils.spectral_norm(nn.Linear(2, 2))),
        RuntimeError, "expected one on 'weight'. Got a second",
    ),
    "hook of None": (
        lambda: nn.utils.spectral_norm(nn.Linear(2, 2, bias=False), "bias"),
        ValueError, "a parameter 'bias'. Got None",
    ),
    "hook not there": (
        lambda: nn.utils.remove_spectral_norm(nn.Linear(2, 2)), ValueError, "a spectral norm on",
    ),
    "weight hook not there": (
        lambda: nn.utils.remove_weight_norm(nn.Linear(2, 2)), ValueError, "a weight norm on",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_wrong_calls_say_what_was_expected(name: str) -> None:
    call, error, words = CALLS[name]
    with pytest.raises(error, match=words):
        call()


def test_the_older_weight_norm_warns_and_refuses_a_second() -> None:
    layer = nn.Linear(2, 2)
    with pytest.warns(FutureWarning, match=r"parametrizations\.weight_norm"):
        nn.utils.weight_norm(layer)
    with (
        pytest.warns(FutureWarning, match=r"parametrizations\.weight_norm"),
        pytest.raises(RuntimeError, match="Got a second"),
    ):
        nn.utils.weight_norm(layer)


def test_spectral_states_without_v_are_read() -> None:
    torch.manual_seed(0)
    layer = nn.utils.spectral_norm(nn.Linear(3, 2), n_power_iterations=30)
    layer(torch.ones(1, 3))
    state = dict(layer.state_dict())
    v = state.pop("weight_v").clone()
    state["weight"] = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight_v.zero_()
    layer.load_state_dict(state)
    torch.testing.assert_close(layer.weight_v, v, rtol=1e-4, atol=1e-5)


def test_modules_of_a_parametrized_net_can_be_called_as_functions() -> None:
    layer = parametrizations.weight_norm(nn.Linear(3, 2))
    state = {k: v * 2 for k, v in layer.state_dict().items()}
    found = torch.func.functional_call(layer, state, (torch.ones(1, 3),))
    layer.load_state_dict(state)
    torch.testing.assert_close(found, layer(torch.ones(1, 3)))
