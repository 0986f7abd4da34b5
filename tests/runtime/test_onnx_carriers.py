"""Exported models on their way: files of programs, int8 weights, phones' format, web pages."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.errors import CheckpointError
from flambeau.export import Dim

from .. import programs

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def test_a_program_comes_back_from_its_file_with_open_sizes(tmp_path: Path) -> None:
    model = nn.LSTM(5, 6, 2, batch_first=True).eval()
    shapes = ({0: Dim("batch"), 1: Dim("time")},)
    program = torch.export.export(model, (torch.randn(2, 4, 5),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2")
    x = torch.randn(3, 7, 5)
    for found, wanted in zip(
        torch.utils._pytree.tree_leaves(loaded.module()(x)),
        torch.utils._pytree.tree_leaves(model(x)),
        strict=True,
    ):
        assert torch.equal(found, wanted)
    assert loaded.graph_signature == program.graph_signature
    assert torch.allclose(torch.onnx.export(loaded, (x,))(x)[0], model(x)[0], atol=1e-6)


def test_files_that_hold_no_program_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"written by torch\.export\.save"):
        torch.export.load(tmp_path / "weights.safetensors")


def test_int8_weights_take_a_quarter_and_change_little(tmp_path: Path) -> None:
    layer = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(2, 5, 64)
    program = torch.onnx.export(model, (x,), dynamic_axes={"src": {0: "batch"}})
    small = torch.onnx.quantized(program)
    sizes = [len(p.model_proto.SerializeToString()) for p in (program, small)]
    assert sizes[1] < 0.35 * sizes[0]
    assert (small(x) - model.eval()(x)).abs().max().item() < 0.1
    path = torch.onnx.save_ort(small, tmp_path / "model.ort")
    session = onnxruntime.InferenceSession(str(path))
    found = session.run(None, {"src": x.numpy()})[0]
    assert torch.allclose(torch.from_numpy(found), small(x), atol=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == ["model.ort"]


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder with files called as those of onnxruntime-web."""
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "ort.wasm.bundle.min.mjs").write_text("export {}")
    (folder / "ort-wasm-simd-threaded.wasm").write_bytes(b"\0asm")
    return folder


def embedded(page: str, name: str) -> bytes:
    return base64.b64decode(re.search(rf'id="{name}">([^<]*)<', page)[1])  # type: ignore[index]


def test_a_page_holds_model_runtime_and_what_it_must_know(tmp_path: Path, runtime: Path) -> None:
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), torch.zeros(1, 1, 4, 4)
    program = torch.onnx.export(model, (x,), dynamic_axes={"input": {0: "batch"}})
    names, path = ["</script>", "b"], tmp_path / "page.html"
    torch.onnx.web_page(program, path, runtime=tmp_path, title="A & B", labels=names, std=0.5)
    page = path.read_text()
    assert embedded(page, "model") == program.model_proto.SerializeToString()
    assert embedded(page, "wasm") == b"\0asm"
    settings: Any = json.loads(re.search(r'id="settings">(.*?)</script>', page)[1])  # type: ignore[index]
    assert settings["image"] is True
    assert settings["labels"] == names
    assert (settings["mean"], settings["std"]) == ([0.0], [0.5])
    assert "<title>A &amp; B</title>" in page
    assert not re.search(r'(src|href)="', page), "fetches something"


def test_a_page_begins_with_the_example_of_what_is_no_picture(
    tmp_path: Path, runtime: Path
) -> None:
    x = torch.arange(16.0).reshape(1, 4, 2, 2)
    program = torch.onnx.export(nn.Identity(), (x,))
    page = torch.onnx.web_page(program, tmp_path / "page.html", runtime=runtime).read_text()
    settings = json.loads(re.search(r'id="settings">([^<]*)<', page)[1])  # type: ignore[index]
    assert settings["inputs"][0]["example"] == x.tolist()


def test_a_page_says_what_it_cannot_do(tmp_path: Path, runtime: Path) -> None:
    program = torch.onnx.export(nn.Linear(2, 2), (torch.ones(1, 2),))
    with pytest.raises(FileNotFoundError, match="npm install onnxruntime-web"):
        torch.onnx.web_page(program, tmp_path / "page.html", runtime=tmp_path / "nowhere")
    with pytest.raises(torch.onnx.OnnxExporterError, match=r"\(N, 1 or 3, H, W\)"):
        torch.onnx.web_page(program, tmp_path / "page.html", runtime=runtime, image=True)
    assert not (tmp_path / "page.html").exists()


def test_the_example_exports_what_it_trained(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    script = Path(__file__).parent.parent.parent / "examples" / "export.py"
    result = programs.finished(sys.executable, str(script), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    for words in (r"test accuracy ([\d.]+)%", r"int8 ([\d.]+)%"):
        assert float(re.search(words, result.stdout)[1]) >= 97.0  # type: ignore[index]
    assert sorted(p.name for p in (tmp_path / "exported").iterdir()) == [
        "digits.onnx",
        "digits.ort",
    ]
