"""Functions that move pixels, of PIL images and of tensors (..., C, H, W)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ... import cat, from_numpy, ones_like, stack
from ...core import dtypes
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...nn.functional import grid_sample, interpolate
from ...nn.functional import pad as padded
from .conversion import (
    PIL_MODES,
    InterpolationMode,
    get_dimensions,
    interpolation_of,
    is_pil,
    pil_to_tensor,
    to_pil_image,
)
from .kinds import typed

__all__ = [
    "affine",
    "center_crop",
    "crop",
    "elastic",
    "elastic_transform",
    "five_crop",
    "hflip",
    "pad",
    "perspective",
    "resize",
    "resized_crop",
    "rotate",
    "ten_crop",
    "vflip",
]

PADDINGS = {"constant": "constant", "edge": "replicate", "reflect": "reflect",
            "symmetric": "symmetric"}  # fmt: skip
NUMPY_PADDINGS = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}
AFFINE, PERSPECTIVE = Image.Transform.AFFINE, Image.Transform.PERSPECTIVE


def pair(size: Any) -> tuple[int, int]:
    """(height, width) of one number or two."""
    if isinstance(size, int):
        return size, size
    numbers = [int(n) for n in size]
    if len(numbers) not in (1, 2):
        raise ValueError(f"transforms: expected one side or two. Got {size}.")
    return numbers[0], numbers[-1]


def computed(img: Tensor) -> tuple[Tensor, Any]:
    """(N, C, H, W) in floats of any image, and how to bring results back to what it was."""
    kind, lead = img.dtype, img.shape[:-3]
    wide = img if kind in (dtypes.float32, dtypes.float64) else img.to(dtypes.float32)
    four = wide.reshape(-1, *([1] if img.ndim == 2 else []), *img.shape[-3:])

    def back(x: Tensor) -> Tensor:
        if kind.is_floating_point:
            x = x.to(kind)
        else:
            x = x.round().to(kind)
        return x.reshape(*lead, *(x.shape[-2:] if img.ndim == 2 else x.shape[-3:]))

    return four, back


def resized_sides(height: int, width: int, size: Any, max_size: int | None) -> list[int]:
    """(height, width) after resizing: of two sides both, of one the shorter; None: `max_size` is
    the longer."""
    short, long = sorted((height, width))
    if size is None:
        if max_size is None:
            raise ValueError("resize: expected max_size where size is None.")
        new_short, new_long = int(max_size * short / long), max_size
    elif not isinstance(size, int) and len(size) == 2:
        if max_size is not None:
            raise ValueError("resize: expected max_size with one side alone.")
        return [int(n) for n in size]
    else:
        new_short = size if isinstance(size, int) else int(size[0])
        new_long = int(new_short * long / short)
        if max_size is not None and max_size <= new_short:
            raise ValueError(
                f"resize: expected max_size above the shorter side {new_short}. Got {max_size}."
            )
        if max_size is not None and new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return [new_long, new_short] if width <= height else [new_short, new_long]


@typed(moves=True)
def resize(
    img: Any,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """The image at `size` (height, width), or with its shorter side as long as one number says and
    the longer one at most `max_size`. Pillow smooths before it makes images smaller, tensors do if
    `antialias`."""
    mode = interpolation_of(interpolation)
    _, rows, columns = get_dimensions(img)
    height, width = resized_sides(rows, columns, size, max_size)
    if (rows, columns) == (height, width):
        return img
    if is_pil(img):
        return img.resize((width, height), PIL_MODES[mode])
    smooth = mode.value in ("bilinear", "bicubic")
    four, back = computed(img)
    out = interpolate(
        four, size=(height, width), mode=mode.value, antialias=bool(antialias) and smooth
    )
    if mode is InterpolationMode.BICUBIC and img.dtype is dtypes.uint8:
        out = out.clamp(0, 255)
    return back(out)


@typed(moves=True)
def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """A part of the image; black where it reaches beyond."""
    if is_pil(img):
        return img.crop((left, top, left + width, top + height))
    rows, columns = img.shape[-2:]
    inside = img[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    beyond = [max(min(left + width, 0) - left, 0) if left < 0 else 0,
              max(left + width - max(columns, left), 0),
              max(min(top + height, 0) - top, 0) if top < 0 else 0,
              max(top + height - max(rows, top), 0)]  # fmt: skip
    return padded(inside, beyond) if any(beyond) else inside


@typed(moves=True)
def center_crop(img: Any, output_size: Any) -> Any:
    """The middle of the image, with black around it where it is smaller."""
    height, width = pair(output_size)
    _, rows, columns = get_dimensions(img)
    down, across = max(height - rows, 0), max(width - columns, 0)
    if down or across:
        img = pad(img, [across // 2, down // 2, (across + 1) // 2, (down + 1) // 2])
        _, rows, columns = get_dimensions(img)
    return crop(img, round((rows - height) / 2), round((columns - width) / 2), height, width)


@typed(moves=True)
def resized_crop(
    img: Any, top: int, left: int, height: int, width: int, size: Any,
    interpolation: Any = InterpolationMode.BILINEAR, antialias: bool | None = True,
) -> Any:  # fmt: skip
    """`crop`, then `resize`."""
    return resize(crop(img, top, left, height, width), size, interpolation, None, antialias)


@typed(moves=True)
def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    return img.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if is_pil(img) else img.flip(-1)


@typed(moves=True)
def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    return img.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if is_pil(img) else img.flip(-2)


@typed(moves=True)
def five_crop(img: Any, size: Any) -> tuple[Any, ...]:
    """The four corners, as read, and the middle."""
    height, width = pair(size)
    _, rows, columns = get_dimensions(img)
    if height > rows or width > columns:
        raise ValueError(f"five_crop: expected at most {rows, columns}. Got {height, width}.")
    tops, lefts = (0, rows - height), (0, columns - width)
    corners = [crop(img, top, left, height, width) for top in tops for left in lefts]
    return (*corners, center_crop(img, (height, width)))


@typed(moves=True)
def ten_crop(img: Any, size: Any, vertical_flip: bool = False) -> tuple[Any, ...]:
    """`five_crop` of the image and of the flipped one."""
    return five_crop(img, size) + five_crop(vflip(img) if vertical_flip else hflip(img), size)


@typed(moves=True)
def pad(img: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """The image with `padding` around it: one number, (left and right, top and bottom), or (left,
    top, right, bottom). `padding_mode`: constant (`fill`), edge, reflect or symmetric."""
    if padding_mode not in PADDINGS:
        raise ValueError(f"pad: expected a mode of {', '.join(PADDINGS)}. Got {padding_mode!r}.")
    sides = [padding] * 4 if isinstance(padding, int) else [int(n) for n in padding]
    if len(sides) not in (1, 2, 4):
        raise ValueError(f"pad: expected one number, two or four. Got {padding}.")
    sides = sides * (4 // len(sides))
    left, top, right, bottom = sides
    if not is_pil(img):
        return _padded_tensor(img, (left, right, top, bottom), fill, padding_mode)
    if padding_mode == "constant":
        return ImageOps.expand(img, border=(left, top, right, bottom), fill=pil_fill(img, fill))
    array = np.asarray(img)
    around = ((top, bottom), (left, right)) + ((0, 0),) * (array.ndim - 2)
    whole = Image.fromarray(np.pad(array, around, NUMPY_PADDINGS[padding_mode]))
    if img.mode == "P":
        whole.putpalette(img.getpalette())
    return whole


def _padded_tensor(img: Tensor, sides: Any, fill: Any, mode: str) -> Tensor:
    if mode == "constant":
        values = [fill or 0] if isinstance(fill, int | float | None) else list(fill)
        if len(set(values)) == 1:
            return padded(img, sides, value=values[0])
        if len(values) != img.shape[-3]:
            raise ValueError(
                f"pad: expected a fill for each of {img.shape[-3]} channels. Got {values}."
            )
        parts = [padded(x, sides, value=v) for x, v in zip(img.unbind(-3), values, strict=True)]
        return stack(parts, -3)
    left, right, top, bottom = sides
    rows, columns = (
        np.pad(np.arange(n), around, NUMPY_PADDINGS[mode])
        for n, around in zip(img.shape[-2:], ((top, bottom), (left, right)), strict=True)
    )
    places = [from_numpy(p).to(img.device) for p in (rows, columns)]
    return img.index_select(-2, places[0]).index_select(-1, places[1])


def pil_fill(img: Any, fill: Any) -> Any:
    """What Pillow takes as the colour outside."""
    channels = len(img.getbands())
    if fill is None:
        fill = 0
    if isinstance(fill, int | float):
        return int(fill) if channels == 1 else (int(fill),) * channels
    values = tuple(int(v) for v in fill)
    return values * channels if len(values) == 1 and channels > 1 else values


# -- maps of the plane -----------------------------------------------------------------------------


def sheared(shear: Any) -> list[float]:
    """Degrees along x and y: of one number those along x, of a list of one both the same."""
    return [shear, 0.0] if isinstance(shear, int | float) else [*shear, *shear][:2]


def inverse_matrix(
    center: Sequence[float], angle: float, translate: Sequence[float], scale: float,
    shear: Sequence[float],
) -> list[float]:  # fmt: skip
    """The first two rows of the inverse of: to the centre, shear, scale and turn (degrees), back,
    and move: where each pixel of the result comes from."""
    turn, across, down = (math.radians(x) for x in (angle, *shear))
    sheared = np.array([[1, -math.tan(across)], [0, 1.0]])
    turned = np.array([
        [math.cos(turn - down) / math.cos(down), -math.sin(turn)],
        [math.sin(turn - down) / math.cos(down), math.cos(turn)],
    ])  # fmt: skip
    linear = np.linalg.inv(scale * turned @ sheared)
    centre = np.array(center, float)
    shift = centre - linear @ (centre + np.array(translate, float))
    return [*linear[0], shift[0], *linear[1], shift[1]]


def _sampled(img: Tensor, places: Any, mode: InterpolationMode, fill: Any) -> Tensor:
    """Pixels at `places` (h, w, 2), x and y from the middle of the image in pixels; `fill`
    outside."""
    four, back = computed(img)
    height, width = img.shape[-2:]
    grid = from_numpy(places / np.array([0.5 * width, 0.5 * height]))
    grid = grid.to(img.device, four.dtype).expand(four.shape[0], -1, -1, -1)
    filled = fill is not None
    if filled:
        four = cat((four, ones_like(four[:, :1])), 1)
    out = grid_sample(four, grid, mode=mode.value, padding_mode="zeros", align_corners=False)
    if filled:
        out, known = out[:, :-1], out[:, -1:]
        colour = out.new_tensor([fill] if isinstance(fill, int | float) else list(fill))
        if mode is InterpolationMode.NEAREST:
            known = (known >= 0.5).to(out.dtype)
        out = out * known + (1 - known) * colour.reshape(1, -1, 1, 1)
    return back(out)


def expanded(linear: Any, height: int, width: int) -> tuple[int, int]:
    """(height, width) that hold all of an image whose pixels come from where the inverse map
    `linear` (2, 3), around the middle, says."""
    middle = np.array([width * 0.5, height * 0.5])
    corners = middle * [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    ends = corners @ linear[:, :2].T + linear[:, 2] + middle
    spans = np.ceil(ends.max(0).round(4)) - np.floor(ends.min(0).round(4))
    return int(spans[1]), int(spans[0])


def _centres(height: int, width: int) -> Any:
    """(height, width, 2): x and y of all pixels from the middle of the image."""
    x, y = np.arange(width) - 0.5 * width + 0.5, np.arange(height) - 0.5 * height + 0.5
    return np.stack(np.meshgrid(x, y), -1)


def _of_tensors(mode: InterpolationMode, *allowed: str) -> InterpolationMode:
    if mode.value not in allowed:
        raise ValueError(
            f"transforms: expected interpolation {' or '.join(allowed)} of a tensor. Got "
            f"{mode.value}."
        )
    return mode


@typed(moves=True)
def affine(
    img: Any, angle: float, translate: Sequence[float], scale: float, shear: Any,
    interpolation: Any = InterpolationMode.NEAREST, fill: Any = None, center: Any = None,
) -> Any:  # fmt: skip
    """The image turned clockwise by `angle` degrees, moved by `translate` pixels, scaled and
    sheared by degrees along x and y, around `center` (the middle)."""
    if scale <= 0:
        raise ValueError(f"affine: expected a positive scale. Got {scale}.")
    shears = sheared(shear)
    mode = interpolation_of(interpolation)
    _, height, width = get_dimensions(img)
    middle = [width * 0.5, height * 0.5]
    if is_pil(img):
        matrix = inverse_matrix(center or middle, angle, translate, scale, shears)
        return img.transform(
            img.size, AFFINE, matrix, PIL_MODES[mode], fillcolor=pil_fill(img, fill)
        )
    origin = [c - m for c, m in zip(center or middle, middle, strict=True)]
    matrix = inverse_matrix(origin, angle, translate, scale, shears)
    linear = np.array(matrix).reshape(2, 3)
    places = _centres(height, width) @ linear[:, :2].T + linear[:, 2]
    return _sampled(img, places, _of_tensors(mode, "nearest", "bilinear"), fill)


@typed(moves=True)
def rotate(
    img: Any, angle: float, interpolation: Any = InterpolationMode.NEAREST, expand: bool = False,
    center: Any = None, fill: Any = None,
) -> Any:  # fmt: skip
    """The image turned counter-clockwise by `angle` degrees around `center` (the middle); with
    `expand` as large as it takes to hold all of it."""
    mode = interpolation_of(interpolation)
    if is_pil(img):
        return img.rotate(angle, PIL_MODES[mode], expand, center, fillcolor=pil_fill(img, fill))
    _, height, width = get_dimensions(img)
    middle = [width * 0.5, height * 0.5]
    origin = [c - m for c, m in zip(center or middle, middle, strict=True)]
    matrix = inverse_matrix(origin, -angle, [0.0, 0.0], 1.0, [0.0, 0.0])
    linear = np.array(matrix).reshape(2, 3)
    size = expanded(linear, height, width) if expand else (height, width)
    places = _centres(*size) @ linear[:, :2].T + linear[:, 2]
    return _sampled(img, places, _of_tensors(mode, "nearest", "bilinear"), fill)


def perspective_coefficients(
    startpoints: Sequence[Sequence[float]], endpoints: Sequence[Sequence[float]]
) -> Any:
    """(8,) float32: a to h of ((a x + b y + c), (d x + e y + f)) / (g x + h y + 1), which maps the
    four points `endpoints` to `startpoints`."""
    rows = []
    for (x, y), (u, v) in zip(endpoints, startpoints, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    right = np.array(startpoints, float).reshape(-1)
    return np.linalg.lstsq(np.array(rows, float), right, rcond=None)[0].astype(np.float32)


@typed(moves=True)
def perspective(
    img: Any, startpoints: Sequence[Sequence[float]], endpoints: Sequence[Sequence[float]],
    interpolation: Any = InterpolationMode.BILINEAR, fill: Any = None,
) -> Any:  # fmt: skip
    """The image with four points (x, y) moved to four others, and straight lines kept straight."""
    mode = interpolation_of(interpolation)
    solved = perspective_coefficients(startpoints, endpoints)
    if is_pil(img):
        return img.transform(
            img.size, PERSPECTIVE, solved.tolist(), PIL_MODES[mode], fillcolor=pil_fill(img, fill)
        )
    _, height, width = get_dimensions(img)
    middle = np.array([width * 0.5, height * 0.5])
    at = _centres(height, width) + middle
    a, b, c, d, e, f, g, h = solved
    below = g * at[..., 0] + h * at[..., 1] + 1
    above = np.stack((at @ [a, b] + c, at @ [d, e] + f), -1)
    return _sampled(img, above / below[..., None] - middle,
                    _of_tensors(mode, "nearest", "bilinear"), fill)  # fmt: skip


@typed(moves=True)
def elastic(
    img: Any, displacement: Tensor, interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:  # fmt: skip
    """Each pixel from its place moved by `displacement` (1, H, W, 2): along x and y, in half
    sides."""
    if is_pil(img):
        moved = elastic(pil_to_tensor(img), displacement, interpolation, fill)
        return to_pil_image(moved, img.mode)
    height, width = img.shape[-2:]
    if tuple(displacement.shape) != (1, height, width, 2):
        raise ShapeError(
            f"elastic: expected a displacement (1, {height}, {width}, 2). Got shape "
            f"{tuple(displacement.shape)}."
        )
    by = displacement[0].cpu().numpy() * np.array([0.5 * width, 0.5 * height])
    mode = _of_tensors(interpolation_of(interpolation), "nearest", "bilinear")
    return _sampled(img, _centres(height, width) + by, mode, fill)


elastic_transform = elastic
