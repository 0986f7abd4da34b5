"""Augmentation by lists of operations: RandAugment and TrivialAugment."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ... import linspace, nn, randint
from . import color, geometry
from .chance import filled
from .conversion import InterpolationMode, get_dimensions, interpolation_of

__all__ = ["RandAugment", "TrivialAugmentWide"]

SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color",
          "Contrast", "Sharpness")  # fmt: skip
NAMES = ("Identity", *SIGNED, "Posterize", "Solarize", "AutoContrast", "Equalize")
STILL = (0.0, (0, 0), 1.0)  # no turn, no move, no scaling


def _sheared(img: Any, x: float, y: float, how: tuple[Any, Any]) -> Any:
    degrees = [math.degrees(math.atan(v)) for v in (x, y)]
    return geometry.affine(img, *STILL, degrees, *how, center=[0, 0])


def _moved(img: Any, x: float, y: float, how: tuple[Any, Any]) -> Any:
    return geometry.affine(img, 0.0, (int(x), int(y)), 1.0, 0.0, *how)


OPERATIONS: dict[str, Callable[[Any, float, Any], Any]] = {
    "Identity": lambda img, m, how: img,
    "ShearX": lambda img, m, how: _sheared(img, m, 0.0, how),
    "ShearY": lambda img, m, how: _sheared(img, 0.0, m, how),
    "TranslateX": lambda img, m, how: _moved(img, m, 0, how),
    "TranslateY": lambda img, m, how: _moved(img, 0, m, how),
    "Rotate": lambda img, m, how: geometry.rotate(img, m, how[0], fill=how[1]),
    "Brightness": lambda img, m, how: color.adjust_brightness(img, 1 + m),
    "Color": lambda img, m, how: color.adjust_saturation(img, 1 + m),
    "Contrast": lambda img, m, how: color.adjust_contrast(img, 1 + m),
    "Sharpness": lambda img, m, how: color.adjust_sharpness(img, 1 + m),
    "Posterize": lambda img, m, how: color.posterize(img, int(m)),
    "Solarize": lambda img, m, how: color.solarize(img, m),
    "AutoContrast": lambda img, m, how: color.autocontrast(img),
    "Equalize": lambda img, m, how: color.equalize(img),
    "Invert": lambda img, m, how: color.invert(img),
}


def magnitude_of(name: str, most: float, place: int, bins: int) -> float:
    """That of bin `place` of as many from none to `most`, in float32; the bits that are left, the
    threshold that is inverted from."""
    if name == "Posterize":
        return 8 - round(place / ((bins - 1) / most))
    ends = (255.0, 0.0) if name == "Solarize" else (0.0, most)
    return float(linspace(*ends, bins)[place])


class _Augment(nn.Module):
    """Operations of NAMES, each with magnitudes from none to `most`."""

    def __init__(self, bins: int, interpolation: Any, fill: Any) -> None:
        super().__init__()
        self.num_magnitude_bins, self.fill = bins, fill
        self.interpolation = interpolation_of(interpolation)

    def most(self, name: str, height: int, width: int) -> float:
        """The largest magnitude of an operation; of bits, how many are lost."""
        raise NotImplementedError

    def magnitude(self, name: str, place: int, height: int, width: int) -> float:
        """That of bin `place`."""
        return magnitude_of(name, self.most(name, height, width), place, self.num_magnitude_bins)

    def applied(self, img: Any, name: str, magnitude: float) -> Any:
        """With a sign drawn at random where it has one."""
        if name in SIGNED and int(randint(2, (1,))):
            magnitude = -magnitude
        how = (self.interpolation, filled(img, self.fill))
        return OPERATIONS[name](img, magnitude, how)


class RandAugment(_Augment):
    """`num_ops` operations drawn at random, all of strength `magnitude` of `num_magnitude_bins`, on
    PIL images or bytes. Source: arXiv:1909.13719."""

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__(num_magnitude_bins, interpolation, fill)
        self.num_ops, self.strength = num_ops, magnitude

    def most(self, name: str, height: int, width: int) -> float:
        """See `_Augment`."""
        sides = {"TranslateX": 150 / 331 * width, "TranslateY": 150 / 331 * height}
        return {"ShearX": 0.3, "ShearY": 0.3, "Rotate": 30.0, "Posterize": 4, **sides}.get(
            name, 0.9
        )

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        _, height, width = get_dimensions(img)
        for _ in range(self.num_ops):
            name = NAMES[int(randint(len(NAMES), (1,)))]
            magnitude = self.magnitude(name, self.strength, height, width)
            img = self.applied(img, name, magnitude)
        return img

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"num_ops={self.num_ops}, magnitude={self.strength}, "
            f"num_magnitude_bins={self.num_magnitude_bins}, "
            f"interpolation={self.interpolation}, fill={self.fill}"
        )


class TrivialAugmentWide(_Augment):
    """One operation and its strength drawn at random. Source: arXiv:2103.10158."""

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__(num_magnitude_bins, interpolation, fill)

    def most(self, name: str, height: int, width: int) -> float:
        """See `_Augment`."""
        table = {"TranslateX": 32.0, "TranslateY": 32.0, "Rotate": 135.0, "Posterize": 6}
        return table.get(name, 0.99)

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        _, height, width = get_dimensions(img)
        name = NAMES[int(randint(len(NAMES), (1,)))]
        magnitude = 0.0
        if name not in ("Identity", "AutoContrast", "Equalize"):
            place = int(randint(self.num_magnitude_bins, (1,)))
            magnitude = self.magnitude(name, place, height, width)
        return self.applied(img, name, magnitude)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"num_magnitude_bins={self.num_magnitude_bins}, "
            f"interpolation={self.interpolation}, fill={self.fill}"
        )
