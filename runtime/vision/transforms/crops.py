"""Parts of images cut out, erased or framed at random, by torchvision's numbers from the same
seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ... import empty, rand, tensor
from ...core.tensor import Tensor
from ..ops.boxes import box_iou
from ..tv_tensors import BoundingBoxes
from . import color, geometry
from .chance import below, between
from .conversion import InterpolationMode, get_dimensions, interpolation_of
from .geometry import pair
from .places import corners
from .transform import RandomlyApplied, Transform, fill_of, query_chw, query_size

__all__ = [
    "RandomCrop",
    "RandomErasing",
    "RandomIoUCrop",
    "RandomResizedCrop",
    "RandomZoomOut",
]

TRIES = 10
"""How often a rectangle is drawn that may not fit."""
ROUNDS = 100
"""After so many overlaps that no crop has, the image stays whole."""
OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Of a crop and one of its objects at least, one drawn for each crop; 1 leaves the image whole.
Source: arXiv:1512.02325, section 2.2."""


class RandomCrop(Transform):
    """A part of the image at a place drawn at random; `padding` around it first, more with
    `pad_if_needed`. Raises: ValueError if the image is smaller."""

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.size, self.padding, self.pad_if_needed = pair(size), padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Row, column, height and width."""
        return _place(*get_dimensions(img)[1:], *output_size)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        rows, columns = query_size(flat_inputs)
        pads = []
        if self.padding is not None:
            sides = [self.padding] if isinstance(self.padding, int) else list(self.padding)
            pads.append(sides * (4 // len(sides)))
        rows += sum(p[1] + p[3] for p in pads)
        columns += sum(p[0] + p[2] for p in pads)
        height, width = self.size
        if self.pad_if_needed and columns < width:
            pads.append([width - columns, 0] * 2)
            columns += 2 * (width - columns)
        if self.pad_if_needed and rows < height:
            pads.append([0, height - rows] * 2)
            rows += 2 * (height - rows)
        return {"pads": pads, "place": _place(rows, columns, height, width)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        for sides in params["pads"]:
            inpt = geometry.pad(inpt, sides, fill_of(inpt, self.fill), self.padding_mode)
        return geometry.crop(inpt, *params["place"])

    def extra_repr(self) -> str:
        """The size and the padding."""
        return f"size={self.size}, padding={self.padding}"


def _place(rows: int, columns: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Row, column, height and width of a part of an image."""
    if rows < height or columns < width:
        raise ValueError(
            f"RandomCrop: expected an image of {height, width} at least. Got {rows, columns}; "
            "pass pad_if_needed=True to pad it."
        )
    if (rows, columns) == (height, width):
        return 0, 0, height, width
    return below(rows - height + 1), below(columns - width + 1), height, width


def _rectangle(area: float, scale: Sequence[float], ratio: Sequence[float]) -> tuple[float, float]:
    """Two sides whose product is a share of `area` in `scale`, and their ratio in `ratio`, evenly
    on a logarithmic scale: width and height."""
    share = area * between(*scale)
    low, high = tensor(list(ratio)).log().tolist()
    aspect = float(empty(1).uniform_(low, high).exp())
    return round(math.sqrt(share * aspect)), round(math.sqrt(share / aspect))


class RandomResizedCrop(Transform):
    """A part of the image at `size`: a share of its area in `scale`, with sides in a ratio in
    `ratio`."""

    def __init__(
        self,
        size: Any,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size, self.scale, self.ratio, self.antialias = pair(size), scale, ratio, antialias
        self.interpolation = interpolation_of(interpolation)

    @staticmethod
    def get_params(
        img: Any, scale: Sequence[float], ratio: Sequence[float]
    ) -> tuple[int, int, int, int]:
        """Row, column, height and width; the middle of the image if nothing drawn fits."""
        return _part(*get_dimensions(img)[1:], scale, ratio)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"place": _part(*query_size(flat_inputs), self.scale, self.ratio)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        how = (self.size, self.interpolation, self.antialias)
        return geometry.resized_crop(inpt, *params["place"], *how)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"size={self.size}, scale={tuple(round(s, 4) for s in self.scale)}, "
            f"ratio={tuple(round(r, 4) for r in self.ratio)}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias}"
        )


def _part(
    rows: int, columns: int, scale: Sequence[float], ratio: Sequence[float]
) -> tuple[int, int, int, int]:
    """Row, column, height and width of a part of an image."""
    for _ in range(TRIES):
        width, height = _rectangle(rows * columns, scale, ratio)
        if 0 < width <= columns and 0 < height <= rows:
            width, height = int(width), int(height)
            return below(rows - height + 1), below(columns - width + 1), height, width
    width, height = columns, rows
    if columns / rows < min(ratio):
        height = round(width / min(ratio))
    elif columns / rows > max(ratio):
        width = round(height * max(ratio))
    return (rows - height) // 2, (columns - width) // 2, height, width


