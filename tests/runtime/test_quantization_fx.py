"""Quantization of traced models: against PyTorch's, settings, training, what stays in numbers."""

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
import flambeau.nn.functional as F
from flambeau import nn
from flambeau.ao import nn as ao_nn
from flambeau.ao import quantization
from flambeau.ao.quantization import QConfigMapping, quantize_fx
from flambeau.ao.quantization.fx.custom_config import ConvertCustomConfig, PrepareCustomConfig

from .quantization_cases import normal, residual, traced

RECORDED: Any = json.loads((Path(__file__).parent / "recorded/quantization.json").read_text())
USUAL = quantization.get_default_qconfig_mapping("x86")


class Branches(nn.Module):
    """What is no chain of layers: sums, joins, parts, sizes, functions with and without codes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.norm, self.fc, self.act = nn.LayerNorm(8), nn.Linear(8, 4), nn.Hardswish()
        self.place = nn.Parameter(torch.randn(8))
        self.sum = ao_nn.quantized.FloatFunctional()

    def forward(self, x: Any) -> Any:
        a, b = F.relu6(self.a(x)), self.act(self.b(x))
        joined = torch.cat([a, b * torch.sigmoid(b)], 1)
        first, second = F.interpolate(joined, scale_factor=2.0).chunk(2, 1)
        rows = torch.cat([second, first], dim=1).mean((2, 3))
        rows = self.sum.add(rows.reshape(x.size(0), -1), self.place)
        return {"out": F.gelu(self.fc(self.norm(rows))), "rows": rows * 2}


def prepared(model: Any, x: Any, mapping: Any = USUAL, **options: Any) -> Any:
    made = quantize_fx.prepare_fx(model, mapping, (x,), **options)
    made(x)
    return made


def kinds(model: Any) -> set[str]:
    return {type(m).__name__ for m in model.modules()}


def test_a_traced_model_computes_what_pytorchs_does() -> None:
    found = traced(torch, quantize_fx)(normal(torch, 2, 3, 32, 32, seed=7))
    assert np.allclose(found.numpy(), RECORDED["traced"], rtol=1e-6, atol=1e-6)


def test_a_state_dict_of_pytorchs_traced_model_loads() -> None:
    x = normal(torch, 2, 3, 32, 32, seed=7)
    blank = quantize_fx.convert_fx(prepared(residual(torch).eval(), x * 9))
    assert not np.allclose(blank(x).numpy(), RECORDED["traced"], atol=1e-3)
    state = torch.load(io.BytesIO(base64.b64decode(RECORDED["traced state"])))
    assert str(blank.load_state_dict(state)) == "<All keys matched successfully>"
    assert np.allclose(blank(x).numpy(), RECORDED["traced"], rtol=1e-6, atol=1e-6)


def test_sums_joins_and_parts_are_found_and_the_model_stays_as_it_is() -> None:
    torch.manual_seed(0)
    model, x = Branches().eval(), torch.randn(2, 3, 8, 8)
    expected, before = model(x), repr(model)
    calibrated = prepared(model, x)
    converted = quantize_fx.convert_fx(calibrated)
    out = converted(x)
    for name, wanted in expected.items():
        assert (out[name] - wanted).abs().max() < 0.03 * wanted.abs().max()
    for word in ("quantized_mul", "quantized_cat", "quantized_add", "chunk", "quantize_per_tensor"):
        assert word in converted.code
    assert converted.code.count("quantize_per_tensor(") == 2  # the input, and the parameter
    assert repr(model) == before
    assert calibrated(x)["out"].equal(expected["out"])
    again = copy.deepcopy(converted)
    again.load_state_dict(converted.state_dict())
    assert again(x)["out"].equal(out["out"])


def test_a_model_trains_with_rounded_weights_and_converts() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2),
        nn.Tanh(),
    )  # fmt: skip
    x = torch.randn(64, 1, 8, 8)
    y = (x.mean((1, 2, 3)) > 0).long()
    x = x + (2.0 * y - 1)[:, None, None, None]
    mapping = quantization.get_default_qat_qconfig_mapping("x86")
    trained = quantize_fx.prepare_qat_fx(model, mapping, (x,))
    statistics = trained.get_submodule("0").bn.running_mean
    assert {"ConvBnReLU2d", "FixedQParamsObserver"} <= kinds(trained)
    assert statistics.abs().max() == 0  # looking at the example has not moved them
    optimizer = torch.optim.Adam(trained.parameters(), lr=0.02)
    losses = []
    for _ in range(12):
        loss = F.cross_entropy(trained(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    converted = quantize_fx.convert_fx(trained.eval())
    assert {"ConvReLU2d", "Linear"} <= kinds(converted)
    assert (converted(x).argmax(1) == y).float().mean() > 0.95


def test_settings_are_found_by_name_pattern_class_function_and_place() -> None:
    x = torch.randn(2, 3, 32, 32)
    model = residual(torch).eval()
    setting = quantization.get_default_qconfig("x86")

    def stays(mapping: QConfigMapping, path: str) -> bool:
        converted = quantize_fx.convert_fx(prepared(model, x, mapping.set_global(setting)))
        assert (converted(x) - model(x)).abs().max() < 0.1
        return not hasattr(converted.get_submodule(path), "zero_point")

    assert not stays(QConfigMapping(), "layer1.0.conv1")
    assert stays(QConfigMapping().set_module_name("layer1.0", None), "layer1.0.conv1")
    assert not stays(QConfigMapping().set_module_name("layer1.0", None), "layer1.1.conv1")
    assert stays(QConfigMapping().set_module_name_regex(r".*\.1\.conv.", None), "layer1.1.conv2")
    assert stays(QConfigMapping().set_object_type(nn.Linear, None), "fc")
    third = QConfigMapping().set_module_name_object_type_order("layer1.1", nn.Conv2d, 1, None)
    assert stays(third, "layer1.1.conv2")
    assert not stays(third, "layer1.1.conv1")
    given: dict[str, Any] = {"": setting, "object_type": [(torch.flatten, None)]}
    older = quantize_fx.convert_fx(prepared(model, x, given))
    assert "dequantize" in older.code.partition("flatten(")[0]
    assert QConfigMapping.from_dict(given).object_type_qconfigs == {torch.flatten: None}


def test_weights_alone_are_quantized_by_dynamic_settings() -> None:
    model = nn.Sequential(nn.Embedding(9, 6), nn.LSTM(6, 6)).eval()
    mapping = QConfigMapping().set_global(quantization.default_dynamic_qconfig)
    mapping.set_object_type(nn.Embedding, quantization.float_qparams_weight_only_qconfig)
    index = torch.tensor([[1, 2], [3, 4]])
    converted = quantize_fx.convert_fx(prepared(model, index, mapping))
    assert type(converted.get_submodule("0")) is ao_nn.quantized.Embedding
    assert type(converted.get_submodule("1")) is ao_nn.quantized.dynamic.LSTM
    assert (converted(index)[0] - model(index)[0]).abs().max() < 0.02


class Guarded(nn.Module):
    """A part that Python steers by values."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.part, self.names = nn.Linear(4, 4), Steered(), ["cat", "dog"]

    def forward(self, x: Any) -> Any:
        return self.part(self.head(x))


