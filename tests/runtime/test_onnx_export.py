"""Whole models in ONNX: run by onnxruntime at sizes other than the traced ones."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import nn
from flambeau.onnx import OnnxExporterError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def kinds(program: Any) -> list[str]:
    return [n.op_type for n in program.model_proto.graph.node]


def exported(model: Any, args: Any, axes: Any = None, *others: Any, **options: Any) -> Any:
    """The program, checked and compared with the model on `args` and `others`."""
    program = torch.onnx.export(model, args, dynamic_axes=axes, **options)
    onnx.checker.check_model(program.model_proto, full_check=True)
    model.eval()
    for given in (args, *others):
        found = torch.utils._pytree.tree_leaves(program(*given))
        wanted = torch.utils._pytree.tree_leaves(model(*given))
        for one, other in zip(found, wanted, strict=True):
            assert one.shape == other.shape
            assert torch.allclose(one, other, rtol=1e-4, atol=2e-5)
    return program


class Residual(nn.Module):
    """The block of a ResNet."""

    def __init__(self, channels: int, wide: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, wide, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.short = nn.Sequential(
            nn.Conv2d(channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.short(x)
        return self.relu(out)


def resnet() -> Any:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        Residual(8, 8, 1), Residual(8, 16, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 5),
    )  # fmt: skip
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
    return model


class Gpt(nn.Module):
    """Embeddings, a causal block of attention with separate heads, tied output."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(40, 16), nn.Embedding(64, 16)
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
        self.register_buffer("mask", torch.ones(64, 64).tril().view(1, 1, 64, 64))

    def forward(self, ids: Any) -> Any:
        b, t = ids.shape
        x = self.tokens(ids) + self.places(torch.arange(t, device=ids.device))
        q, k, v = self.qkv(self.norm1(x)).split(16, dim=2)
        q, k, v = (z.view(b, t, 4, 4).transpose(1, 2) for z in (q, k, v))
        scores = q @ k.transpose(-2, -1) * (1.0 / math.sqrt(k.size(-1)))
        scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
        y = F.softmax(scores, dim=-1) @ v
        y = y + F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).contiguous().view(b, t, 16))
        return F.linear(x + self.mlp(self.norm2(x)), self.tokens.weight)[:, [-1], :]


def test_an_mlp_is_products_and_nothing_else() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    program = exported(model, (torch.randn(1, 4),), {"input": {0: "n"}}, (torch.randn(6, 4),))
    assert kinds(program) == ["Gemm", "Relu", "Gemm"]
    graph = program.model_proto.graph
    assert {t.name for t in graph.initializer} == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert graph.output[0].type.tensor_type.shape.dim[0].dim_param == "n"


def test_a_resnet_folds_its_batch_norms_and_takes_any_batch_and_size() -> None:
    x = torch.randn(1, 3, 32, 32)
    axes = {"x": {0: "batch", 2: "height", 3: "width"}}
    program = exported(resnet(), (x,), axes, (torch.randn(3, 3, 45, 38),), input_names=["x"])
    assert "BatchNormalization" not in kinds(program)
    assert kinds(program).count("Conv") == 7
    plain = exported(resnet(), (x,), do_constant_folding=False)
    assert "BatchNormalization" in kinds(plain)


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_are_one_operator_each(layer: Any) -> None:
    model = layer(5, 6, 2, batch_first=True, bidirectional=True)
    axes = {"input": {0: "batch", 1: "time"}}
    program = exported(model, (torch.randn(2, 4, 5),), axes, (torch.randn(3, 9, 5),))
    assert kinds(program).count(layer.__name__) == 4
    state = torch.randn(2, 3, 6)
    states = (state, torch.randn(2, 3, 6)) if layer is nn.LSTM else state
    exported(layer(5, 6, 2), (torch.randn(4, 3, 5), states))


def test_a_transformer_encoder_takes_masks_and_any_length() -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model

        def forward(self, x: Any, lengths: Any) -> Any:
            hidden = torch.arange(x.shape[1]) >= lengths[:, None]
            return self.encoder(x, src_key_padding_mask=hidden)

    axes = {"x": {0: "batch", 1: "time"}, "lengths": {0: "batch"}}
    given = (torch.randn(2, 5, 16), torch.tensor([5, 3]))
    other = (torch.randn(3, 8, 16), torch.tensor([8, 1, 4]))
    program = exported(Masked(), given, axes, other, opset_version=20)
    assert kinds(program).count("LayerNormalization") == 4
    assert kinds(program).count("Gelu") == 2