class RandomErasing(RandomlyApplied):
    """With probability p a rectangle of a tensor filled with `value`, or with normal numbers for
    "random". Source: arXiv:1708.04896."""

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__(p)
        if isinstance(value, str) and value != "random":
            raise ValueError(f"RandomErasing: expected numbers or 'random'. Got {value!r}.")
        self.scale, self.ratio = scale, ratio
        self.value, self.inplace = value, inplace

    @staticmethod
    def get_params(
        img: Tensor, scale: Sequence[float], ratio: Sequence[float], value: Any = None
    ) -> tuple[int, int, int, int, Tensor]:
        """Row, column, height, width and what is there then: normal numbers for None, a number for
        all channels or one each. If nothing drawn fits, the whole image as it is."""
        channels, rows, columns = get_dimensions(img)
        for _ in range(TRIES):
            height, width = (int(n) for n in _rectangle(rows * columns, scale, ratio))
            if not (height < rows and width < columns):
                continue
            if value is None:
                filled = empty((channels, height, width)).normal_()
            else:
                filled = tensor(value)[:, None, None]
            return below(rows - height + 1), below(columns - width + 1), height, width, filled
        return 0, 0, rows, columns, img

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        value = [self.value] if isinstance(self.value, int | float) else self.value
        value = None if value == "random" else value
        image = next((x for x in flat_inputs if isinstance(x, Tensor)), flat_inputs[0])
        return {"place": self.get_params(image, self.scale, self.ratio, value)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        *place, filled = params["place"]
        return inpt if filled is inpt else color.erase(inpt, *place, filled, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, "
            f"inplace={self.inplace}"
        )


class RandomZoomOut(RandomlyApplied):
    """The image at a place drawn at random in one `side_range` times as large, with probability p.
    Source: arXiv:1512.02325, section 3.6."""

    def __init__(
        self, fill: Any = 0, side_range: Sequence[float] = (1.0, 4.0), p: float = 0.5
    ) -> None:
        super().__init__(p)
        if not 1 <= side_range[0] <= side_range[1]:
            raise ValueError(f"RandomZoomOut: expected 1 <= low <= high. Got {side_range}.")
        self.fill, self.side_range = fill, side_range

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        low, high = self.side_range
        times = low + rand(1) * (high - low)
        more = int(width * times) - width, int(height * times) - height
        left, top = (int(n * share) for n, share in zip(more, rand(2), strict=True))
        return {"padding": [left, top, more[0] - left, more[1] - top]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return geometry.pad(inpt, params["padding"], fill_of(inpt, self.fill))

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, fill={self.fill}, side_range={self.side_range}"


class RandomIoUCrop(Transform):
    """A part of an image with boxes that overlaps one of them by as much as one of
    `sampler_options`, drawn at random, says; with sides of `min_scale` to `max_scale` of the
    image's.

    Boxes whose centres lie outside come back empty: `SanitizeBoundingBoxes` takes them out. Source:
    arXiv:1512.02325, section 2.2. Raises: TypeError without an image or without boxes.
    """

    def __init__(
        self,
        min_scale: float = 0.3,
        max_scale: float = 1.0,
        min_aspect_ratio: float = 0.5,
        max_aspect_ratio: float = 2.0,
        sampler_options: Sequence[float] | None = None,
        trials: int = 40,
    ) -> None:
        super().__init__()
        self.min_scale, self.max_scale = min_scale, max_scale
        self.min_aspect_ratio, self.max_aspect_ratio = min_aspect_ratio, max_aspect_ratio
        self.options = list(OVERLAPS if sampler_options is None else sampler_options)
        self.trials = trials

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        boxes = [x for x in flat_inputs if isinstance(x, BoundingBoxes)]
        if len(boxes) != 1:
            raise TypeError(
                "RandomIoUCrop: expected an image and its tv_tensors.BoundingBoxes. Got "
                f"{len(boxes)} of these."
            )
        query_chw(flat_inputs)
        height, width = query_size(flat_inputs)
        ends = corners(boxes[0])
        for _ in range(ROUNDS if len(ends) else 0):
            least = self.options[below(len(self.options))]
            if least >= 1:
                return {}
            for _ in range(self.trials):
                place = self._drawn(height, width)
                inside = None if place is None else _inside(ends, place, least)
                if inside is not None:
                    return {"place": place, "inside": inside}
        return {}

    def _drawn(self, height: int, width: int) -> tuple[int, int, int, int] | None:
        """Row, column, height and width; None for another shape than wanted."""
        shares = self.min_scale + (self.max_scale - self.min_scale) * rand(2)
        w, h = int(width * shares[0]), int(height * shares[1])
        if not h or not self.min_aspect_ratio <= w / h <= self.max_aspect_ratio:
            return None
        at = rand(2)
        return (int((height - h) * at[1]), int((width - w) * at[0]), h, w) if w else None

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not params:
            return inpt
        out = geometry.crop(inpt, *params["place"])
        if isinstance(out, BoundingBoxes):
            out[~params["inside"]] = 0
        return out

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"min_scale={self.min_scale}, max_scale={self.max_scale}, "
            f"min_aspect_ratio={self.min_aspect_ratio}, max_aspect_ratio={self.max_aspect_ratio}, "
            f"options={self.options}, trials={self.trials}"
        )


def _inside(boxes: Tensor, place: tuple[int, int, int, int], least: float) -> Tensor | None:
    """Which of the boxes (N, 4) have their centres in the crop; None if there are none, or none
    overlaps the crop by `least`."""
    top, left, height, width = place
    centres = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    low, high = centres.new_tensor([left, top]), centres.new_tensor([left + width, top + height])
    inside = ((centres > low) & (centres < high)).all(1)
    if not inside.any():
        return None
    crop = boxes.new_tensor([[left, top, left + width, top + height]])
    return inside if float(box_iou(boxes[inside], crop).max()) >= least else None
