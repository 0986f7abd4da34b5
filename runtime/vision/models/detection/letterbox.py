"""Images of any sizes in one batch: scaled alike on both sides, and framed in grey."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .... import full, stack
from ....core.tensor import Tensor
from ....errors import ShapeError
from ....nn.functional import interpolate
from .loss import Target

GREY = 114 / 255
"""What detectors have been trained to see around an image."""


class Frame(NamedTuple):
    """Where an image lies in the batch: its scale, the corner it begins at, its own sides."""

    scale: float
    left: int
    top: int
    height: int
    width: int


def letterboxed(images: Any, size: int | None, step: int) -> tuple[Tensor, list[Frame]]:
    """(N, 3, H, W) or a list of (3, H, W) -> one batch (N, 3, h, w) and each image's frame.

    The longer side becomes `size`, both sides of the batch the least multiples of `step` that hold
    all. Raises: RuntimeError for other shapes or element types.
    """
    several = list(images)
    for image in several:
        if image.ndim != 3 or image.shape[0] != 3 or not image.dtype.is_floating_point:
            raise ShapeError(
                "YOLO: expected images (N, 3, H, W) or a list of (3, H, W), floats from 0 to 1. "
                f"Got one of shape {tuple(image.shape)}, {image.dtype}."
            )
    if not several:
        raise ShapeError("YOLO: expected images. Got an empty batch.")
    scaled, scales = [], []
    for image in several:
        scale = 1.0 if size is None else size / max(image.shape[1:])
        if scale != 1.0:
            sides = [max(round(n * scale), 1) for n in image.shape[1:]]
            image = interpolate(image[None], size=sides, mode="bilinear", antialias=scale < 1)[0]
        scaled.append(image)
        scales.append(scale)
    height, width = (
        math.ceil(max(image.shape[d] for image in scaled) / step) * step for d in (1, 2)
    )
    if all(image.shape[1:] == (height, width) for image in scaled):
        frames = [
            Frame(scale, 0, 0, *image.shape[1:])
            for scale, image in zip(scales, several, strict=True)
        ]
        whole = isinstance(images, Tensor) and all(scale == 1.0 for scale in scales)
        return (images if whole else stack(scaled)), frames
    framed, frames = [], []
    for scale, original, image in zip(scales, several, scaled, strict=True):
        left, top = (width - image.shape[2]) // 2, (height - image.shape[1]) // 2
        canvas = full((3, height, width), GREY, dtype=image.dtype, device=image.device)
        canvas[:, top : top + image.shape[1], left : left + image.shape[2]] = image
        framed.append(canvas)
        frames.append(Frame(scale, left, top, *original.shape[1:]))
    return stack(framed), frames


def framed_boxes(targets: Sequence[Target], frames: list[Frame], classes: int) -> list[Target]:
    """Targets with their boxes where the frames have put them. Raises: RuntimeError or ValueError
    for targets that do not fit the images."""
    if len(targets) != len(frames):
        raise ShapeError(
            f"YOLO: expected a target for each of {len(frames)} images. Got {len(targets)}."
        )
    found = []
    for target, frame in zip(targets, frames, strict=True):
        boxes, labels = target["boxes"], target["labels"]
        if boxes.shape != (len(labels), 4):
            raise ShapeError(
                "YOLO: expected boxes (M, 4) and labels (M,). Got shapes "
                f"{tuple(boxes.shape)} and {tuple(labels.shape)}."
            )
        if (
            labels.device.type == "cpu"
            and len(labels)
            and not 0 <= int(labels.min()) <= int(labels.max()) < classes
        ):
            raise ValueError(
                f"YOLO: expected labels from 0 to {classes - 1}. Got {int(labels.min())} to "
                f"{int(labels.max())}."
            )
        shift = boxes.new_tensor((frame.left, frame.top) * 2)
        found.append({"boxes": boxes * frame.scale + shift, "labels": labels})
    return found


def unframed(boxes: Tensor, frame: Frame) -> Tensor:
    """Boxes (K, 4) of the batch in pixels of the image, cut off at its border."""
    boxes = (boxes - boxes.new_tensor((frame.left, frame.top) * 2)) / frame.scale
    return boxes.clamp(min=0).minimum(boxes.new_tensor((frame.width, frame.height) * 2))
