"""How boxes and key points move where the pixels of their image do: by functions of the same names
as those of `geometry`, with their arguments.

Boxes are moved by their four corners and are the least boxes around them afterwards, cut off at the
border of the image; key points may lie outside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import as_tensor, cat, ones, stack
from ...core import dtypes
from ...core.tensor import Tensor
from ..ops.boxes import box_convert, clip_boxes_to_image
from ..tv_tensors import BoundingBoxes, KeyPoints, TVTensor, box_format
from .conversion import get_dimensions
from .geometry import (
    expanded,
    inverse_matrix,
    pair,
    perspective_coefficients,
    resized_sides,
    sheared,
)
from .kinds import placed

__all__ = [
    "clamp_bounding_boxes", "clamp_keypoints", "convert_bounding_box_format", "get_size",
    "sanitize_bounding_boxes", "sanitize_keypoints",
]  # fmt: skip

Points = Callable[[Tensor], Tensor]
"""Points (..., 2) to where they come to lie."""


def get_size(inpt: Any) -> list[int]:
    """Height and width, of the image that boxes and points lie in."""
    if isinstance(inpt, BoundingBoxes | KeyPoints):
        return list(inpt.canvas_size)
    return get_dimensions(inpt)[1:]


def corners(boxes: BoundingBoxes) -> Tensor:
    """(..., 4) in the form x1, y1, x2, y2, no integers of less than 32 bits."""
    return box_convert(boxes.plain(), boxes.format.value.lower(), "xyxy")


def _moved(inpt: Any, move: Points, canvas: Sequence[int] | None = None) -> Any:
    """Boxes or key points after `move`, in an image of `canvas`, the same unless given."""
    canvas = inpt.canvas_size if canvas is None else (int(canvas[0]), int(canvas[1]))
    kind = inpt.dtype
    real = kind if kind.is_floating_point else dtypes.float32
    if isinstance(inpt, KeyPoints):
        return inpt._like(move(inpt.plain().to(real)).to(kind), canvas_size=canvas)
    x1, y1, x2, y2 = corners(inpt).to(real).unbind(-1)
    ends = move(stack((stack((x1, y1), -1), stack((x2, y1), -1),
                       stack((x2, y2), -1), stack((x1, y2), -1)), -2))  # fmt: skip
    whole = clip_boxes_to_image(cat((ends.amin(-2), ends.amax(-2)), -1), canvas)
    formed = box_convert(whole, "xyxy", inpt.format.value.lower())
    return inpt._like(formed.to(kind), canvas_size=canvas)


def _scaled(inpt: Any, factors: Sequence[float], shift: Sequence[float], canvas: Any = None) -> Any:
    """x and y times `factors` plus `shift`."""

    def move(points: Tensor) -> Tensor:
        return points * points.new_tensor(list(factors)) + points.new_tensor(list(shift))

    return _moved(inpt, move, canvas)


def _last(inpt: Any, side: int) -> int:
    """What 0 is mirrored to: the far edge for boxes, the centre of the last pixel for points."""
    return side if isinstance(inpt, BoundingBoxes) else side - 1


@placed
def hflip(inpt: Any) -> Any:
    """See `geometry.hflip`."""
    return _scaled(inpt, (-1, 1), (_last(inpt, inpt.canvas_size[1]), 0))


@placed
def vflip(inpt: Any) -> Any:
    """See `geometry.vflip`."""
    return _scaled(inpt, (1, -1), (0, _last(inpt, inpt.canvas_size[0])))


@placed
def resize(
    inpt: Any, size: Any, interpolation: Any = None, max_size: int | None = None, antialias: Any = 1
) -> Any:
    """See `geometry.resize`."""
    height, width = inpt.canvas_size
    rows, columns = resized_sides(height, width, size, max_size)
    return _scaled(inpt, (columns / width, rows / height), (0, 0), (rows, columns))


@placed
def crop(inpt: Any, top: int, left: int, height: int, width: int) -> Any:
    """See `geometry.crop`."""
    return _scaled(inpt, (1, 1), (-left, -top), (height, width))


@placed
def center_crop(inpt: Any, output_size: Any) -> Any:
    """See `geometry.center_crop`."""
    (rows, columns), (height, width) = inpt.canvas_size, pair(output_size)
    top, left = round((rows - height) / 2), round((columns - width) / 2)
    if height > rows or width > columns:  # padded first
        top = -(max(height - rows, 0) // 2) if height > rows else top
        left = -(max(width - columns, 0) // 2) if width > columns else left
    return crop(inpt, top, left, height, width)


@placed
def resized_crop(
    inpt: Any, top: int, left: int, height: int, width: int, size: Any,
    interpolation: Any = None, antialias: Any = True,
) -> Any:  # fmt: skip
    """See `geometry.resized_crop`."""
    return resize(crop(inpt, top, left, height, width), size)


@placed
def pad(inpt: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """See `geometry.pad`. Raises: ValueError for other modes than constant, in which an object
    would appear more than once."""
    if padding_mode != "constant":
        raise ValueError(f"pad: expected padding_mode constant for boxes. Got {padding_mode!r}.")
    sides = [padding] if isinstance(padding, int) else [int(n) for n in padding]
    left, top, right, bottom = sides * (4 // len(sides))
    height, width = inpt.canvas_size
    canvas = (height + top + bottom, width + left + right)
    return _scaled(inpt, (1, 1), (left, top), canvas)


def _turned(inpt: Any, inverse: Any, origin: Sequence[float], canvas: Any = None) -> Any:
    """Points by the inverse of a map of pixels (2, 3), which counts from `origin` in pixels of the
    result, and from the middle of the image."""
    whole = np.linalg.inv(np.vstack((inverse, (0, 0, 1))))[:2]
    height, width = inpt.canvas_size

    def move(points: Tensor) -> Tensor:
        linear, shift = points.new_tensor(whole[:, :2]), points.new_tensor(whole[:, 2])
        middle = points.new_tensor([width * 0.5, height * 0.5])
        return (points - middle) @ linear.mT + shift + points.new_tensor(list(origin))

    return _moved(inpt, move, canvas)


@placed
def affine(
    inpt: Any, angle: float, translate: Sequence[float], scale: float, shear: Any,
    interpolation: Any = None, fill: Any = None, center: Any = None,
) -> Any:  # fmt: skip
    """See `geometry.affine`."""
    middle = [inpt.canvas_size[1] * 0.5, inpt.canvas_size[0] * 0.5]
    origin = [c - m for c, m in zip(center or middle, middle, strict=True)]
    matrix = inverse_matrix(origin, angle, translate, scale, sheared(shear))
    return _turned(inpt, np.array(matrix).reshape(2, 3), middle)


@placed
def rotate(
    inpt: Any, angle: float, interpolation: Any = None, expand: bool = False, center: Any = None,
    fill: Any = None,
) -> Any:  # fmt: skip
    """See `geometry.rotate`."""
    height, width = inpt.canvas_size
    middle = [width * 0.5, height * 0.5]
    origin = [c - m for c, m in zip(center or middle, middle, strict=True)]
    matrix = inverse_matrix(origin, -angle, [0.0, 0.0], 1.0, [0.0, 0.0])
    inverse = np.array(matrix).reshape(2, 3)
    canvas = expanded(inverse, height, width) if expand else (height, width)
    return _turned(inpt, inverse, (canvas[1] * 0.5, canvas[0] * 0.5), canvas)


@placed
def perspective(
    inpt: Any, startpoints: Sequence[Sequence[float]], endpoints: Sequence[Sequence[float]],
    interpolation: Any = None, fill: Any = None,
) -> Any:  # fmt: skip
    """See `geometry.perspective`."""
    backward = np.append(perspective_coefficients(startpoints, endpoints), 1).reshape(3, 3)
    whole = np.linalg.inv(backward)

    def move(points: Tensor) -> Tensor:
        lifted = cat((points, ones((*points.shape[:-1], 1), dtype=points.dtype)), -1)
        lifted = lifted @ points.new_tensor(whole).mT
        return lifted[..., :2] / lifted[..., 2:]

    return _moved(inpt, move)


@placed
def elastic(inpt: Any, displacement: Tensor, interpolation: Any = None, fill: Any = None) -> Any:
    """See `geometry.elastic`; where a point goes is taken from what its own place is moved by."""
    height, width = inpt.canvas_size

    def move(points: Tensor) -> Tensor:
        x, y = points.ceil().long().unbind(-1)
        field = displacement[0].to(points.dtype)
        by = field[y.clamp(0, height - 1), x.clamp(0, width - 1)]
        size = points.new_tensor([width * 0.5, height * 0.5])
        at = stack((x.clamp(0, width - 1), y.clamp(0, height - 1)), -1).to(points.dtype)
        return at - by * size

    return _moved(inpt, move)


def clamp_bounding_boxes(
    inpt: Any, format: Any = None, canvas_size: Sequence[int] | None = None
) -> Any:
    """Boxes cut off at the border; plain tensors (..., 4) with their `format` and `canvas_size`."""
    boxes = _of_boxes("clamp_bounding_boxes", inpt, format, canvas_size)
    return _same_kind(inpt, _moved(boxes, lambda points: points))


def clamp_keypoints(inpt: Any, canvas_size: Sequence[int] | None = None) -> Any:
    """Key points brought to the nearest pixel of their image."""
    if isinstance(inpt, KeyPoints):
        canvas_size = inpt.canvas_size
    elif canvas_size is None:
        raise ValueError("clamp_keypoints: expected canvas_size for a plain tensor.")
    height, width = canvas_size
    x, y = as_tensor(inpt).unbind(-1)
    out = stack((x.clamp(0, width - 1), y.clamp(0, height - 1)), -1)
    return inpt._like(out) if isinstance(inpt, KeyPoints) else out


def convert_bounding_box_format(
    inpt: Any, old_format: Any = None, new_format: Any = None, inplace: bool = False
) -> Any:
    """Boxes in another format and of the same type; `old_format` of a plain tensor (..., 4)."""
    new = box_format(new_format)
    old = inpt.format if isinstance(inpt, BoundingBoxes) else box_format(old_format)
    plain = inpt.plain() if isinstance(inpt, TVTensor) else inpt
    out = box_convert(plain, old.value.lower(), new.value.lower()).to(inpt.dtype)
    return inpt._like(out, format=new) if isinstance(inpt, BoundingBoxes) else out


def _of_boxes(name: str, inpt: Any, format: Any, canvas_size: Any) -> BoundingBoxes:
    if isinstance(inpt, BoundingBoxes):
        return inpt
    if format is None or canvas_size is None:
        raise ValueError(f"{name}: expected format and canvas_size for a plain tensor.")
    return BoundingBoxes(inpt, format=format, canvas_size=canvas_size)


def _same_kind(inpt: Any, boxes: BoundingBoxes) -> Any:
    return boxes if isinstance(inpt, BoundingBoxes) else boxes.plain()


def sanitize_bounding_boxes(
    bounding_boxes: Any,
    format: Any = None,
    canvas_size: Sequence[int] | None = None,
    min_size: float = 1.0,
    min_area: float = 1.0,
) -> tuple[Any, Tensor]:
    """The boxes inside of the image that have sides of `min_size` and an area of `min_area` at
    least, and which (N,) they are."""
    boxes = _of_boxes("sanitize_bounding_boxes", bounding_boxes, format, canvas_size)
    ends = corners(boxes)
    height, width = boxes.canvas_size
    sides = ends[:, 2:] - ends[:, :2]
    inside = (ends >= 0) & (ends <= ends.new_tensor([width, height] * 2))
    large = (sides >= min_size).all(1) & (sides[:, 0] * sides[:, 1] >= min_area)
    valid = inside.all(1) & large
    return _same_kind(bounding_boxes, boxes._like(boxes.plain()[valid])), valid


def sanitize_keypoints(
    key_points: Any, canvas_size: Sequence[int] | None = None
) -> tuple[Any, Tensor]:
    """The points inside of the image, of (N, K, 2) the objects of which all are, and which (N,)
    they are."""
    if isinstance(key_points, KeyPoints):
        canvas_size = key_points.canvas_size
    elif canvas_size is None:
        raise ValueError("sanitize_keypoints: expected canvas_size for a plain tensor.")
    points = key_points.plain() if isinstance(key_points, KeyPoints) else key_points
    inside = (points >= 0) & (points < points.new_tensor(list(canvas_size)[::-1]))
    valid = inside.flatten(1).all(1)
    kept = points[valid]
    return (key_points._like(kept) if isinstance(key_points, KeyPoints) else kept), valid
