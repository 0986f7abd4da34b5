"""Published weights: which file holds them, and how to prepare the images they know.

Nothing is fetched from the network. A file is found where `torch.hub` keeps its own, or a builder
gets its path: `resnet18(weights="resnet18-f37072fd.pth")`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Weights", "WeightsEnum"]

IMAGENET_CLASSES = 1000

V1, V2 = "IMAGENET1K_V1", "IMAGENET1K_V2"
PUBLISHED: dict[str, list[str]] = {
    "AlexNet": ["V1 alexnet-owt-7be5be79"],
    "ConvNeXt_Base": ["V1 convnext_base-6075fbad 224 232"],
    "ConvNeXt_Large": ["V1 convnext_large-ea097f82 224 232"],
    "ConvNeXt_Small": ["V1 convnext_small-0c510722 224 230"],
    "ConvNeXt_Tiny": ["V1 convnext_tiny-983f1562 224 236"],
    "DenseNet121": ["V1 densenet121-a639ec97"],
    "DenseNet161": ["V1 densenet161-8d451a50"],
    "DenseNet169": ["V1 densenet169-b2777c0a"],
    "DenseNet201": ["V1 densenet201-c1103571"],
    "EfficientNet_B0": ["V1 efficientnet_b0_rwightman-7f5810bc 224 256 bicubic"],
    "EfficientNet_B1": [
        "V1 efficientnet_b1_rwightman-bac287d4 240 256 bicubic",
        "V2 efficientnet_b1-c27df63c 240 255",
    ],
    "EfficientNet_B2": ["V1 efficientnet_b2_rwightman-c35c1473 288 288 bicubic"],
    "EfficientNet_B3": ["V1 efficientnet_b3_rwightman-b3899882 300 320 bicubic"],
    "EfficientNet_B4": ["V1 efficientnet_b4_rwightman-23ab8bcd 380 384 bicubic"],
    "EfficientNet_B5": ["V1 efficientnet_b5_lukemelas-1a07897c 456 456 bicubic"],
    "EfficientNet_B6": ["V1 efficientnet_b6_lukemelas-24a108a5 528 528 bicubic"],
    "EfficientNet_B7": ["V1 efficientnet_b7_lukemelas-c5b4e57e 600 600 bicubic"],
    "EfficientNet_V2_L": ["V1 efficientnet_v2_l-59c71312 480 480 bicubic halves"],
    "EfficientNet_V2_M": ["V1 efficientnet_v2_m-dc08266a 480 480"],
    "EfficientNet_V2_S": ["V1 efficientnet_v2_s-dd5fe13b 384 384"],
    "MobileNet_V2": ["V1 mobilenet_v2-b0353104", "V2 mobilenet_v2-7ebf99e0 224 232"],
    "MobileNet_V3_Large": [
        "V1 mobilenet_v3_large-8738ca79",
        "V2 mobilenet_v3_large-5c1a4163 224 232",
    ],
    "MobileNet_V3_Small": ["V1 mobilenet_v3_small-047dcff4"],
    "ResNet18": ["V1 resnet18-f37072fd"],
    "ResNet34": ["V1 resnet34-b627a593"],
    "ResNet50": ["V1 resnet50-0676ba61", "V2 resnet50-11ad3fa6 224 232"],
    "ResNet101": ["V1 resnet101-63fe2227", "V2 resnet101-cd907fc2 224 232"],
    "ResNet152": ["V1 resnet152-394f9c45", "V2 resnet152-f82ba261 224 232"],
    "ResNeXt50_32X4D": ["V1 resnext50_32x4d-7cdf4587", "V2 resnext50_32x4d-1a0047aa 224 232"],
    "ResNeXt101_32X8D": ["V1 resnext101_32x8d-8ba56ff5", "V2 resnext101_32x8d-110c445d 224 232"],
    "ResNeXt101_64X4D": ["V1 resnext101_64x4d-173b62eb 224 232"],
    "ShuffleNet_V2_X0_5": ["V1 shufflenetv2_x0.5-f707e7126e"],
    "ShuffleNet_V2_X1_0": ["V1 shufflenetv2_x1-5666bf0f80"],
    "ShuffleNet_V2_X1_5": ["V1 shufflenetv2_x1_5-3c479a10 224 232"],
    "ShuffleNet_V2_X2_0": ["V1 shufflenetv2_x2_0-8be3c8ee 224 232"],
    "SqueezeNet1_0": ["V1 squeezenet1_0-b66bff10"],
    "SqueezeNet1_1": ["V1 squeezenet1_1-b8a52dc0"],
    "VGG11": ["V1 vgg11-8a719046"],
    "VGG11_BN": ["V1 vgg11_bn-6002323d"],
    "VGG13": ["V1 vgg13-19584684"],
    "VGG13_BN": ["V1 vgg13_bn-abd245e5"],
    "VGG16": ["V1 vgg16-397923af"],
    "VGG16_BN": ["V1 vgg16_bn-6c64b313"],
    "VGG19": ["V1 vgg19-dcbb9e9d"],
    "VGG19_BN": ["V1 vgg19_bn-c79401a0"],
    "ViT_B_16": [
        "V1 vit_b_16-c867db91",
        "SWAG_E2E_V1 vit_b_16_swag-9ac1b537 384 384 bicubic",
        "SWAG_LINEAR_V1 vit_b_16_lc_swag-4e70ced5 224 224 bicubic",
    ],
    "ViT_B_32": ["V1 vit_b_32-d86f8d99"],
    "ViT_H_14": [
        "SWAG_E2E_V1 vit_h_14_swag-80465313 518 518 bicubic",
        "SWAG_LINEAR_V1 vit_h_14_lc_swag-c1eb923e 224 224 bicubic",
    ],
    "ViT_L_16": [
        "V1 vit_l_16-852ce7e3 224 242",
        "SWAG_E2E_V1 vit_l_16_swag-4f3808c9 512 512 bicubic",
        "SWAG_LINEAR_V1 vit_l_16_lc_swag-4d563306 224 224 bicubic",
    ],
    "ViT_L_32": ["V1 vit_l_32-c7638314"],
    "Wide_ResNet50_2": ["V1 wide_resnet50_2-95faca4d", "V2 wide_resnet50_2-9ba9bcbe 224 232"],
    "Wide_ResNet101_2": ["V1 wide_resnet101_2-32ee1156", "V2 wide_resnet101_2-d733dc28 224 232"],
    "FasterRCNN_ResNet50_FPN": ["COCO_V1 fasterrcnn_resnet50_fpn_coco-258fb6c6"],
    "FasterRCNN_ResNet50_FPN_V2": ["COCO_V1 fasterrcnn_resnet50_fpn_v2_coco-dd69338a"],
    "FasterRCNN_MobileNet_V3_Large_FPN": ["COCO_V1 fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7"],
    "FasterRCNN_MobileNet_V3_Large_320_FPN": [
        "COCO_V1 fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9"
    ],
    "MaskRCNN_ResNet50_FPN": ["COCO_V1 maskrcnn_resnet50_fpn_coco-bf2d0c1e"],
    "MaskRCNN_ResNet50_FPN_V2": ["COCO_V1 maskrcnn_resnet50_fpn_v2_coco-73cbd019"],
    "RetinaNet_ResNet50_FPN": ["COCO_V1 retinanet_resnet50_fpn_coco-eeacb38b"],
    "RetinaNet_ResNet50_FPN_V2": ["COCO_V1 retinanet_resnet50_fpn_v2_coco-5905b1c5"],
    "FCN_ResNet50": ["COCO_WITH_VOC_LABELS_V1 fcn_resnet50_coco-1167a1af"],
    "FCN_ResNet101": ["COCO_WITH_VOC_LABELS_V1 fcn_resnet101_coco-7ecb50ca"],
    "DeepLabV3_ResNet50": ["COCO_WITH_VOC_LABELS_V1 deeplabv3_resnet50_coco-cd0a2569"],
    "DeepLabV3_ResNet101": ["COCO_WITH_VOC_LABELS_V1 deeplabv3_resnet101_coco-586e9e4e"],
    "DeepLabV3_MobileNet_V3_Large": [
        "COCO_WITH_VOC_LABELS_V1 deeplabv3_mobilenet_v3_large-fc3c493d"
    ],
    "LRASPP_MobileNet_V3_Large": ["COCO_WITH_VOC_LABELS_V1 lraspp_mobilenet_v3_large-d234d4ea"],
}
"""The versions of each model's weights: the end of its name, the stem of the file, and unless they
are 224, 256 and bilinear the sides that images are cropped and resized to, and how."""


HOME = "https://download.pytorch.org/models/"


@cache
def categories(data: str) -> tuple[str, ...]:
    """The names of the classes of a data set (imagenet, coco or voc), in the order of their
    numbers."""
    file = Path(__file__).with_name("categories") / f"{data}.txt"
    return tuple(file.read_text(encoding="utf-8").splitlines())


@dataclass(frozen=True)
class Weights:
    """The name of the file, the data set whose classes they know, and for classifiers the sides of
    images, and how they are resized."""

    file: str
    data: str
    crop_size: int = 224
    resize_size: int = 256
    interpolation: str = "bilinear"
    halves: str = ""  # whether the mean and the deviation of each channel count as 1/2

    @property
    def url(self) -> str:
        """Where they are published."""
        return HOME + self.file

    @property
    def meta(self) -> dict[str, Any]:
        """What is known of them: `categories`, the names of the classes, and how many there are."""
        names = list(categories(self.data))
        return {"min_size": (1, 1), "categories": names, "num_classes": len(names)}

    def transforms(self) -> Any:
        """What prepares a PIL image or a tensor for the model."""
        from ..transforms import presets

        if self.data == "coco":
            return presets.ObjectDetection()
        if self.data == "voc":
            return presets.SemanticSegmentation(resize_size=520)
        levels = {"mean": (0.5,) * 3, "std": (0.5,) * 3} if self.halves else {}
        return presets.ImageClassification(
            crop_size=self.crop_size,
            resize_size=self.resize_size,
            interpolation=self.interpolation,
            **levels,
        )


class WeightsEnum(Enum):
    """The published weights of one model."""

    value: Weights

    @property
    def transforms(self) -> Any:
        """See `Weights.transforms`."""
        return self.value.transforms

    @property
    def meta(self) -> Mapping[str, Any]:
        """See `Weights.meta`."""
        return self.value.meta

    @property
    def url(self) -> str:
        """Where they are published."""
        return self.value.url

    def __repr__(self) -> str:
        return str(self)

    @classmethod
    def verify(cls, given: Any) -> Any:
        """The member that `given` is or names, or None. Raises: TypeError or KeyError."""
        if given is None or isinstance(given, cls):
            return given
        if not isinstance(given, str):
            raise TypeError(f"{cls.__name__}: expected one of them or its name. Got {given!r}.")
        return cls[given.rpartition(".")[2]]

    def get_state_dict(self, progress: bool = True, check_hash: bool = False) -> Any:
        """The tensors by name. Raises: FileNotFoundError that tells where the file is sought."""
        return _read(_folder() / self.value.file, self.value.file)


def _enum(stem: str, lines: list[str]) -> Any:
    members = {}
    for line in lines:
        version, file, *rest = line.split()
        data = {"COCO_V1": "coco", "COCO_WITH_VOC_LABELS_V1": "voc"}.get(version, "imagenet")
        name = f"IMAGENET1K_{version}" if data == "imagenet" else version
        members[name] = Weights(f"{file}.pth", data, *(int(x) for x in rest[:2]), *rest[2:])
    numbered = [name for name in members if name in (V1, V2)] or list(members)[:1]
    members["DEFAULT"] = members[numbered[-1]]
    return WeightsEnum(f"{stem}_Weights", members)  # type: ignore[call-overload]


ENUMS: dict[str, Any] = {stem.lower(): _enum(stem, lines) for stem, lines in PUBLISHED.items()}
"""By the name of the model's builder."""

