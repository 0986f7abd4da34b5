"""Lazy modules: from no shapes to ordinary layers, saved, loaded and refused."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.nn.modules.lazy import LazyModuleMixin
from flambeau.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy

LAYERS: dict[str, tuple[Any, tuple[int, ...], type]] = {
    "linear": (lambda: nn.LazyLinear(3), (2, 5), nn.Linear),
    "conv1d": (lambda: nn.LazyConv1d(4, 2), (2, 3, 5), nn.Conv1d),
    "conv2d": (lambda: nn.LazyConv2d(4, 2, groups=2), (2, 5, 5), nn.Conv2d),
    "conv3d": (lambda: nn.LazyConv3d(4, 2, bias=False), (1, 3, 4, 4, 4), nn.Conv3d),
    "transposed1d": (lambda: nn.LazyConvTranspose1d(4, 2), (2, 3, 5), nn.ConvTranspose1d),
    "transposed2d": (
        lambda: nn.LazyConvTranspose2d(4, 2, 2, 0, 1), (1, 3, 5, 5), nn.ConvTranspose2d,
    ),
    "transposed3d": (lambda: nn.LazyConvTranspose3d(4, 2), (1, 3, 2, 2, 2), nn.ConvTranspose3d),
    "batch1d": (lambda: nn.LazyBatchNorm1d(), (4, 3), nn.BatchNorm1d),
    "batch2d": (lambda: nn.LazyBatchNorm2d(affine=False), (4, 3, 2, 2), nn.BatchNorm2d),
    "batch3d": (lambda: nn.LazyBatchNorm3d(bias=False), (4, 3, 2, 2, 2), nn.BatchNorm3d),
    "instance1d": (lambda: nn.LazyInstanceNorm1d(), (4, 3, 5), nn.InstanceNorm1d),
    "instance2d": (lambda: nn.LazyInstanceNorm2d(), (4, 3, 2, 2), nn.InstanceNorm2d),
    "instance3d": (
        lambda: nn.LazyInstanceNorm3d(affine=False, track_running_stats=False),
        (4, 3, 2, 2, 2), nn.InstanceNorm3d,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_the_first_input_makes_an_ordinary_layer(name: str) -> None:
    make, sizes, kind = LAYERS[name]
    layer = make()
    keys = list(layer.state_dict())
    own = list(layer.parameters())
    assert all(is_lazy(p) for p in own)
    assert layer.has_uninitialized_params() == any(map(is_lazy, layer.state_dict().values()))
    out = layer(torch.randn(*sizes))
    assert type(layer) is kind
    assert list(layer.state_dict()) == keys
    assert [id(p) for p in layer.parameters()] == [id(p) for p in own]  # optimizers have them
    assert all(type(p) is nn.Parameter for p in own)
    again = pickle.loads(pickle.dumps(layer))
    torch.testing.assert_close(again.eval()(torch.ones(*sizes)), layer.eval()(torch.ones(*sizes)))
    assert out.shape[0] == (layer.out_channels if len(sizes) == 3 and "2d" in name else sizes[0])


def test_the_state_of_a_made_layer_loads_into_a_lazy_one() -> None:
    lazy, made = nn.LazyBatchNorm1d(), nn.BatchNorm1d(3)
    made(torch.randn(5, 3))
    assert repr(lazy.load_state_dict(made.state_dict())) == "<All keys matched successfully>"
    assert not lazy.has_uninitialized_params()
    assert torch.equal(lazy.running_mean, made.running_mean)
    linear = nn.LazyLinear(2)
    linear.load_state_dict(nn.Linear(4, 2).state_dict(), assign=True)
    assert linear(torch.ones(1, 4)).shape == (1, 2)
    assert repr(linear) == "Linear(in_features=4, out_features=2, bias=True)"


def test_the_state_of_a_lazy_layer_loads_into_a_lazy_one_only() -> None:
    state = nn.LazyLinear(2).state_dict()
    assert [repr(v) for v in state.values()] == ["<UninitializedParameter>"] * 2
    lazy = nn.LazyLinear(2)
    lazy.load_state_dict(state)
    assert lazy.has_uninitialized_params()
    with pytest.raises(RuntimeError, match="before you load its state into another"):
        nn.Linear(3, 2).load_state_dict(state)


def test_conversions_before_the_first_input_are_kept() -> None:
    layer = nn.LazyBatchNorm1d().double()
    assert layer(torch.randn(4, 3, dtype=torch.float64)).dtype is torch.float64
    assert layer.running_var.dtype is torch.float64
    assert nn.LazyLinear(2).to("meta").weight.device.type == "meta"
    with pytest.raises(RuntimeError, match="without a shape"):
        nn.LazyLinear(2).share_memory()


USES: dict[str, tuple[Any, type[Exception]]] = {
    "shape": (lambda p: p.shape, RuntimeError),
    "sum": (lambda p: p.sum(), ValueError),
    "number": (lambda p: p + 1, ValueError),
    "tensor": (lambda p: torch.ones(2) * p, ValueError),
    "matmul": (lambda p: torch.ones(2, 2) @ p, ValueError),
    "detach": (lambda p: p.detach(), ValueError),
    "clone": (lambda p: p.clone(), ValueError),
    "item": (lambda p: p.item(), ValueError),
    "numel": (lambda p: p.numel(), ValueError),
    "init": (lambda p: nn.init.ones_(p), ValueError),
    "index": (lambda p: p[0], ValueError),
    "len": (lambda p: len(p), ValueError),
    "stack": (lambda p: torch.stack([p, p]), ValueError),
    "linear": (lambda p: nn.functional.linear(torch.ones(2), p), ValueError),
}


@pytest.mark.parametrize("name", USES)
def test_a_use_before_the_first_input_says_what_to_do(name: str) -> None:
    use, error = USES[name]
    with pytest.raises(error, match="without a shape yet"):
        use(UninitializedParameter())


def test_uninitialized_tensors_are_copied_pickled_and_materialized() -> None:
    parameter = UninitializedParameter(requires_grad=False, dtype=torch.float64)
    for copied in (copy.deepcopy(parameter), pickle.loads(pickle.dumps(parameter))):
        assert type(copied) is UninitializedParameter
        assert (copied.dtype, copied.requires_grad) == (torch.float64, False)
    parameter.materialize((2, 3))
    assert type(parameter) is nn.Parameter
    assert (parameter.shape, parameter.dtype) == ((2, 3), torch.float64)
    buffer = UninitializedBuffer(persistent=False)
    assert not buffer.persistent
    buffer.materialize((2,), dtype=torch.int64)
    assert (type(buffer), buffer.dtype) == (torch.Tensor, torch.int64)


def test_wrong_inputs_of_lazy_layers_are_refused() -> None:
    with pytest.raises(RuntimeError, match="LazyConv2d: expected input with 3 or 4 dimensions"):
        nn.LazyConv2d(3, 2)(torch.ones(3, 4))
    with pytest.raises(ValueError, match=r"groups that divide the channels\. Got groups 2"):
        nn.LazyConv2d(4, 3, groups=2)(torch.ones(1, 3, 5, 5))
    with pytest.raises(ValueError, match="expected input with 4 dimensions"):
        nn.LazyBatchNorm2d()(torch.ones(3, 4))


class Scale(LazyModuleMixin, nn.Module):
    def __init__(self, completes: bool = True) -> None:
        super().__init__()
        self.completes = completes
        self.scale = UninitializedParameter()

    def initialize_parameters(self, x: Any) -> None:
        if self.completes:
            self.scale.materialize(x.shape)
            nn.init.ones_(self.scale)

    def forward(self, x: Any) -> Any:
        return x * self.scale


def test_own_lazy_modules() -> None:
    layer = Scale()
    assert torch.equal(layer(x=torch.arange(3.0)), torch.arange(3.0))
    assert type(layer) is Scale
    with pytest.raises(RuntimeError, match="to materialize all parameters"):
        Scale(completes=False)(torch.ones(2))

    class Without(LazyModuleMixin, nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = UninitializedParameter()

    with pytest.raises(NotImplementedError, match="Without has no initialize_parameters"):
        Without()(torch.ones(2))
