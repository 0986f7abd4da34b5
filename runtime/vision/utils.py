"""Pictures of tensors: grids, files, boxes and masks drawn into images."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from typing import Any

from PIL import ImageColor, ImageDraw, ImageFont

from .. import cat, ones, stack
from ..autograd.grad_mode import no_grad
from ..core import dtypes
from ..core.tensor import Tensor
from ..errors import ShapeError
from .transforms.conversion import convert_image_dtype, pil_to_tensor, to_pil_image

__all__ = [
    "draw_bounding_boxes", "draw_keypoints", "draw_segmentation_masks", "make_grid", "save_image",
]  # fmt: skip

GOLDEN = (math.sqrt(5) - 1) / 2
"""Hues a golden section apart stay unlike, however many there are."""


def _scaled(image: Tensor, ends: Any) -> Tensor:
    low, high = ends if ends is not None else (float(image.min()), float(image.max()))
    return (image.clamp(low, high) - low) / max(high - low, 1e-5)


@no_grad()
def make_grid(
    tensor: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """(N, C, H, W), one image or a list of them -> (3, height, width): `nrow` images a row with
    `padding` pixels of `pad_value` around each.

    `normalize` brings `value_range` (the least and largest value) to 0 to 1, of all images together
    or of `scale_each` alone.
    """
    images = stack(list(tensor)) if isinstance(tensor, list | tuple) else tensor
    if not isinstance(images, Tensor):
        raise TypeError(f"make_grid: expected a tensor or a list of them. Got {type(tensor)}.")
    if images.ndim == 2:
        images = images[None]
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4:
        raise ShapeError(f"make_grid: expected (N, C, H, W). Got {tuple(images.shape)}.")
    if images.shape[1] == 1:
        images = cat((images,) * 3, 1)
    if normalize:
        parts = [_scaled(x, value_range) for x in images] if scale_each else None
        images = _scaled(images, value_range) if parts is None else stack(parts)
    count, channels, height, width = images.shape
    if count == 1:
        return images[0]
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    height, width = height + padding, width + padding
    grid = images.new_full(
        (channels, height * rows + padding, width * columns + padding), pad_value
    )
    for k in range(count):
        top, left = k // columns * height + padding, k % columns * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = images[k]
    return grid


@no_grad()
def save_image(tensor: Any, fp: Any, format: str | None = None, **options: Any) -> None:
    """`make_grid` written to a file, or to an open one in `format`; values from 0 to 1."""
    grid = make_grid(tensor, **options)
    image = (grid * 255 + 0.5).clamp(0, 255).to(dtypes.uint8)
    to_pil_image(image).save(fp, format=format)


def _palette(count: int) -> list[tuple[int, ...]]:
    hues = [(k * GOLDEN) % 1.0 for k in range(count)]
    return [tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.85, 1.0)) for hue in hues]


def _colours(given: Any, count: int) -> list[tuple[int, ...]]:
    """`count` colours: one for all, a list of them, or our own."""
    if given is None:
        return _palette(count)
    if isinstance(given, str | tuple):
        given = [given] * count
    if len(given) < count:
        raise ValueError(f"draw: expected a colour for each of {count}. Got {len(given)}.")
    return [ImageColor.getrgb(c)[:3] if isinstance(c, str) else tuple(c) for c in given]


def _ink(plate: tuple[int, ...]) -> tuple[int, int, int]:
    """Black on what is bright, white on what is dark."""
    return (0, 0, 0) if sum(plate) > 382 else (255, 255, 255)


def _canvas(name: str, image: Tensor) -> Tensor:
    if not isinstance(image, Tensor):
        raise TypeError(f"{name}: expected a tensor. Got {type(image)}.")
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ShapeError(f"{name}: expected (3, H, W) or (1, H, W). Got {tuple(image.shape)}.")
    return image.expand(3, -1, -1) if image.shape[0] == 1 else image


@no_grad()
def draw_bounding_boxes(
    image: Tensor,
    boxes: Tensor,
    labels: Sequence[str | None] | None = None,
    colors: Any = None,
    fill: bool = False,
    width: int = 1,
    font: str | None = None,
    font_size: int | None = None,
    label_colors: Any = None,
    label_background_colors: Any = None,
    fill_labels: bool = True,
) -> Tensor:
    """(3, H, W) or (1, H, W), bytes or floats from 0 to 1, with boxes (N, 4) drawn into it and
    `labels` at their corners -> (3, H, W) of the same type. `colors`: one for all or one each, by
    name or (r, g, b). `fill` shades the boxes, `fill_labels` what stands behind labels: in
    `label_background_colors`, by default those of their boxes."""
    canvas = _canvas("draw_bounding_boxes", image)
    if boxes.numel() and (boxes.ndim != 2 or boxes.shape[1] != 4):
        raise ShapeError(f"draw_bounding_boxes: expected (N, 4). Got {tuple(boxes.shape)}.")
    names = [None] * len(boxes) if labels is None else list(labels)
    if len(names) != len(boxes):
        raise ValueError(
            f"draw_bounding_boxes: expected a label for each of {len(boxes)} boxes. Got "
            f"{len(names)}."
        )
    picture = to_pil_image(convert_image_dtype(canvas, dtypes.uint8))
    draw = ImageDraw.Draw(picture, "RGBA" if fill else None)
    letters = (ImageFont.load_default(font_size) if font is None
               else ImageFont.truetype(font, font_size or 10))  # fmt: skip
    colours = _colours(colors, len(boxes))
    plates = colours if label_background_colors is None else label_background_colors
    inks = [_ink(c) for c in colours] if label_colors is None else label_colors
    rows = zip(boxes.tolist(), names, colours, _colours(plates, len(boxes)),
               _colours(inks, len(boxes)), strict=True)  # fmt: skip
    for box, name, colour, plate, ink in rows:
        if box[2] < box[0] or box[3] < box[1]:
            raise ValueError(f"draw_bounding_boxes: expected x1 <= x2, y1 <= y2. Got {box}.")
        draw.rectangle(box, outline=colour, width=width, fill=(*colour, 100) if fill else None)
        if name is not None:
            corner = (box[0] + width + 1, box[1] + width)
            if fill_labels:
                draw.rectangle(draw.textbbox(corner, name, font=letters), fill=plate)
            draw.text(corner, name, fill=ink, font=letters)
    return convert_image_dtype(pil_to_tensor(picture), image.dtype).to(image.device)


@no_grad()
def draw_segmentation_masks(
    image: Tensor, masks: Tensor, alpha: float = 0.8, colors: Any = None
) -> Tensor:
    """(3, H, W), bytes or floats, with masks (N, H, W) or (H, W) of truth values blended in, each
    in its colour with weight `alpha`; what several cover gets the mean of theirs."""
    canvas = _canvas("draw_segmentation_masks", image)
    masks = masks[None] if masks.ndim == 2 else masks
    if masks.ndim != 3 or masks.dtype is not dtypes.bool_ or masks.shape[1:] != image.shape[1:]:
        raise ShapeError(
            f"draw_segmentation_masks: expected truth values (N, {image.shape[1]}, "
            f"{image.shape[2]}). Got {tuple(masks.shape)}, {masks.dtype}."
        )
    white = 1.0 if image.dtype.is_floating_point else 255.0
    real = canvas.to(dtypes.float32)
    colours = real.new_tensor(_colours(colors, len(masks))).reshape(-1, 3, 1, 1) * (white / 255)
    covers = masks.sum(0)
    mean = (colours * masks[:, None]).sum(0) / covers.clamp(min=1)
    blended = real * (1 - alpha) + mean * alpha
    blended = blended * (covers > 0) + real * (covers == 0)
    return blended.to(image.dtype)


@no_grad()
def draw_keypoints(
    image: Tensor,
    keypoints: Tensor,
    connectivity: Sequence[tuple[int, int]] | None = None,
    colors: Any = None,
    radius: int = 2,
    width: int = 3,
    visibility: Tensor | None = None,
) -> Tensor:
    """(3, H, W) with points (N, K, 2) of N objects drawn as discs, and lines between the pairs of
    `connectivity`; those alone that `visibility` (N, K) tells can be seen."""
    canvas = _canvas("draw_keypoints", image)
    if keypoints.ndim != 3 or keypoints.shape[2] != 2:
        raise ShapeError(f"draw_keypoints: expected (N, K, 2). Got {tuple(keypoints.shape)}.")
    picture: Any = to_pil_image(convert_image_dtype(canvas, dtypes.uint8))
    draw = ImageDraw.Draw(picture)
    seen = ones(keypoints.shape[:2]).bool() if visibility is None else visibility.bool()
    if seen.ndim == 3:
        seen = seen[..., 0]
    if seen.shape != keypoints.shape[:2]:
        raise ShapeError(
            f"draw_keypoints: expected visibility {tuple(keypoints.shape[:2])}. Got "
            f"{tuple(seen.shape)}."
        )
    rows = zip(keypoints.tolist(), seen.tolist(), _colours(colors, len(keypoints)), strict=True)
    for points, shown, colour in rows:
        for (x, y), is_shown in zip(points, shown, strict=True):
            if is_shown:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        for a, b in connectivity or ():
            if shown[a] and shown[b]:
                draw.line((*points[a], *points[b]), fill=colour, width=width)
    return convert_image_dtype(pil_to_tensor(picture), image.dtype).to(image.device)