def test_a_gpt_takes_any_batch_and_length() -> None:
    ids = torch.randint(0, 40, (1, 7))
    axes = {"ids": {0: "batch", 1: "time"}}
    exported(Gpt(), (ids,), axes, (torch.randint(0, 40, (3, 12)),), (torch.randint(0, 40, (1, 1)),))


@pytest.mark.parametrize("opset", [13, 16, 17, 18, 19, 20, 21])
def test_every_opset_is_valid_and_computes_the_same(opset: int) -> None:
    program = exported(Gpt(), (torch.randint(0, 40, (2, 5)),), opset_version=opset)
    assert program.model_proto.opset_import[0].version == opset


def test_an_opset_of_long_ago_is_the_oldest_that_is_written() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Hardswish())
    with pytest.warns(UserWarning, match="opset 11 is too old, and 13"):
        program = torch.onnx.export(model, (torch.randn(1, 1, 5, 5),), opset_version=11)
    onnx.checker.check_model(program.model_proto, full_check=True)
    assert program.model_proto.opset_import[0].version == 13
    x = torch.randn(1, 1, 5, 5)
    assert torch.allclose(program(x), model.eval()(x), atol=1e-6)


def test_half_types_stay_half() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8)).half()
    x = torch.randn(2, 4).half()
    program = torch.onnx.export(model, (x,))
    found = program(x)
    assert found.dtype is torch.float16
    assert torch.allclose(found.float(), model(x).float(), atol=5e-3)


def test_trees_and_keyword_arguments_are_flat_inputs_by_name() -> None:
    class Two(nn.Module):
        def forward(self, x: Any, pair: Any, scale: Any = None) -> Any:
            return {"a": x + pair[0], "b": (pair[1] * scale,)}

    args = (torch.ones(2), (torch.ones(2), torch.ones(3)), {"scale": torch.full((3,), 2.0)})
    program = torch.onnx.export(Two(), args, output_names=["a", "b"])
    graph = program.model_proto.graph
    assert [i.name for i in graph.input] == ["x", "pair_0", "pair_1", "scale"]
    assert [o.name for o in graph.output] == ["a", "b"]
    assert program(*args[:2], **args[2])["b"][0].tolist() == [2.0, 2.0, 2.0]


