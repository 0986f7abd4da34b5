"""Colours changed at random, and images mirrored, by torchvision's numbers from the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import empty, rand, randint, randperm
from . import color, geometry
from .geometry import pair
from .transform import RandomlyApplied, Transform, query_chw

__all__ = [
    "ColorJitter",
    "GaussianBlur",
    "GaussianNoise",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomChannelPermutation",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomPhotometricDistort",
    "RandomPosterize",
    "RandomSolarize",
    "RandomVerticalFlip",
]

Ends = Sequence[float]


def between(low: float, high: float) -> float:
    """A number drawn evenly, in float32."""
    return float(empty(1).uniform_(low, high))


def below(high: int, low: int = 0) -> int:
    """A whole number drawn from `low` to `high` - 1."""
    return int(randint(low, high, (1,)))


def ends_of(name: str, value: Any, centre: float = 0.0) -> tuple[float, float]:
    """From -value to value around the centre, unless two numbers are given."""
    if isinstance(value, int | float):
        if value < 0:
            raise ValueError(f"{name}: expected a positive number, or two. Got {value}.")
        return centre - value, centre + value
    low, high = value
    return float(low), float(high)


class RandomHorizontalFlip(RandomlyApplied):
    """Left and right exchanged, with probability p."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return geometry.hflip(inpt)


class RandomVerticalFlip(RandomlyApplied):
    """Top and bottom exchanged, with probability p."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return geometry.vflip(inpt)


class RandomInvert(RandomlyApplied):
    """White for black, with probability p."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return color.invert(inpt)


class RandomAutocontrast(RandomlyApplied):
    """Stretched from black to white, with probability p."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return color.autocontrast(inpt)


class RandomEqualize(RandomlyApplied):
    """Brightnesses made equally frequent, with probability p."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return color.equalize(inpt)


class RandomPosterize(RandomlyApplied):
    """Only the highest `bits` of bytes, with probability p."""

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return color.posterize(inpt, self.bits)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"bits={self.bits}, p={self.p}"


class RandomSolarize(RandomlyApplied):
    """What is as bright as `threshold` inverted, with probability p."""

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return color.solarize(inpt, self.threshold)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"threshold={self.threshold}, p={self.p}"


class RandomAdjustSharpness(RandomlyApplied):
    """Sharper or blurred, with probability p."""

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return color.adjust_sharpness(inpt, self.sharpness_factor)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"sharpness_factor={self.sharpness_factor}, p={self.p}"


class RandomGrayscale(RandomlyApplied):
    """Grey, with probability p; as many channels as before."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"channels": query_chw(flat_inputs)[0]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return color.rgb_to_grayscale(inpt, 3 if params["channels"] == 3 else 1)


class RandomChannelPermutation(Transform):
    """The channels in an order drawn at random."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"permutation": randperm(query_chw(flat_inputs)[0]).tolist()}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return color.permute_channels(inpt, params["permutation"])


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed in an order drawn at random: factors from
    1 - x to 1 + x, hues moved by -x to x, or both ends given."""

    def __init__(
        self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0
    ) -> None:
        super().__init__()
        given = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, value in given.items():
            low, high = ends_of(name, value, 1.0)
            low = max(low, 0.0) if isinstance(value, int | float) else low
            if not 0 <= low <= high:
                raise ValueError(f"ColorJitter: expected 0 <= {low} <= {high} for {name}.")
            setattr(self, name, None if low == high == 1.0 else (low, high))
        low, high = ends_of("hue", hue)
        if not -0.5 <= low <= high <= 0.5:
            raise ValueError(f"ColorJitter: expected a hue within -0.5 and 0.5. Got {hue}.")
        self.hue = None if low == high == 0.0 else (low, high)

    @staticmethod
    def get_params(
        brightness: Ends | None, contrast: Ends | None, saturation: Ends | None, hue: Ends | None
    ) -> tuple[Any, ...]:
        """The order (4,) of the four changes, and the factor of each or None."""
        order = randperm(4)
        ranges = (brightness, contrast, saturation, hue)
        return (order, *(None if ends is None else between(*ends) for ends in ranges))

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        order, *factors = self.get_params(*ranges)
        return {"order": order.tolist(), "factors": factors}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        changes = (color.adjust_brightness, color.adjust_contrast, color.adjust_saturation,
                   color.adjust_hue)  # fmt: skip
        for k in params["order"]:
            factor = params["factors"][k]
            if factor is not None:
                inpt = changes[k](inpt, factor)
        return inpt

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"brightness={self.brightness}, contrast={self.contrast}, "
            f"saturation={self.saturation}, hue={self.hue}"
        )


class RandomPhotometricDistort(Transform):
    """Brightness, contrast, saturation, hue and the order of channels changed, each with
    probability p; contrast before or after the others. Source: arXiv:1512.02325, section 2.2."""

    def __init__(
        self,
        brightness: Ends = (0.875, 1.125),
        contrast: Ends = (0.5, 1.5),
        saturation: Ends = (0.5, 1.5),
        hue: Ends = (-0.05, 0.05),
        p: float = 0.5,
    ) -> None:
        super().__init__()
        self.brightness, self.contrast = brightness, contrast
        self.saturation, self.hue, self.p = saturation, hue, p

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        channels = query_chw(flat_inputs)[0]
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        factors = [between(*ends) if rand(1) < self.p else None for ends in ranges]
        order = [0, 1, 2, 3] if rand(()) < 0.5 else [0, 2, 3, 1]
        permutation = randperm(channels).tolist() if rand(1) < self.p else None
        return {"order": order, "factors": factors, "permutation": permutation}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        inpt = ColorJitter.transform(self, inpt, params)  # type: ignore[arg-type]
        permutation = params["permutation"]
        return inpt if permutation is None else color.permute_channels(inpt, permutation)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"brightness={self.brightness}, contrast={self.contrast}, "
            f"saturation={self.saturation}, hue={self.hue}, p={self.p}"
        )


class GaussianBlur(Transform):
    """Smoothed by a Gaussian whose deviation is drawn from `sigma`."""

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)) -> None:
        super().__init__()
        self.kernel_size = pair(kernel_size)
        self.sigma = (sigma, sigma) if isinstance(sigma, int | float) else tuple(sigma)
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"GaussianBlur: expected positive deviations in order. Got {sigma}.")

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """The deviation."""
        return between(sigma_min, sigma_max)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"sigma": self.get_params(*self.sigma)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return color.gaussian_blur(inpt, self.kernel_size, [params["sigma"]] * 2)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, sigma={self.sigma}"


class GaussianNoise(Transform):
    """Normal numbers added to each pixel of tensors, floats from 0 to 1 or bytes; `mean` and
    `sigma` count as for floats, `clip` cuts off beyond black and white."""

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        super().__init__()
        self.mean, self.sigma, self.clip = mean, sigma, clip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return color.gaussian_noise(inpt, self.mean, self.sigma, self.clip)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"mean={self.mean}, sigma={self.sigma}, clip={self.clip}"
