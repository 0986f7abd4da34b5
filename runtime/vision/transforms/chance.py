"""Transforms drawn at random, by torchvision's numbers from the same seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ... import empty, nn, rand, randint, randperm, tensor
from ...core.tensor import Tensor
from . import color, geometry
from .conversion import InterpolationMode, get_dimensions, interpolation_of, is_pil
from .geometry import pair

__all__ = [
    "ColorJitter",
    "GaussianBlur",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomAutocontrast",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSolarize",
    "RandomVerticalFlip",
]

TRIES = 10
"""How often a rectangle is drawn that may not fit."""


def _between(low: float, high: float) -> float:
    return float(empty(1).uniform_(low, high))


def _below(high: int, low: int = 0) -> int:
    return int(randint(low, high, (1,)))


def _range(name: str, value: Any, centre: float = 0.0) -> tuple[float, float]:
    """From -value to value around the centre, unless two numbers are given."""
    if isinstance(value, int | float):
        if value < 0:
            raise ValueError(f"{name}: expected a positive number, or two. Got {value}.")
        return centre - value, centre + value
    low, high = value
    return float(low), float(high)


def filled(img: Any, fill: Any) -> Any:
    """One fill for each channel of a tensor."""
    if is_pil(img) or fill is None:
        return fill
    channels = get_dimensions(img)[0]
    return [float(fill)] * channels if isinstance(fill, int | float) else [float(f) for f in fill]


class _Chance(nn.Module):
    """With probability p a function of the image."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def changed(self, img: Any) -> Any:
        raise NotImplementedError

    def forward(self, img: Any) -> Any:
        """The image, changed or not."""
        return self.changed(img) if rand(1) < self.p else img

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class RandomHorizontalFlip(_Chance):
    """Left and right exchanged, with probability p."""

    def changed(self, img: Any) -> Any:
        return geometry.hflip(img)


class RandomVerticalFlip(_Chance):
    """Top and bottom exchanged, with probability p."""

    def changed(self, img: Any) -> Any:
        return geometry.vflip(img)


class RandomInvert(_Chance):
    """White for black, with probability p."""

    def changed(self, img: Any) -> Any:
        return color.invert(img)


class RandomAutocontrast(_Chance):
    """Stretched from black to white, with probability p."""

    def changed(self, img: Any) -> Any:
        return color.autocontrast(img)


class RandomEqualize(_Chance):
    """Brightnesses made equally frequent, with probability p."""

    def changed(self, img: Any) -> Any:
        return color.equalize(img)


class RandomPosterize(_Chance):
    """Only the highest `bits` of bytes, with probability p."""

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def changed(self, img: Any) -> Any:
        return color.posterize(img, self.bits)


class RandomSolarize(_Chance):
    """What is as bright as `threshold` inverted, with probability p."""

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def changed(self, img: Any) -> Any:
        return color.solarize(img, self.threshold)


class RandomAdjustSharpness(_Chance):
    """Sharper or blurred, with probability p."""

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def changed(self, img: Any) -> Any:
        return color.adjust_sharpness(img, self.sharpness_factor)