def test_inputs_and_constants_may_be_outputs() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

        def forward(self, x: Any) -> Any:
            y = x + 1
            return x, self.weight, y, y

    exported(Odd(), (torch.randn(2),))


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    model, x = nn.Linear(3, 2), torch.randn(4, 3)
    path = tmp_path / "model.onnx"
    torch.onnx.export(model, x, path)
    session = onnxruntime.InferenceSession(str(path))
    np.testing.assert_allclose(
        session.run(None, {"input": x.numpy()})[0], model(x).detach().numpy(), rtol=1e-5
    )
    with pytest.raises(RuntimeError):
        torch.onnx.export(model, torch.randn(4, 9), path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    stream = io.BytesIO()
    torch.onnx.export(model, x, stream)
    assert onnx.load_from_string(stream.getvalue()).producer_name == "flambeau"


def test_tensors_lie_in_a_file_beside_it_if_asked(tmp_path: Path) -> None:
    model, x = nn.Linear(64, 64), torch.randn(1, 64)
    program = torch.onnx.export(model, (x,))
    program.save(tmp_path / "model.onnx", external_data=True)
    assert (tmp_path / "model.onnx.data").stat().st_size >= 64 * 64 * 4
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    found = session.run(None, {"input": x.numpy()})[0]
    np.testing.assert_allclose(found, model(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_beyond_a_protobuf_file_is_saved_in_two_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flambeau.onnx.program.LARGEST_FILE", 1000)
    model, x = nn.Linear(64, 64), torch.randn(2, 64)
    program = torch.onnx.export(model, (x,), tmp_path / "model.onnx")
    assert {p.name for p in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data"}
    assert torch.allclose(program(x), model(x), atol=1e-5)
    assert torch.allclose(torch.onnx.load(tmp_path / "model.onnx")(x), model(x), atol=1e-5)
    assert torch.allclose(torch.onnx.quantized(program)(x), model(x), atol=0.1)
    torch.onnx.save_ort(program, tmp_path / "model.ort")
    assert (tmp_path / "model.ort").stat().st_size > 64 * 64 * 4
    with pytest.raises(ValueError, match="needs a path"):
        program.save(io.BytesIO())


def test_what_onnx_cannot_express_names_the_operation_and_the_line() -> None:
    class Rare(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.linalg.inv(x)

    with pytest.raises(
        OnnxExporterError, match=r"linalg_inv.*line \d+ of .*torch\.linalg\.inv\(x\)"
    ):
        torch.onnx.export(Rare(), (torch.eye(3),))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"opset_version": 40}, "from 13 to"),
        ({"dynamic_axes": {"inptu": {0: "n"}}}, "names of inputs"),
        ({"dynamic_axes": {"input": {5: "n"}}}, "a dimension of input"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: Any, words: str) -> None:
    with pytest.raises((OnnxExporterError, ValueError, IndexError), match=words):
        torch.onnx.export(nn.Linear(3, 2), (torch.ones(1, 3),), **options)


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'flambeau\[onnx\]'"):
        torch.onnx.export(nn.Linear(3, 2), (torch.ones(1, 3),))


def test_masks_of_truth_values_are_cut_and_chosen() -> None:
    def model(x: Any) -> Any:
        t = x.shape[1]
        later = torch.ones(t, t, dtype=torch.bool).triu(1)
        later = torch.where(later.tril(2), later, later & (x[0, 0, 0] > 0))
        return (x @ x.mT).masked_fill(later, -1.0)

    program = torch.onnx.export(model, (torch.randn(1, 3, 2),), dynamic_axes={"x": {1: "time"}})
    x = torch.randn(1, 6, 2)
    assert torch.allclose(program(x), model(x), atol=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_images_of_any_size_are_resampled(mode: str) -> None:
    class Twice(nn.Module):
        def forward(self, x: Any, like: Any) -> Any:
            y = F.interpolate(x, scale_factor=2.0, mode=mode)
            return F.interpolate(y, size=like.shape[2:], mode=mode)

    axes = {"x": {2: "h", 3: "w"}, "like": {2: "H", 3: "W"}}
    given = (torch.randn(1, 2, 6, 5), torch.zeros(1, 1, 9, 4))
    exported(Twice(), given, axes, (torch.randn(1, 2, 3, 8), torch.zeros(1, 1, 7, 7)))


def test_random_numbers_that_become_constants_are_told() -> None:
    with pytest.warns(torch.export.TracerWarning, match="random numbers are drawn"):
        torch.onnx.export(lambda x: x + torch.rand_like(x), (torch.ones(3),))


def test_limits_are_one_operator() -> None:
    model = nn.Sequential(nn.ReLU6(), nn.Hardtanh())
    assert kinds(exported(model, (torch.randn(5) * 9,))) == ["Clip", "Clip"]


def test_a_compiled_model_is_exported_as_the_model_it_is() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
    program = torch.onnx.export(torch.compile(model), (torch.randn(2, 4),))
    assert kinds(program) == ["Gemm", "Tanh"]


def test_two_threads_export_at_once_and_leave_tensors_as_they_were() -> None:
    from concurrent.futures import ThreadPoolExecutor

    before = torch.Tensor.item
    models = [nn.Sequential(nn.Linear(4, n), nn.ReLU()) for n in range(1, 9)]
    x = torch.randn(2, 4)
    with ThreadPoolExecutor(4) as pool:
        programs = list(pool.map(lambda m: torch.onnx.export(m, (x,)), models))
    for model, program in zip(models, programs, strict=True):
        assert torch.allclose(program(x), model(x), atol=1e-6)
    assert torch.Tensor.item is before


def test_a_range_that_python_reads_is_no_constant_of_the_exported_model() -> None:
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 2)), {nn.Linear})
    with pytest.raises(RuntimeError, match=r"torch\.onnx\.quantized"):
        torch.onnx.export(model, (torch.randn(2, 4),))


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_steps_of_int8_weights_keep_their_codes(kind: str) -> None:
    from flambeau.ops import int8_recurrent

    blocks = {"lstm": 4, "gru": 3}[kind]
    steps = getattr(int8_recurrent, f"int8_{kind}_steps")
    codes = torch.randint(-127, 128, (blocks * 3, 3), dtype=torch.int8)
    scale, bias = torch.rand(blocks * 3) / 127, torch.randn(blocks * 3)

    def model(gates: Any, *states: Any) -> Any:
        return steps(gates, *states, codes, scale, bias, batch_sizes=(2,) * 4, reverse=True)

    args = (torch.randn(8, blocks * 3), *[torch.randn(2, 3)] * (blocks - 2))
    program = torch.onnx.export(model, args)
    assert kind.upper() in kinds(program)
    for one, wanted in zip(program(*args), model(*args), strict=True):
        assert torch.allclose(one, wanted, atol=2e-2)