OLDER_NAMES = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""How the layers of DenseNet were called in the published files."""


def _folder() -> Path:
    from ...hub import get_dir

    return Path(get_dir()) / "checkpoints"


def _read(path: Path, name: str) -> Any:
    from ...serialization import load

    if not path.is_file():
        raise FileNotFoundError(
            f"weights: expected the file {name} as {path}. There is none, and nothing is "
            f"downloaded: put it there, or pass the path of a file with a state dict, "
            f'weights="path/to/{name}".'
        )
    state = load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    return {OLDER_NAMES.sub(r"\1\2", key): value for key, value in state.items()}


def published(model: str, weights: Any) -> WeightsEnum | None:
    """The member of the model's enumeration that `weights` names or is; None for a path.

    Raises: ValueError or TypeError for what is neither.
    """
    enum = ENUMS.get(model)
    if isinstance(weights, WeightsEnum):
        if enum is None or not isinstance(weights, enum):
            raise TypeError(f"{model}: expected weights of {model}. Got {weights}.")
        return weights
    if isinstance(weights, os.PathLike):
        return None
    if not isinstance(weights, str):
        raise TypeError(
            f"{model}: expected weights as a member of an enumeration, its name, or the path of a "
            f"file. Got {type(weights).__name__}."
        )
    name = weights.rpartition(".")[2]
    if enum is not None and name in enum.__members__:
        return enum[name]
    if Path(weights).suffix or Path(weights).exists():
        return None
    names = ", ".join(enum.__members__) if enum is not None else "none published"
    raise ValueError(f"{model}: expected weights ({names}) or a path. Got {weights!r}.")


def state_dict_of(model: str, weights: Any) -> Any:
    """The tensors by name. Raises: see `published`; FileNotFoundError."""
    member = published(model, weights)
    if member is not None:
        return member.get_state_dict()
    return _read(Path(weights).expanduser(), Path(weights).name)


CLASSIFIERS = {
    "roi_heads.box_predictor.cls_score.weight": 1, "classifier.low_classifier.weight": 1,
    "head.classification_head.cls_logits.weight": 9,
}  # fmt: skip
"""Where models that are not classifiers tell classes apart, and how many rows a class has there."""


def options_in(model: str, weights: Any, state: Any) -> dict[str, Any]:
    """What a model is made with for its weights to fit: how many classes they tell apart, and
    whether they have a second classifier."""
    return {
        "num_classes": _classes_in(model, weights, state),
        "aux_loss": any(name.startswith("aux_classifier.") for name in state),
    }


def _classes_in(model: str, weights: Any, state: Any) -> int:
    member = published(model, weights)
    if member is not None:
        return int(member.meta["num_classes"])
    for name, rows in CLASSIFIERS.items():
        if name in state:
            return int(state[name].shape[0]) // rows
    fixed = (".dfl.", ".aux_classifier.")  # the distances of a detector
    last = [x for name, x in state.items()
            if getattr(x, "ndim", 0) > 1 and not any(f in f".{name}" for f in fixed)]  # fmt: skip
    return last[-1].shape[0] if last else IMAGENET_CLASSES
