"""Detectors of two stages, RetinaNet and models of pixels: torchvision's names, results and losses;
their files; features from inside of models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.vision import models, ops
from flambeau.vision.models import feature_extraction
from flambeau.vision.models.detection import backbones, matching

from .detector_cases import PIXELS, detector, facts, images, of_pixels, results

RECORDED = json.loads(
    (Path(__file__).parents[1] / "recorded" / "vision_detectors.json").read_text()
)


@pytest.mark.parametrize("name", RECORDED["models"])
def test_parameters_and_names_are_torchvisions(name: str) -> None:
    assert facts(torch, models, name) == RECORDED["models"][name]


@pytest.mark.parametrize("name", RECORDED["results"])
def test_the_same_seed_gives_torchvisions_losses_gradients_and_detections(name: str) -> None:
    made, expected = results(torch, models, ops, name), RECORDED["results"][name]
    assert made["start"] == pytest.approx(expected["start"], rel=1e-12)
    assert made["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    assert made["gradients"] == pytest.approx(expected["gradients"], rel=1e-3)
    for found, other in zip(made["found"], expected["found"], strict=True):
        assert found.keys() == other.keys()
        assert found["labels"] == other["labels"]
        for key in found:
            np.testing.assert_allclose(found[key], other[key], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "options"), PIXELS)
def test_the_same_seed_gives_torchvisions_classes_of_pixels(name: str, options: Any) -> None:
    made = of_pixels(torch, models, name, options)
    assert made.keys() == RECORDED["pixels"][name].keys()
    for key, expected in RECORDED["pixels"][name].items():
        np.testing.assert_allclose(made[key], expected, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_a_detector_is_told() -> None:
    model = detector(torch, models, ops, "MaskRCNN")
    batch, targets = images(torch)
    with pytest.raises(ValueError, match=r"a target for each of 2 images.*model\.eval"):
        model(batch)
    flat = {**targets[0], "boxes": torch.tensor([[4.0, 5, 30, 40], [25, 20, 25, 45]])}
    with pytest.raises(ValueError, match=r"Target 0 has \[25"):
        model(batch, [flat, targets[1]])
    with pytest.raises(ValueError, match="expected masks"):
        model(batch, [{k: v for k, v in t.items() if k != "masks"} for t in targets])
    with pytest.raises(TypeError, match="floats from 0 to 1"):
        model([(x * 255).to(torch.uint8) for x in batch], targets)
    with pytest.raises(ValueError, match="either num_classes or box_predictor"):
        models.detection.FasterRCNN(model.backbone)
    with pytest.raises(ValueError, match="attribute out_channels"):
        models.detection.FasterRCNN(nn.ReLU(), 2)


def test_codes_of_boxes_decode_to_them() -> None:
    torch.manual_seed(0)
    corner = torch.rand(2, 9, 2) * 40
    anchors, boxes = torch.cat((corner, corner + torch.rand(2, 9, 2) * 20 + 1), -1)
    coder = matching.BoxCoder((10, 10, 5, 5))
    codes = coder.encode_single(boxes, anchors)
    torch.testing.assert_close(coder.decode_single(codes, anchors), boxes, rtol=1e-4, atol=1e-4)


def test_the_best_anchors_of_an_object_are_taken_however_little_they_overlap() -> None:
    overlaps = torch.tensor([[0.8, 0.35, 0.1, 0.0], [0.0, 0.2, 0.1, 0.2]])
    assert matching.Matcher(0.7, 0.3)(overlaps).tolist() == [0, -2, -1, -1]
    assert matching.Matcher(0.7, 0.3, True)(overlaps).tolist() == [0, 0, -1, 1]


def test_backbones_hold_back_their_first_stages() -> None:
    with torch.device("meta"):
        net = backbones.resnet_fpn_backbone(backbone_name="resnet18", trainable_layers=2)
    learns = {name.split(".")[1] for name, p in net.body.named_parameters("body")
              if p.requires_grad}  # fmt: skip
    assert learns == {"layer3", "layer4"}
    assert not [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    with pytest.raises(ValueError, match="0 to 5 trainable"):
        backbones.with_pyramid(models.resnet18(), 6)


def test_a_detector_is_read_from_its_own_file(tmp_path: Path) -> None:
    made = models.segmentation
    model = made.lraspp_mobilenet_v3_large(num_classes=3, weights_backbone=None)
    torch.save(model.state_dict(), tmp_path / "pixels.pth")
    again = made.lraspp_mobilenet_v3_large(weights=tmp_path / "pixels.pth")
    assert again.classifier.low_classifier.out_channels == 3
    with pytest.raises(FileNotFoundError) as raised:
        models.detection.fasterrcnn_mobilenet_v3_large_fpn(num_classes=2)
    assert "weights_backbone=None begins" in raised.value.__notes__[0]


def test_older_files_of_detectors_load() -> None:
    """Their convolutions had no norms beside them, and other names."""
    model = detector(torch, models, ops, "MaskRCNN")
    state = model.state_dict()
    older = {re.sub(r"rpn\.head\.conv\.0\.0", "rpn.head.conv",
                    re.sub(r"mask_head\.0\.0", "mask_head.mask_fcn1", key)): x
             for key, x in state.items()}  # fmt: skip
    assert older.keys() != state.keys()
    detector(torch, models, ops, "MaskRCNN").load_state_dict(older)
    net = detector(torch, models, ops, "RetinaNet")
    older = {re.sub(r"conv\.(\d)\.0", lambda m: f"conv.{2 * int(m[1])}", key): x
             for key, x in net.state_dict().items()}  # fmt: skip
    assert older.keys() != net.state_dict().keys()
    detector(torch, models, ops, "RetinaNet").load_state_dict(older)
    pyramid = ops.FeaturePyramidNetwork([3, 5], 4)
    older = {key.replace(".0.0.", ".0.").replace(".1.0.", ".1."): x
             for key, x in pyramid.state_dict().items()}  # fmt: skip
    ops.FeaturePyramidNetwork([3, 5], 4).load_state_dict(older)


def test_features_come_from_inside_of_a_model_and_share_its_parameters() -> None:
    torch.manual_seed(0)
    model = models.resnet18(num_classes=3)
    cut = feature_extraction.create_feature_extractor(
        model, {"layer1": "fine", "layer4.1.relu_1": "coarse", "flatten": "flat"}
    ).eval()
    model.eval()
    x = torch.rand(1, 3, 32, 32)
    seen = {}
    for name in ("layer1", "layer4"):
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, out, name=name: seen.update({name: out.clone()})
        )
    model(x)
    found = cut(x)
    torch.testing.assert_close(found["fine"], seen["layer1"])
    torch.testing.assert_close(found["coarse"], seen["layer4"])
    assert found["flat"].shape == (1, 512)
    assert cut.conv1.weight is model.conv1.weight
    assert not [name for name, _ in cut.named_parameters() if name.startswith("fc")]
    parts = feature_extraction.IntermediateLayerGetter(model, {"layer1": "a", "layer2": "b"})
    torch.testing.assert_close(parts(x)["a"], seen["layer1"])
    assert list(dict(parts.named_children()))[-1] == "layer2"
    with pytest.raises(ValueError, match=r"did you mean layer4"):
        feature_extraction.create_feature_extractor(model, ["layer41.conv1"])


def test_weights_tell_their_classes_and_stand_beside_their_builders() -> None:
    known = models.ResNet50_Weights.DEFAULT
    assert known is models.resnet.ResNet50_Weights.IMAGENET1K_V2
    assert known.meta["categories"][207] == "golden retriever"
    assert len(known.meta["categories"]) == 1000
    assert known.url.endswith("resnet50-11ad3fa6.pth")
    assert repr(known) == "ResNet50_Weights.IMAGENET1K_V2"
    boxes = models.detection.MaskRCNN_ResNet50_FPN_Weights.DEFAULT
    assert (len(boxes.meta["categories"]), boxes.meta["categories"][18]) == (91, "dog")
    pixels = models.get_weight("FCN_ResNet50_Weights.DEFAULT")
    assert (len(pixels.meta["categories"]), pixels.meta["categories"][12]) == (21, "dog")
    assert pixels.transforms()(torch.rand(3, 260, 520)).shape == (3, 520, 1040)
    assert boxes.transforms()(torch.full((3, 2, 2), 255, dtype=torch.uint8)).max() == 1
    assert models.resnet18(None, num_classes=2).fc.out_features == 2
    with pytest.raises(ValueError, match="no published weights"):
        models.get_model_weights("yolov8n")


def test_levels_beyond_a_pyramid_are_drawn_after_the_backbone() -> None:
    """torchvision's sum of them after the seed 0."""
    torch.manual_seed(0)
    model = models.detection.retinanet_resnet50_fpn(weights_backbone=None, num_classes=3)
    found = float(model.backbone.fpn.extra_blocks.p6.weight.detach().double().abs().sum())
    assert found == pytest.approx(10641.602457368535, rel=1e-12)
