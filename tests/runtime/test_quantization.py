"""Quantized models: against PyTorch's recorded ones, their state, training, and errors."""

from __future__ import annotations

import base64
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.ao import nn as ao_nn
from flambeau.ao import quantization
from flambeau.ops.grouped import grouped_weight

from .quantization_cases import network, normal, results, static

RECORDED: Any = json.loads((Path(__file__).parent / "recorded/quantization.json").read_text())


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return results(torch)


@pytest.mark.parametrize("name", RECORDED["results"])
def test_scales_and_outputs_are_those_of_pytorch(name: str, found: dict[str, Any]) -> None:
    expected = np.asarray(RECORDED["results"][name])
    assert np.allclose(np.asarray(found[name]), expected, rtol=1e-6, atol=1e-6)


def loaded(name: str) -> Any:
    return torch.load(io.BytesIO(base64.b64decode(RECORDED[name])))


def test_files_of_pytorch_with_quantized_tensors_are_read_and_printed_alike() -> None:
    for name, q in loaded("tensors").items():
        assert q.int_repr().tolist() == RECORDED["codes"][name]
        assert repr(q) == RECORDED["printed"][name]


def test_a_state_dict_of_pytorchs_quantized_model_loads() -> None:
    x = normal(torch, 4, 3, 16, 16, seed=7)
    model = static(torch)
    blank = quantization.convert(calibrated(network(torch)))
    assert not torch.equal(blank(x), model(x))
    assert str(blank.load_state_dict(loaded("state"))) == "<All keys matched successfully>"
    assert blank(x).tolist() == model(x).tolist()


def calibrated(model: Any) -> Any:
    model.eval().qconfig = quantization.get_default_qconfig("x86")
    fused = quantization.fuse_modules(model, [["conv1", "bn", "relu"]])
    prepared = quantization.prepare(fused)
    prepared(torch.ones(2, 3, 16, 16))
    return prepared


def test_quantized_models_are_copied_and_saved(tmp_path: Path) -> None:
    model, x = static(torch), normal(torch, 4, 3, 16, 16)
    assert copy.deepcopy(model)(x).equal(model(x))
    torch.save(model.state_dict(), tmp_path / "state.pt")
    torch.save(model.state_dict(), tmp_path / "state.safetensors")
    for name in ("state.pt", "state.safetensors"):
        blank = quantization.convert(calibrated(network(torch)))
        blank.load_state_dict(torch.load(tmp_path / name))
        assert blank(x).equal(model(x))