class RandomGrayscale(_Chance):
    """Grey, with probability p; as many channels as before."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def changed(self, img: Any) -> Any:
        channels = get_dimensions(img)[0]
        return color.rgb_to_grayscale(img, 3 if channels == 3 else 1)


class RandomPerspective(_Chance):
    """Seen from aside, with probability p: each corner moved towards the middle by up to
    `distortion_scale` of half a side."""

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__(p)
        self.distortion_scale, self.fill = distortion_scale, fill
        self.interpolation = interpolation_of(interpolation)

    def changed(self, img: Any) -> Any:
        _, height, width = get_dimensions(img)
        x = int(self.distortion_scale * (width // 2))
        y = int(self.distortion_scale * (height // 2))
        ends = []
        for right, bottom in ((0, 0), (1, 0), (1, 1), (0, 1)):
            across = _below(width, width - x - 1) if right else _below(x + 1)
            down = _below(height, height - y - 1) if bottom else _below(y + 1)
            ends.append((across, down))
        starts = [(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)]
        fill = filled(img, self.fill)
        return geometry.perspective(img, starts, ends, self.interpolation, fill)


class RandomCrop(nn.Module):
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
        _, rows, columns = get_dimensions(img)
        height, width = output_size
        if rows < height or columns < width:
            raise ValueError(
                f"RandomCrop: expected an image of {output_size} at least. Got {rows, columns}; "
                "pass pad_if_needed=True to pad it."
            )
        if (rows, columns) == (height, width):
            return 0, 0, height, width
        return _below(rows - height + 1), _below(columns - width + 1), height, width

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        how = (self.fill, self.padding_mode)
        if self.padding is not None:
            img = geometry.pad(img, self.padding, *how)
        _, rows, columns = get_dimensions(img)
        if self.pad_if_needed and columns < self.size[1]:
            img = geometry.pad(img, [self.size[1] - columns, 0], *how)
        if self.pad_if_needed and rows < self.size[0]:
            img = geometry.pad(img, [0, self.size[0] - rows], *how)
        return geometry.crop(img, *self.get_params(img, self.size))

    def extra_repr(self) -> str:
        """The size and the padding."""
        return f"size={self.size}, padding={self.padding}"


def _rectangle(area: float, scale: Sequence[float], ratio: Sequence[float]) -> tuple[float, float]:
    """Two sides whose product is a share of `area` in `scale`, and their ratio in `ratio`, evenly
    on a logarithmic scale: width and height."""
    share = area * _between(*scale)
    low, high = tensor(list(ratio)).log().tolist()
    aspect = float(empty(1).uniform_(low, high).exp())
    return round(math.sqrt(share * aspect)), round(math.sqrt(share / aspect))


class RandomResizedCrop(nn.Module):
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
        _, rows, columns = get_dimensions(img)
        for _ in range(TRIES):
            width, height = _rectangle(rows * columns, scale, ratio)
            if 0 < width <= columns and 0 < height <= rows:
                width, height = int(width), int(height)
                return _below(rows - height + 1), _below(columns - width + 1), height, width
        width, height = columns, rows
        if columns / rows < min(ratio):
            height = round(width / min(ratio))
        elif columns / rows > max(ratio):
            width = round(height * max(ratio))
        return (rows - height) // 2, (columns - width) // 2, height, width

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        place = self.get_params(img, self.scale, self.ratio)
        return geometry.resized_crop(img, *place, self.size, self.interpolation, self.antialias)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"size={self.size}, scale={tuple(round(s, 4) for s in self.scale)}, "
            f"ratio={tuple(round(r, 4) for r in self.ratio)}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias}"
        )


class ColorJitter(nn.Module):
    """Brightness, contrast, saturation and hue changed in an order drawn at random: factors from
    1 - x to 1 + x, hues moved by -x to x, or both ends given."""

    def __init__(
        self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0
    ) -> None:
        super().__init__()
        given = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, value in given.items():
            low, high = _range(name, value, 1.0)
            low = max(low, 0.0) if isinstance(value, int | float) else low
            if not 0 <= low <= high:
                raise ValueError(f"ColorJitter: expected 0 <= {low} <= {high} for {name}.")
            setattr(self, name, None if low == high == 1.0 else (low, high))
        low, high = _range("hue", hue)
        if not -0.5 <= low <= high <= 0.5:
            raise ValueError(f"ColorJitter: expected a hue within -0.5 and 0.5. Got {hue}.")
        self.hue = None if low == high == 0.0 else (low, high)

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        changes = (
            (color.adjust_brightness, self.brightness), (color.adjust_contrast, self.contrast),
            (color.adjust_saturation, self.saturation), (color.adjust_hue, self.hue),
        )  # fmt: skip
        order = randperm(4).tolist()
        factors = [None if ends is None else _between(*ends) for _, ends in changes]
        for k in order:
            if factors[k] is not None:
                img = changes[k][0](img, factors[k])
        return img

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"brightness={self.brightness}, contrast={self.contrast}, "
            f"saturation={self.saturation}, hue={self.hue}"
        )


class RandomRotation(nn.Module):
    """Turned by an angle in `degrees`: -x to x, or both ends."""

    def __init__(
        self,
        degrees: Any,
        interpolation: Any = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Any = None,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.degrees = _range("degrees", degrees)
        self.interpolation = interpolation_of(interpolation)
        self.expand, self.center, self.fill = expand, center, fill

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        fill = filled(img, self.fill)
        angle = _between(*self.degrees)
        return geometry.rotate(img, angle, self.interpolation, self.expand, self.center, fill)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand={self.expand}, fill={self.fill}"
        )


class RandomAffine(nn.Module):
    """Turned, moved by up to `translate` of each side, scaled by a factor in `scale` and sheared by
    degrees in `shear`: -x to x along x, both ends along x, or four along x and y."""

    def __init__(
        self,
        degrees: Any,
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: Any = None,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Any = None,
    ) -> None:
        super().__init__()
        self.degrees = _range("degrees", degrees)
        if translate is not None and not all(0 <= t <= 1 for t in translate):
            raise ValueError(f"RandomAffine: expected shares of sides. Got {translate}.")
        if scale is not None and min(scale) <= 0:
            raise ValueError(f"RandomAffine: expected positive scales. Got {scale}.")
        self.translate, self.scale = translate, scale
        if shear is not None and (isinstance(shear, int | float) or len(shear) == 2):
            shear = _range("shear", shear)
        self.shear, self.fill, self.center = shear, fill, center
        self.interpolation = interpolation_of(interpolation)

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        _, height, width = get_dimensions(img)
        angle = _between(*self.degrees)
        moves = [0, 0]
        if self.translate is not None:
            reach = [
                share * side for share, side in zip(self.translate, (width, height), strict=True)
            ]
            moves = [round(_between(-r, r)) for r in reach]
        scale = 1.0 if self.scale is None else _between(*self.scale)
        shears = [0.0, 0.0]
        for k in range(len(self.shear or ()) // 2):
            shears[k] = _between(*self.shear[2 * k : 2 * k + 2])
        fill = filled(img, self.fill)
        how = (self.interpolation, fill, self.center)
        return geometry.affine(img, angle, moves, scale, shears, *how)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"degrees={self.degrees}, translate={self.translate}, scale={self.scale}, "
            f"shear={self.shear}, interpolation={self.interpolation.value}, fill={self.fill}"
        )


class GaussianBlur(nn.Module):
    """Smoothed by a Gaussian whose deviation is drawn from `sigma`."""

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)) -> None:
        super().__init__()
        self.kernel_size = pair(kernel_size)
        self.sigma = (sigma, sigma) if isinstance(sigma, int | float) else tuple(sigma)
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"GaussianBlur: expected positive deviations in order. Got {sigma}.")

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        sigma = _between(*self.sigma)
        return color.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, sigma={self.sigma}"


class RandomErasing(nn.Module):
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
        super().__init__()
        if isinstance(value, str) and value != "random":
            raise ValueError(f"RandomErasing: expected numbers or 'random'. Got {value!r}.")
        self.p, self.scale, self.ratio = p, scale, ratio
        self.value, self.inplace = value, inplace

    def forward(self, img: Tensor) -> Tensor:
        """(..., C, H, W) -> the same."""
        if rand(1) >= self.p:
            return img
        channels, rows, columns = get_dimensions(img)
        for _ in range(TRIES):
            height, width = (int(n) for n in _rectangle(rows * columns, self.scale, self.ratio))
            if not (height < rows and width < columns):
                continue
            if self.value == "random":
                value = empty((channels, height, width)).normal_().to(img.device)
            else:
                numbers = [self.value] if isinstance(self.value, int | float) else self.value
                value = tensor(numbers, dtype=img.dtype, device=img.device)[:, None, None]
            place = (_below(rows - height + 1), _below(columns - width + 1))
            return color.erase(img, *place, height, width, value, self.inplace)
        return img

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, "
            f"inplace={self.inplace}"
        )
