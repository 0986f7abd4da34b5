"""Samples of an image with masks, boxes and key points, and transforms of the second interface that
are compared with torchvision's.

Each case makes the transform of the modules `v2` and `tv`, ours or torchvision's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .transform_cases import picture


def sample(torch: Any, tv: Any) -> Any:
    """An image 23 wide and 19 high, and a target."""
    size = {"canvas_size": (19, 23)}
    pixels = torch.from_numpy(np.array(picture()).transpose(2, 0, 1).copy())
    boxes = torch.tensor([[2, 3, 9, 12], [5, 1, 20, 17.0], [0, 0, 4, 4]])
    centred = torch.tensor([[5, 6, 4, 5], [10, 8, 6, 9.0]])
    target = {
        "boxes": tv.BoundingBoxes(boxes, format="XYXY", **size),
        "labels": torch.tensor([4, 5, 6]),
        "masks": tv.Mask(torch.arange(3 * 19 * 23).reshape(3, 19, 23) % 7 == 0),
        "points": tv.KeyPoints(torch.tensor([[1.0, 2], [10, 15], [22, 18]]), **size),
        "centred": tv.BoundingBoxes(centred, format="CXCYWH", **size),
        "whole": tv.BoundingBoxes(torch.tensor([[2, 3, 9, 12]]), format="XYWH", **size),
        "name": "a",
    }
    return tv.Image(pixels), target


def _make(name: str, *args: Any, **options: Any) -> Any:
    return lambda v2, tv: getattr(v2, name)(*args, **options)


CASES: dict[str, Any] = {
    "mirrored": _make("RandomHorizontalFlip", 1.0),
    "upside down": _make("RandomVerticalFlip", 1.0),
    "resized": _make("Resize", (10, 12)),
    "longer side": _make("Resize", None, max_size=30),
    "middle": _make("CenterCrop", 12),
    "padded": lambda v2, tv: v2.Pad([1, 2, 3, 4], fill={tv.Image: (1, 2, 3), "others": 0}),
    "RandomCrop": _make("RandomCrop", 25, pad_if_needed=True),
    "RandomCrop padded": _make("RandomCrop", 15, padding=2),
    "RandomResizedCrop": _make("RandomResizedCrop", 11),
    "RandomRotation": _make("RandomRotation", 30),
    "RandomRotation centred": _make("RandomRotation", (20, 20), center=[3, 4]),
    "RandomAffine": _make("RandomAffine", 20, (0.1, 0.2), (0.7, 1.2), 10),
    "RandomPerspective": _make("RandomPerspective", 0.5, 1.0),
    "ElasticTransform": _make("ElasticTransform", 30.0, 2.0),
    "RandomZoomOut": _make("RandomZoomOut", p=1.0),
    "ScaleJitter": _make("ScaleJitter", (20, 20)),
    "RandomShortestSize": _make("RandomShortestSize", [10, 12], max_size=14),
    "RandomResize": _make("RandomResize", 8, 20),
    "RandomPhotometricDistort": _make("RandomPhotometricDistort", p=0.9),
    "RandomChannelPermutation": _make("RandomChannelPermutation"),
    "ColorJitter": _make("ColorJitter", 0.3, 0.3, 0.3, 0.1),
    "GaussianNoise": _make("GaussianNoise", 0.1, 0.2),
    "types": lambda v2, tv: v2.ToDtype(
        {tv.Image: tv.Image(np.ones((1, 1), np.float32)).dtype, "others": None}, scale=True
    ),
    "RandomChoice": lambda v2, tv: v2.RandomChoice([v2.Pad(1), v2.Pad(2)]),
    "RandomOrder": lambda v2, tv: v2.RandomOrder([v2.Pad(1), v2.RandomCrop(12)]),
    "RandomApply": lambda v2, tv: v2.RandomApply([v2.RandomHorizontalFlip(1.0)], 0.6),
    "formats": lambda v2, tv: v2.Compose([v2.ConvertBoundingBoxFormat("XYWH"), v2.Resize(9)]),
}

OF_DETECTORS: dict[str, Any] = {
    "RandomIoUCrop": _make("RandomIoUCrop"),
    "cropped and cleaned": lambda v2, tv: v2.Compose(
        [v2.RandomIoUCrop(sampler_options=[0.3]), v2.SanitizeBoundingBoxes()]
    ),
    "cleaned": _make("SanitizeBoundingBoxes", min_size=5, min_area=70),
}
"""Of the image, `boxes`, `labels` and `masks` alone."""


def results(torch: Any, v2: Any, tv: Any) -> dict[str, Any]:
    """What becomes of the sample by each case after a seed: of each part its kind, its facts and
    its values; of an image the mean of each channel."""
    found = {}
    for name, make in {**CASES, **OF_DETECTORS}.items():
        image, target = sample(torch, tv)
        if name in OF_DETECTORS:
            target = {key: target[key] for key in ("boxes", "labels", "masks")}
        torch.manual_seed(7)
        new, target = make(v2, tv)(image, target)
        found[name] = {"image": told(new, tv)}
        found[name].update({key: told(x, tv) for key, x in target.items()})
    return found


def told(x: Any, tv: Any) -> Any:
    """One part as what JSON has."""
    if isinstance(x, str):
        return x
    facts = [type(x).__name__.rpartition(".")[2], str(x.dtype).rpartition(".")[2], list(x.shape)]
    array = np.array(x.tolist(), np.float64).reshape(x.shape)
    if isinstance(x, tv.Image):
        values = array.mean((1, 2))
    elif isinstance(x, tv.Mask):
        values = array.sum((1, 2))
    else:
        values = array
    if hasattr(x, "canvas_size"):
        facts.append(list(x.canvas_size))
    return [*facts, values.round(4).tolist()]