def test_training_with_rounded_weights_learns_and_converts() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2)
    )
    model = quantization.QuantWrapper(model)
    model.qconfig = quantization.get_default_qat_qconfig("x86")
    fused = quantization.fuse_modules_qat(model, ["module.0", "module.1", "module.2"])
    trained = quantization.prepare_qat(fused)
    x = torch.randn(64, 1, 8, 8)
    y = (x.mean((1, 2, 3)) > 0).long()
    x = x + (2.0 * y - 1)[:, None, None, None]
    optimizer = torch.optim.Adam(trained.parameters(), lr=0.02)
    losses = []
    for _ in range(15):
        loss = nn.functional.cross_entropy(trained(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5
    weight = trained.module[0].weight_fake_quant
    trained.apply(quantization.disable_observer)
    before = weight.scale.clone()
    trained(x * 10)
    assert weight.scale.equal(before)
    converted = quantization.convert(trained.eval())
    assert type(converted.module[0]) is ao_nn.intrinsic.quantized.ConvReLU2d
    assert (converted(x).argmax(1) == y).float().mean() > 0.95


def test_one_line_quantization_keeps_the_answers_and_a_quarter_of_the_bytes() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.Linear(512, 64))
    x = torch.randn(12, 256)
    expected = net(x)
    for config in (
        quantization.Int8WeightOnlyConfig(), quantization.Int8DynamicActivationInt8WeightConfig()
    ):  # fmt: skip
        small = copy.deepcopy(net)
        quantization.quantize_(small, config, lambda module, name: True)
        assert small[0].weight.dtype is torch.int8
        error = (small(x) - expected).norm() / expected.norm()
        assert error < 0.02
        size = sum(t.nbytes for t in small.state_dict().values())
        assert size < 0.27 * sum(t.nbytes for t in net.state_dict().values())
        again = copy.deepcopy(small)
        again.load_state_dict(small.state_dict())
        assert again(x[:1]).allclose(small(x)[:1], atol=1e-5)


@pytest.mark.parametrize(("rows", "group"), [(1, 32), (5, 96), (30, 32)])
def test_weights_of_four_bits_keep_the_answers_in_a_seventh_of_the_bytes(
    rows: int, group: int
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(288, 96), nn.GELU(), nn.Linear(96, 8, bias=False))
    small, x = copy.deepcopy(net), torch.randn(rows, 288, requires_grad=True)
    quantization.quantize_(small, quantization.Int4WeightOnlyConfig(group_size=group))
    assert sum(t.nbytes for t in small.state_dict().values()) < 0.2 * sum(
        t.nbytes for t in net.state_dict().values()
    )
    wide = copy.deepcopy(net)
    for k in (0, 2):
        layer = small[k]
        weight = grouped_weight(layer.weight, layer.scale, layer.least)
        assert (weight - net[k].weight).abs().max() <= layer.scale.max() * 0.501
        wide[k].weight.data.copy_(weight)
    out, expected = small(x), wide(x)
    assert (out - expected).abs().max() < 1e-5
    assert (out - net(x)).norm() < 0.1 * out.norm()
    (found,), (wanted,) = (torch.autograd.grad(y.sum(), x) for y in (out, expected))
    assert (found - wanted).abs().max() < 1e-5
    again = copy.deepcopy(small)
    again.load_state_dict(small.state_dict())
    assert again(x).equal(out)
    assert small.half()(x.half()).dtype is torch.float16


def test_layers_that_do_not_fit_groups_are_told_of_before_any_is_replaced() -> None:
    net = nn.Sequential(nn.Linear(64, 48), nn.Linear(48, 2))
    config = quantization.Int4WeightOnlyConfig(group_size=32)
    with pytest.raises(ValueError, match=r"a multiple of group_size 32. Got '1' with 48"):
        quantization.quantize_(net, config)
    assert type(net[0]) is nn.Linear
    quantization.quantize_(net, config, lambda module, name: name == "0")
    assert "group_size=32" in repr(net[0])
    with pytest.raises(ValueError, match="expected a multiple of 32"):
        quantization.Int4WeightOnlyConfig(group_size=7)
    with pytest.raises(TypeError, match=r"Int4WeightOnlyConfig\(\).*Got int"):
        quantization.quantize_(net, 4)


def test_gradients_pass_through_weights_of_8_bits() -> None:
    net = nn.Sequential(nn.Linear(8, 4))
    quantization.quantize_(net, quantization.Int8WeightOnlyConfig())
    x = torch.randn(3, 8, requires_grad=True)
    net(x).sum().backward()
    wide = net[0].weight.float() * net[0].scale[:, None]
    assert x.grad.allclose(wide.sum(0).expand(3, 8), atol=1e-6)
    assert net[0].bias.grad.tolist() == [3.0] * 4


def test_layers_without_integer_arithmetic_quantize_their_results() -> None:
    model = nn.Sequential(nn.LayerNorm(16), nn.Hardswish(), nn.Sigmoid())
    model = quantization.QuantWrapper(model).eval()
    model.qconfig = quantization.get_default_qconfig("x86")
    prepared = quantization.prepare(model)
    x = torch.randn(8, 16)
    expected = prepared(x)
    converted = quantization.convert(prepared)
    assert "QuantizedLayerNorm((16,), eps=1e-05" in repr(converted)
    assert (converted(x) - expected).abs().max() < 0.05
    names = ["weight", "bias", "scale", "zero_point"]  # as PyTorch's
    state = converted.state_dict()
    assert [name for name in state if ".0." in name] == [f"module.0.{name}" for name in names]
    state["module.0.scale"] = state["module.0.scale"].reshape(1) * 2  # as some of its layers do
    converted.load_state_dict(state)
    assert converted.module[0].scale.shape == ()
    assert (converted(x) - expected).abs().max() < 0.1


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("hidden", [5, 160])  # by arrays, and by oneDNN and loops
def test_recurrent_layers_take_packed_sequences(kind: str, hidden: int) -> None:
    torch.manual_seed(0)
    layer = getattr(nn, kind)(7, hidden, 2, bidirectional=True, batch_first=True)
    small = quantization.quantize_dynamic(nn.Sequential(layer))[0]
    rows, lengths = torch.randn(4, 9, 7), torch.tensor([5, 9, 2, 7])
    packed = nn.utils.rnn.pack_padded_sequence(
        rows, lengths, batch_first=True, enforce_sorted=False
    )
    for given in (packed, rows, rows[0]):
        (wanted, states), (out, found) = layer(given), small(given)
        for a, b in ((wanted, out), (states[0], found[0])):
            a, b = a.data, b.data
            assert a.shape == b.shape
            assert (a - b).abs().max() < 0.05


def test_a_linear_layer_trains_with_its_normalization() -> None:
    torch.manual_seed(0)
    model = quantization.QuantWrapper(nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)))
    model.qconfig = quantization.get_default_qat_qconfig()
    fused = quantization.fuse_modules_qat(model, ["module.0", "module.1"])
    trained = quantization.prepare_qat(fused)
    assert type(trained.module[0]) is ao_nn.intrinsic.qat.LinearBn1d
    x = torch.randn(64, 6)
    for _ in range(200):  # for running statistics of the batch
        trained(x)
    expected = trained.eval()(x)
    assert (quantization.convert(trained)(x) - expected).abs().max() < 0.06


