"""Transforms that are compared with torchvision, and the image they are given.

Each case names the forms it takes ("p" a PIL image, "u" bytes, "f" floats) and makes the transform
of the module `T`, ours or torchvision's.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from PIL import Image


def picture() -> Any:
    """A smooth PIL image, 23 wide and 19 high."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return noise.resize((23, 19), Image.Resampling.BICUBIC)


def forms(torch: Any, T: Any) -> dict[str, Any]:
    """The picture in the three forms."""
    image = picture()
    return {"p": image, "u": T.functional.pil_to_tensor(image), "f": T.functional.to_tensor(image)}


def seeded(torch: Any, transform: Any, image: Any) -> Any:
    """The result after a seed."""
    torch.manual_seed(3)
    random.seed(3)
    return transform(image)


def _call(name: str, *args: Any, **options: Any) -> Any:
    return lambda T: lambda x: getattr(T.functional, name)(x, *args, **options)


def _make(name: str, *args: Any, **options: Any) -> Any:
    return lambda T: getattr(T, name)(*args, **options)


def _mode(name: str, size: Any, mode: str, **options: Any) -> Any:
    return lambda T: (
        lambda x: getattr(T.functional, name)(
            x, size, interpolation=T.InterpolationMode(mode), **options
        )
    )


CASES: dict[str, tuple[str, Any]] = {
    "smaller": ("puf", _mode("resize", [11, 8], "bilinear")),
    "larger": ("pf", _mode("resize", [30, 31], "bilinear")),
    "shorter side": ("pf", _mode("resize", 10, "bicubic", max_size=11)),
    "bicubic": ("puf", _mode("resize", [11, 8], "bicubic")),
    "not smoothed": ("uf", _mode("resize", [11, 8], "bilinear", antialias=False)),
    "nearest": ("puf", _mode("resize", [11, 8], "nearest")),
    "center_crop": ("puf", _call("center_crop", (9, 40))),
    "pad reflect": ("pu", _call("pad", [1, 2, 3, 4], 0, "reflect")),
    "pad symmetric": ("pu", _call("pad", [1, 2, 3, 4], 0, "symmetric")),
    "rotate": ("pu", _call("rotate", 20)),
    "rotate and expand": ("pf", _mode("rotate", -47.5, "bilinear", expand=True)),
    "affine": ("pu", _call("affine", 15.0, [3, -2], 1.2, [5.0, -8.0])),
    "perspective": (
        "pf",
        _call(
            "perspective",
            [[0, 0], [22, 0], [22, 18], [0, 18]],
            [[3, 2], [20, 1], [19, 16], [1, 17]],
        ),
    ),
    "brightness": ("puf", _call("adjust_brightness", 1.3)),
    "contrast": ("puf", _call("adjust_contrast", 0.6)),
    "saturation": ("puf", _call("adjust_saturation", 1.7)),
    "hue": ("puf", _call("adjust_hue", -0.3)),
    "gamma": ("puf", _call("adjust_gamma", 1.8)),
    "sharpness": ("puf", _call("adjust_sharpness", 2)),
    "grey": ("puf", _call("rgb_to_grayscale", 3)),
    "posterize": ("pu", _call("posterize", 3)),
    "solarize": ("pu", _call("solarize", 100)),
    "autocontrast": ("puf", _call("autocontrast")),
    "equalize": ("pu", _call("equalize")),
    "blur": ("puf", _call("gaussian_blur", [5, 3], [1.0, 0.7])),
    "RandomCrop": ("pf", _make("RandomCrop", 22, padding=3, pad_if_needed=True)),
    "RandomResizedCrop": ("pf", _make("RandomResizedCrop", 12)),
    "ColorJitter": ("puf", _make("ColorJitter", 0.4, 0.4, 0.4, 0.1)),
    "RandomRotation": ("pu", _make("RandomRotation", 30)),
    "RandomAffine": ("pu", _make("RandomAffine", 10, (0.1, 0.2), (0.8, 1.2), (1, 5, 2, 8))),
    "RandomPerspective": ("pf", _make("RandomPerspective", p=1.0)),
    "RandomErasing": ("f", _make("RandomErasing", 1.0, value=(0.1, 0.2, 0.3))),
    "RandomErasing with noise": ("f", _make("RandomErasing", 1.0, value="random")),
    "RandAugment": ("pu", _make("RandAugment", 4, 20)),
    "TrivialAugmentWide": ("pu", _make("TrivialAugmentWide")),
    "AutoAugment": ("p", lambda T: T.AutoAugment(T.AutoAugmentPolicy.CIFAR10)),
}
