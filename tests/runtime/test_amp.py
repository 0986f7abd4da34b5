"""autocast and GradScaler."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.core.dispatch import operations
from flambeau.nn import functional as F
from flambeau.ops import autocast as lists

X = torch.rand(4, 8)
LABELS = torch.tensor([0, 1, 2, 0])

LOWERED = {
    "linear": lambda: F.linear(X, torch.ones(3, 8)),
    "matmul": lambda: X @ X.t(),
    "bmm": lambda: torch.bmm(X[None], X.t()[None]),
    "baddbmm": lambda: torch.baddbmm(torch.ones(1), X[None], X.t()[None]),
    "addmm": lambda: torch.addmm(torch.ones(1), X, X.t()),
    "conv2d": lambda: F.conv2d(X[None, None], torch.ones(1, 1, 2, 2)),
    "conv_transpose1d": lambda: F.conv_transpose1d(X[None], torch.ones(4, 1, 2)),
    "scaled_dot_product_attention": lambda: F.scaled_dot_product_attention(X, X, X),
    "inner": lambda: torch.inner(X, X),
    "tensordot": lambda: torch.tensordot(X, X, ([1], [1])),
    "lstm": lambda: torch.nn.LSTM(8, 3)(X[None])[0],
    "rnn": lambda: torch.nn.RNN(8, 3)(X[None])[0],
}
KEPT = {
    "softmax": lambda x: x.softmax(1), "exp": torch.exp, "relu": torch.relu, "sum": torch.sum,
    "layer_norm": lambda x: F.layer_norm(x, (8,)), "add": lambda x: x + x,
    "mv": lambda x: x.mv(x[0]), "dot": lambda x: x[0].dot(x[1]),
    "inner": lambda x: x[0].inner(x[1]), "vdot": lambda x: torch.vdot(x[0], x[1]),
    "circular": lambda x: F.pad(x, (1, 1), "circular"),
    "bilinear": lambda x: F.bilinear(x, x, x.new_ones(2, 8, 8)),
}  # fmt: skip
WIDENED = {
    "mse_loss": lambda x: F.mse_loss(x, x * 0),
    "cross_entropy": lambda x: F.cross_entropy(x, LABELS),
    "prod": torch.prod,
    "quantile": lambda x: torch.quantile(x, 0.5),
    "cdist": lambda x: torch.cdist(x, x),
    "fft": lambda x: torch.fft.rfft(x).real,
    "trace": torch.trace,
    "svdvals": torch.linalg.svdvals,
    "reflect": lambda x: F.pad(x, (1, 1), "reflect"),
    "replicate": lambda x: F.pad(x, (1, 1), "replicate"),
    "max_pool3d": lambda x: F.max_pool3d(x[None, None], (1, 2, 2)),
    "adaptive_max_pool3d": lambda x: F.adaptive_max_pool3d(x[None, None], 1),
    "fractional_max_pool2d": lambda x: F.fractional_max_pool2d(x[None], 2, 3),
    "max_unpool1d": lambda x: F.max_unpool1d(x, torch.zeros(4, 8, dtype=torch.int64), 2),
}


@pytest.mark.parametrize("name", LOWERED)
def test_products_run_in_lower_precision(name: str) -> None:
    with torch.autocast("cpu"):
        assert LOWERED[name]().dtype is torch.bfloat16
    with torch.autocast("cpu", dtype=torch.float16):
        assert LOWERED[name]().dtype is torch.float16
    with torch.autocast("cpu", enabled=False), torch.autocast("cuda"):
        assert LOWERED[name]().dtype is torch.float32
    assert LOWERED[name]().dtype is torch.float32


@pytest.mark.parametrize("name", KEPT)
def test_others_run_in_the_precision_of_their_inputs(name: str) -> None:
    with torch.autocast("cpu"):
        assert KEPT[name](X).dtype is torch.float32
        assert KEPT[name](X.bfloat16()).dtype is torch.bfloat16


@pytest.mark.parametrize("name", WIDENED)
def test_losses_and_solvers_run_in_float32(name: str) -> None:
    with torch.autocast("cpu"):
        assert WIDENED[name](X.bfloat16()).dtype is torch.float32


def test_joins_take_the_widest_type_and_float64_is_left_alone() -> None:
    with torch.autocast("cpu"):
        assert torch.cat([X, X.bfloat16()]).dtype is torch.float32
        assert torch.stack([X.bfloat16(), X.bfloat16()]).dtype is torch.bfloat16
        assert (X.double() @ X.double().t()).dtype is torch.float64
        assert (
            torch.ones(2, 2, dtype=torch.int64) @ torch.ones(2, 2, dtype=torch.int64)
        ).sum() == 8


def test_gradients_come_in_the_dtype_of_the_parameters() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    with torch.autocast("cpu"):
        loss = F.cross_entropy(model(X), LABELS)
    loss.backward()
    grads = [p.grad.clone() for p in model.parameters()]
    assert all(g.dtype is torch.float32 for g in grads)
    model.zero_grad()
    F.cross_entropy(model(X), LABELS).backward()
    for lowered, p in zip(grads, model.parameters(), strict=True):
        torch.testing.assert_close(lowered, p.grad, rtol=0.05, atol=0.01)


def test_a_parameter_is_cast_once_in_a_block() -> None:
    w = torch.rand(3, 8, requires_grad=True)
    with torch.autocast("cpu"):
        F.linear(X, w), F.linear(X, w)
        assert len(lists.state.cache) == 1
        torch.clear_autocast_cache()
        assert not lists.state.cache
        F.linear(X, w)
    assert not lists.state.cache
    with torch.autocast("cpu", cache_enabled=False):
        F.linear(X, w)
        assert not lists.state.cache


def test_the_state_is_told_and_restored() -> None:
    assert not torch.is_autocast_enabled("cpu")
    with torch.autocast("cpu", torch.float16):
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") is torch.float16
        with torch.autocast("cpu", enabled=False):
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")
    with pytest.raises(ZeroDivisionError), torch.autocast("cpu"):
        raise ZeroDivisionError
    assert not torch.is_autocast_enabled("cpu")
    assert torch.get_autocast_dtype("cpu") is torch.bfloat16

    @torch.autocast("cpu")
    def product() -> Any:
        return X @ X.t()

    assert product().dtype is torch.bfloat16


def test_unknown_devices_and_wide_types_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"one of the device types cpu, cuda\. Got 'tpu'"):
        torch.autocast("tpu")
    with pytest.warns(UserWarning, match="autocast is off"):
        assert not torch.autocast("cpu", torch.float64).enabled


def test_every_listed_operation_is_declared() -> None:
    listed = {n for by in lists.OPERATIONS.values() for names in by.values() for n in names.split()}
    assert listed <= operations.keys()


def test_functions_of_ones_own() -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
        def forward(ctx: Any, x: Any) -> Any:
            assert x.dtype is torch.float32
            assert not torch.is_autocast_enabled("cpu")
            return x * 2

        @staticmethod
        @torch.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    x = X.bfloat16().requires_grad_()
    with torch.autocast("cpu"):
        y = Double.apply(x)
    y.sum().backward()
    assert (x.grad == 2).all()


# -- GradScaler ------------------------------------------------------------------------------------


def _scaled() -> tuple[Any, Any, Any]:
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.5)
    return w, optimizer, torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)


def test_a_scaled_step_equals_a_plain_one() -> None:
    w, optimizer, scaler = _scaled()
    scaled = scaler.scale(w.sum())
    assert scaled.item() == 16
    scaled.backward()
    assert w.grad.tolist() == [8, 8]
    scaler.step(optimizer)
    scaler.update()
    assert w.tolist() == [0.5, 0.5]
    assert scaler.get_scale() == 8


def test_a_step_with_infinite_gradients_is_left_out() -> None:
    w, optimizer, scaler = _scaled()
    scaler.scale(w)
    w.grad = torch.tensor([float("inf"), 1.0])
    assert scaler.step(optimizer) is None
    scaler.update()
    assert w.tolist() == [1, 1]
    assert scaler.get_scale() == 4


def test_the_scale_grows_after_good_steps() -> None:
    w, optimizer, scaler = _scaled()
    for expected in (8, 16, 16, 32):
        scaler.scale(w)
        w.grad = torch.ones(2)
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == expected
    again = torch.amp.GradScaler("cpu")
    again.load_state_dict(scaler.state_dict())
    assert again.state_dict() == scaler.state_dict()


def test_the_order_of_calls_is_kept() -> None:
    w, optimizer, scaler = _scaled()
    with pytest.raises(AssertionError, match="expected a step or unscale_"):
        scaler.update()
    with pytest.raises(AssertionError, match=r"expected scale\(\) of a loss"):
        scaler.unscale_(optimizer)
    scaler.scale(w)
    with pytest.raises(AssertionError, match="expected gradients of the optimizer"):
        scaler.step(optimizer)
    scaler.update(8.0)
    w.grad = torch.ones(2)
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="not been unscaled since"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="one step per optimizer"):
        scaler.step(optimizer)


def test_wrong_factors_and_float16_gradients_are_refused() -> None:
    with pytest.raises(AssertionError, match=r"growth_factor above 1\. Got 1\.0"):
        torch.amp.GradScaler("cpu", growth_factor=1.0)
    with pytest.raises(AssertionError, match=r"backoff_factor below 1\. Got 1\.5"):
        torch.amp.GradScaler("cpu", backoff_factor=1.5)
    w = torch.ones(2, dtype=torch.float16, requires_grad=True)
    w.grad = torch.ones(2, dtype=torch.float16)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(w)
    with pytest.raises(ValueError, match="expected gradients of float32"):
        scaler.unscale_(torch.optim.SGD([w], lr=0.1))
    with pytest.raises(KeyError, match="growth_factor"):
        scaler.load_state_dict({"scale": 1.0})


def test_losses_in_half_are_scaled_in_float32_and_scalers_pickle() -> None:
    scaler = torch.amp.GradScaler("cpu")
    scaled = scaler.scale(torch.tensor(2.0, dtype=torch.float16))
    assert scaled.dtype is torch.float32
    assert scaled.item() == 2 * 2.0**16
    assert [float(x) for x in scaler.scale(iter([torch.tensor(1.0)]))] == [2.0**16]
    assert pickle.loads(pickle.dumps(scaler)).state_dict() == scaler.state_dict()


def test_without_a_gpu_a_scaler_for_one_stands_aside() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.warns(UserWarning, match="it is not enabled"):
        assert not torch.amp.GradScaler().is_enabled()


def test_a_scaler_that_is_not_enabled_stands_aside() -> None:
    w, optimizer, _ = _scaled()
    scaler = torch.cuda.amp.GradScaler(enabled=False)
    w.grad = torch.ones(2)
    assert scaler.scale(w) is w
    scaler.step(optimizer)
    scaler.update()
    assert w.tolist() == [0.5, 0.5]
    assert scaler.get_scale() == 1
    assert scaler.state_dict() == {}
    with torch.cuda.amp.autocast():
        assert torch.is_autocast_enabled()


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(3),
                                   nn.InstanceNorm2d(4, affine=True), nn.RMSNorm(3)])  # fmt: skip
def test_norms_with_parameters_in_float32_keep_a_half_type(layer: Any) -> None:
    x = torch.randn(2, 4, 3, 3)
    out = layer(x.bfloat16())
    assert out.dtype is torch.bfloat16
    assert torch.allclose(out.float(), layer(x.bfloat16().float()), atol=0.03, rtol=2**-7)


def test_autocast_leaves_packed_lstms_in_float32_but_not_other_recurrent_layers() -> None:
    x = torch.randn(4, 2, 3)
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([4, 2]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [nn.LSTM(3, 2)(packed)[0].data, nn.LSTM(3, 2)(x)[0], nn.RNN(3, 2)(packed)[0].data]
    assert [out.dtype for out in found] == [torch.float32, torch.bfloat16, torch.bfloat16]