def test_training_begins_where_a_normalization_weighs_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    nn.init.zeros_(model[1].weight)
    model.qconfig = quantization.get_default_qat_qconfig()
    trained = quantization.prepare_qat(quantization.fuse_modules_qat(model, ["0", "1"]))
    trained(torch.randn(2, 1, 5, 5)).sum().backward()
    assert trained[0].weight.grad.isfinite().all()
    assert trained[0].bn.weight.grad.isfinite().all()


def test_frozen_statistics_stay_frozen_in_the_next_epoch() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    model.qconfig = quantization.get_default_qat_qconfig()
    trained = quantization.prepare_qat(quantization.fuse_modules_qat(model, ["0", "1"]))
    trained.apply(ao_nn.intrinsic.qat.freeze_bn_stats)
    before = trained[0].bn.running_mean.clone()
    trained.train()(torch.randn(2, 1, 5, 5))
    assert trained[0].bn.running_mean.equal(before)
    trained.apply(ao_nn.intrinsic.qat.update_bn_stats)
    trained(torch.randn(2, 1, 5, 5))
    assert not trained[0].bn.running_mean.equal(before)


def test_transposed_convolutions_and_joined_normalizations_convert() -> None:
    torch.manual_seed(0)
    layers = (
        nn.ConvTranspose2d(3, 4, 3, 2, 1, 1), nn.BatchNorm2d(4), nn.MaxPool2d(2),
        nn.BatchNorm2d(4), nn.ReLU(),
    )  # fmt: skip
    model = quantization.QuantWrapper(nn.Sequential(*layers)).eval()
    for norm in (model.module[1], model.module[3]):
        norm.running_mean.normal_()
    x = torch.randn(2, 3, 8, 8)
    expected = model(x)
    groups = [["module.0", "module.1"], ["module.3", "module.4"]]
    model.qconfig = quantization.get_default_qconfig("qnnpack")
    prepared = quantization.prepare(quantization.fuse_modules(model, groups))
    prepared(x)
    converted = quantization.convert(prepared)
    names = [type(layer).__name__ for layer in converted.module]
    assert names == ["ConvTranspose2d", "Identity", "MaxPool2d", "BNReLU2d", "Identity"]
    assert (converted(x) - expected).abs().max() < 0.06
    blank = copy.deepcopy(converted)
    blank.module[0].scale = 9.0
    blank.load_state_dict(converted.state_dict())
    assert blank(x).equal(converted(x))


def test_relu_may_write_codes_in_place() -> None:
    x = torch.quantize_per_tensor(torch.tensor([-1.0, 2.0]), 0.5, 9, torch.quint8)
    assert nn.ReLU(inplace=True)(x) is x
    assert x.dequantize().tolist() == [0.0, 2.0]
    with pytest.raises(RuntimeError, match="writing in place: not there for quantized tensors"):
        x[0] = 1.0


def test_one_class_may_be_given_without_a_set() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.GRUCell(2, 2))
    small = quantization.quantize_dynamic(model, nn.Linear)
    assert type(small[0]) is ao_nn.quantized.dynamic.Linear
    assert type(small[1]) is nn.GRUCell


def test_values_that_are_not_finite_are_told_of() -> None:
    model = quantization.quantize_dynamic(nn.Sequential(nn.Linear(2, 2)))
    for value in (float("nan"), float("inf")):
        with pytest.raises(RuntimeError, match=r"expected finite values.*torch.isfinite"):
            model(torch.tensor([[1.0, value]]))


def test_models_that_are_not_ready_say_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"prepare: expected a model with settings"):
        quantization.prepare(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(AssertionError, match=r"in evaluation. Call eval"):
        quantization.fuse_modules(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), ["0", "1"])
    with pytest.raises(NotImplementedError, match=r"Got ReLU, Linear"):
        quantization.fuse_modules(nn.Sequential(nn.ReLU(), nn.Linear(2, 2)).eval(), ["0", "1"])
    with pytest.raises(ValueError, match=r"Got a module, which every layer would share"):
        quantization.QConfig(quantization.MinMaxObserver(), quantization.MinMaxObserver)
    with pytest.raises(TypeError, match=r"expected dtype qint8"):
        quantization.MinMaxObserver(dtype=torch.float32)
    with pytest.warns(UserWarning, match="no values have passed yet"):
        quantization.MinMaxObserver().calculate_qparams()
    model = nn.Sequential(nn.Linear(2, 2))
    model.qconfig = quantization.get_default_qconfig()
    with pytest.raises(RuntimeError, match=r"expected a Linear with calibration. Got one without"):
        quantization.convert(with_settings(model))
    layer = quantization.convert(calibrated(network(torch))).linear
    with pytest.raises(RuntimeError, match=r"Got torch.float32. Put a QuantStub before"):
        layer(torch.ones(1, 72))


def with_settings(model: Any) -> Any:
    quantization.propagate_qconfig_(model)
    return model