class Steered(nn.Module):
    def forward(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


def test_parts_that_are_not_traced_stay_one_call() -> None:
    model, x = Guarded().eval(), torch.randn(3, 4)
    with pytest.raises(torch.fx.TraceError):
        prepared(model, x)
    for config in (
        PrepareCustomConfig().set_non_traceable_module_names(["part"]),
        PrepareCustomConfig().set_non_traceable_module_classes([Steered]),
    ):
        made = prepared(model, x, prepare_custom_config=config.set_preserved_attributes(["names"]))
        assert made.names == ["cat", "dog"]
        keep = ConvertCustomConfig().set_preserved_attributes(["names"])
        converted = quantize_fx.convert_fx(made, keep)
        assert converted.names == ["cat", "dog"]
        assert (converted(x) - model(x)).abs().max() < 0.05


def test_a_layer_that_is_called_twice_stays_in_numbers() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            return self.fc(self.fc(x) + x)

    model, x = Twice().eval(), torch.randn(3, 4)
    converted = quantize_fx.convert_fx(prepared(model, x))
    assert type(converted.fc) is nn.Linear
    assert (converted(x) - model(x)).abs().max() < 0.05


def test_wrong_steps_say_what_to_do() -> None:
    model, x = nn.Sequential(nn.Linear(2, 2)), torch.randn(3, 2)
    with pytest.raises(AssertionError, match=r"expected a model in evaluation. Call eval\(\)"):
        quantize_fx.prepare_fx(model, USUAL, (x,))
    with pytest.raises(AssertionError, match=r"expected a model in training. Call train\(\)"):
        quantize_fx.prepare_qat_fx(model.eval(), USUAL, (x,))
    with pytest.raises(TypeError, match=r"expected a QConfigMapping. Got QConfig"):
        quantize_fx.prepare_fx(model, quantization.get_default_qconfig(), (x,))
    with pytest.raises(TypeError, match=r"expected a model from prepare_fx.*Got Sequential"):
        quantize_fx.convert_fx(model)
    with pytest.raises(TypeError, match=r"expected a PrepareCustomConfig. Got int"):
        quantize_fx.prepare_fx(model, USUAL, (x,), prepare_custom_config=3)
    fused = quantize_fx.fuse_fx(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval())
    assert "BatchNorm1d" not in kinds(fused)
