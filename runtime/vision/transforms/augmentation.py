"""Augmentation by lists of operations: RandAugment, TrivialAugment and AugMix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ... import linspace, randint, tensor
from ...core.tensor import Tensor
from ...distributions import Dirichlet
from ..tv_tensors import Image, TVTensor, Video
from . import color, geometry
from .conversion import InterpolationMode, interpolation_of, to_image, to_pil_image
from .transform import Transform, fill_of, query_size

__all__ = ["AugMix", "RandAugment", "TrivialAugmentWide"]

SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color",
          "Contrast", "Sharpness")  # fmt: skip
NAMES = ("Identity", *SIGNED, "Posterize", "Solarize", "AutoContrast", "Equalize")
STRENGTHLESS = ("Identity", "AutoContrast", "Equalize")
MOVES = SIGNED[:5]
MIXED = (*MOVES, "Posterize", "Solarize", "AutoContrast", "Equalize", *SIGNED[5:])
MIXED_BINS = 10
WIDEST = {"TranslateX": 32.0, "TranslateY": 32.0, "Rotate": 135.0, "Posterize": 6}
"""The largest magnitudes of TrivialAugment. Source: arXiv:2103.10158, table 1."""
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


def drawn(names: tuple[str, ...]) -> str:
    """One of them, drawn at random."""
    return names[int(randint(len(names), (1,)))]


def most_of(name: str, height: int, width: int) -> float:
    """The largest magnitude of RandAugment and AutoAugment; of bits, how many are lost. Source:
    arXiv:1805.09501, table 6, whose images have 331 pixels a side."""
    table = {"ShearX": 0.3, "ShearY": 0.3, "Rotate": 30.0, "TranslateX": 150 / 331 * width,
             "TranslateY": 150 / 331 * height, "Posterize": 4}  # fmt: skip
    return table.get(name, 0.9)


def magnitude_of(name: str, most: float, place: int, bins: int) -> float:
    """That of bin `place` of as many from none to `most`, in float32; the bits that are left, the
    threshold that is inverted from."""
    if name == "Posterize":
        return 8 - round(place / ((bins - 1) / most))
    ends = (255.0, 0.0) if name == "Solarize" else (0.0, most)
    return float(linspace(*ends, bins)[place])


class Augment(Transform):
    """Operations drawn at random, for all parts of a sample: steps of a name and a magnitude.
    Colours change those of images, all else moves masks and boxes too."""

    def __init__(self, bins: int, interpolation: Any, fill: Any) -> None:
        super().__init__()
        self.num_magnitude_bins, self.fill = bins, fill
        self.interpolation = interpolation_of(interpolation)

    def steps(self, height: int, width: int) -> list[tuple[str, float]]:
        """Names and magnitudes for an image of that size."""
        raise NotImplementedError

    def is_flipped(self) -> bool:
        """Whether the sign of a magnitude changes, drawn at random."""
        return bool(randint(2, (1,)))

    def signed(self, name: str, magnitude: float) -> float:
        """The magnitude with a sign drawn at random if the operation has one."""
        return -magnitude if name in SIGNED and self.is_flipped() else magnitude

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"steps": self.steps(*query_size(flat_inputs))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        how = (self.interpolation, fill_of(inpt, self.fill))
        for name, magnitude in params["steps"]:
            inpt = OPERATIONS[name](inpt, magnitude, how)
        return inpt


class RandAugment(Augment):
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
        self.num_ops, self.magnitude = num_ops, magnitude

    def steps(self, height: int, width: int) -> list[tuple[str, float]]:
        """See `Augment`."""
        found = []
        for _ in range(self.num_ops):
            name = drawn(NAMES)
            most = most_of(name, height, width)
            magnitude = magnitude_of(name, most, self.magnitude, self.num_magnitude_bins)
            found.append((name, self.signed(name, magnitude)))
        return found

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"num_ops={self.num_ops}, magnitude={self.magnitude}, "
            f"num_magnitude_bins={self.num_magnitude_bins}, "
            f"interpolation={self.interpolation}, fill={self.fill}"
        )


class TrivialAugmentWide(Augment):
    """One operation and its strength drawn at random. Source: arXiv:2103.10158."""

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__(num_magnitude_bins, interpolation, fill)

    def steps(self, height: int, width: int) -> list[tuple[str, float]]:
        """See `Augment`."""
        name = drawn(NAMES)
        magnitude = 0.0
        if name not in STRENGTHLESS:
            most = WIDEST.get(name, 0.99)
            place = int(randint(self.num_magnitude_bins, (1,)))
            magnitude = magnitude_of(name, most, place, self.num_magnitude_bins)
        return [(name, self.signed(name, magnitude))]

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"num_magnitude_bins={self.num_magnitude_bins}, "
            f"interpolation={self.interpolation}, fill={self.fill}"
        )


class AugMix(Augment):
    """The image mixed with `mixture_width` others, each made of it by `chain_depth` operations (1
    to 3, drawn at random, if that is not positive) of strengths below `severity` of 10.

    `alpha`: of the distributions of the weights; without `all_ops` no colours change. Source:
    arXiv:1912.02781, algorithm 1.
    """

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = None,
    ) -> None:
        super().__init__(MIXED_BINS, interpolation, fill)
        if not 1 <= severity <= MIXED_BINS:
            raise ValueError(f"AugMix: expected a severity of 1 to {MIXED_BINS}. Got {severity}.")
        self.severity, self.mixture_width = severity, mixture_width
        self.chain_depth, self.alpha, self.all_ops = chain_depth, alpha, all_ops

    def steps(self, height: int, width: int) -> list[tuple[str, float]]:
        """Those of one chain."""
        depth = self.chain_depth if self.chain_depth > 0 else int(randint(1, 4, (1,)))
        found = []
        for _ in range(depth):
            name = drawn(MIXED if self.all_ops else MIXED[:-4])
            magnitude = 0.0
            if name not in STRENGTHLESS:
                thirds = {"TranslateX": width / 3, "TranslateY": height / 3}
                most = thirds.get(name) or most_of(name, height, width)
                place = int(randint(self.severity, (1,)))
                magnitude = magnitude_of(name, most, place, MIXED_BINS)
                magnitude -= 4 * (name == "Posterize")  # of 4 bits instead of 8
            found.append((name, self.signed(name, magnitude)))
        return found

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        size = query_size(flat_inputs)
        own, others = Dirichlet(tensor([self.alpha] * 2)).sample()
        weights = Dirichlet(tensor([self.alpha] * self.mixture_width)).sample() * others
        chains = [self.steps(*size) for _ in range(self.mixture_width)]
        return {"own": float(own), "weights": weights.tolist(), "chains": chains}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, TVTensor) and not isinstance(inpt, Image | Video):
            return inpt
        image = to_image(inpt).plain()
        mixed = params["own"] * image
        for weight, chain in zip(params["weights"], params["chains"], strict=True):
            mixed = mixed + weight * super().transform(image, {"steps": chain})
        mixed = mixed.to(image.dtype)
        if not isinstance(inpt, Tensor):
            return to_pil_image(mixed)
        return inpt._like(mixed) if isinstance(inpt, TVTensor) else mixed

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"severity={self.severity}, mixture_width={self.mixture_width}, "
            f"chain_depth={self.chain_depth}, alpha={self.alpha}, all_ops={self.all_ops}, "
            f"interpolation={self.interpolation}, fill={self.fill}"
        )
