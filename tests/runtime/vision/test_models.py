"""Models of images: parameters, names, initial values and results are torchvision's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.vision import models

from .recorded_values import RECORDED


def digest(model: Any) -> str:
    rows = [[name, list(x.shape)] for name, x in model.state_dict().items()]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", RECORDED["models"])
def test_parameters_and_names_are_torchvisions(name: str) -> None:
    with torch.device("meta"):
        model = models.get_model(name)
    assert [sum(p.numel() for p in model.parameters()), digest(model)] == RECORDED["models"][name]


def test_every_model_was_compared() -> None:
    assert models.list_models(module=models) == sorted(RECORDED["models"])


@pytest.mark.parametrize("case", RECORDED["runs"], ids=lambda case: case["name"])
def test_the_same_seed_gives_torchvisions_values_results_and_gradients(case: Any) -> None:
    torch.manual_seed(0)
    model = getattr(models, case["name"])(**case["options"])
    start = sum(float(p.detach().double().abs().sum()) for p in model.parameters())
    assert start == pytest.approx(case["start"], rel=1e-12)
    x = torch.randn(2, 3, case["side"], case["side"])
    model.eval()
    y = model(x)
    y.square().sum().backward()
    scale = np.abs(case["out"]).max()
    np.testing.assert_allclose(y.tolist(), case["out"], atol=2e-5 * scale)
    slopes = sum(float(p.grad.double().abs().sum()) for p in model.parameters())
    assert slopes == pytest.approx(case["gradients"], rel=1e-4)


def test_names_are_listed_by_pattern_and_found_in_any_case() -> None:
    assert models.list_models(include="resnet*", exclude=["*50", "*1*"]) == ["resnet34"]
    assert isinstance(models.get_model("ResNet18", num_classes=3), models.ResNet)
    with pytest.raises(ValueError, match=r"Did you mean .*resnet18"):
        models.get_model("resnet-18")


def test_weights_come_from_a_file_and_bring_their_number_of_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = models.shufflenet_v2_x0_5(num_classes=7)
    torch.save(trained.state_dict(), tmp_path / "trained.pth")
    loaded = models.shufflenet_v2_x0_5(weights=str(tmp_path / "trained.pth"))
    assert loaded.fc.out_features == 7
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, trained.state_dict()[name])


def test_weights_of_a_detector_bring_their_number_of_classes(tmp_path: Path) -> None:
    torch.save(models.detection.yolov8n(num_classes=6).state_dict(), tmp_path / "trained.pt")
    model = models.get_model("yolov8n", weights=tmp_path / "trained.pt")
    assert model.num_classes == 6


def test_published_weights_are_read_from_hubs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    enum = models.SqueezeNet1_1_Weights
    assert enum is models.get_model_weights("squeezenet1_1")
    assert models.get_weight("SqueezeNet1_1_Weights.IMAGENET1K_V1") is enum.DEFAULT
    with pytest.raises(FileNotFoundError, match=r"squeezenet1_1-b8a52dc0\.pth.*weights="):
        models.squeezenet1_1(weights=enum.DEFAULT)
    state = models.squeezenet1_1().state_dict()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / enum.DEFAULT.value.file)
    for weights in (enum.DEFAULT, "DEFAULT", "IMAGENET1K_V1", "SqueezeNet1_1_Weights.DEFAULT"):
        model = models.squeezenet1_1(weights=weights)
        assert torch.equal(model.features[0].weight, state["features.0.weight"])


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(TypeError, match="expected weights of resnet18"):
        models.resnet18(weights=models.ResNet50_Weights.DEFAULT)
    with pytest.raises(ValueError, match=r"IMAGENET1K_V1, .*or a path"):
        models.resnet18(weights="imagenet")


def test_a_densenet_that_saves_memory_computes_the_same_gradients() -> None:
    def slopes(saves: bool) -> Any:
        torch.manual_seed(0)
        net = models.DenseNet(4, (2, 2), 8, memory_efficient=saves)
        net(torch.randn(2, 3, 32, 32)).sum().backward()
        return [p.grad for p in net.parameters()]

    for a, b in zip(slopes(True), slopes(False), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
