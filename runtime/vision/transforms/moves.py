"""Images turned, warped and scaled at random, by torchvision's numbers from the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import cat, rand, randint
from ...core.tensor import Tensor
from . import color, geometry
from .chance import below, between, ends_of
from .conversion import InterpolationMode, interpolation_of
from .transform import RandomlyApplied, Transform, fill_of, query_size

__all__ = [
    "ElasticTransform",
    "RandomAffine",
    "RandomPerspective",
    "RandomResize",
    "RandomRotation",
    "RandomShortestSize",
    "ScaleJitter",
]

Ends = Sequence[float]


class RandomRotation(Transform):
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
        self.degrees = list(ends_of("degrees", degrees))
        self.interpolation = interpolation_of(interpolation)
        self.expand, self.center, self.fill = expand, center, fill

    @staticmethod
    def get_params(degrees: Ends) -> float:
        """The angle."""
        return between(float(degrees[0]), float(degrees[1]))

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"angle": self.get_params(self.degrees)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        how = (self.interpolation, self.expand, self.center, fill_of(inpt, self.fill))
        return geometry.rotate(inpt, params["angle"], *how)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand={self.expand}, fill={self.fill}"
        )


class RandomAffine(Transform):
    """Turned, moved by up to `translate` of each side, scaled by a factor in `scale` and sheared by
    degrees in `shear`: -x to x along x, both ends along x, or four along x and y."""

    def __init__(
        self,
        degrees: Any,
        translate: Ends | None = None,
        scale: Ends | None = None,
        shear: Any = None,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Any = None,
    ) -> None:
        super().__init__()
        self.degrees = list(ends_of("degrees", degrees))
        if translate is not None and not all(0 <= t <= 1 for t in translate):
            raise ValueError(f"RandomAffine: expected shares of sides. Got {translate}.")
        if scale is not None and min(scale) <= 0:
            raise ValueError(f"RandomAffine: expected positive scales. Got {scale}.")
        self.translate, self.scale = translate, scale
        if shear is not None and (isinstance(shear, int | float) or len(shear) == 2):
            shear = ends_of("shear", shear)
        self.shear, self.fill, self.center = shear, fill, center
        self.interpolation = interpolation_of(interpolation)

    @staticmethod
    def get_params(
        degrees: Ends,
        translate: Ends | None,
        scale_ranges: Ends | None,
        shears: Ends | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """Angle, moves along x and y, scale, and shears along x and y, for an image of `img_size`
        (width, height)."""
        angle = between(float(degrees[0]), float(degrees[1]))
        moves = [0, 0]
        if translate is not None:
            reach = [float(share * side) for share, side in zip(translate, img_size, strict=True)]
            moves = [round(between(-r, r)) for r in reach]
        scale = 1.0 if scale_ranges is None else between(*scale_ranges)
        turned = [0.0, 0.0]
        for k in range(len(shears or ()) // 2):
            turned[k] = between(*shears[2 * k : 2 * k + 2])  # type: ignore[index]
        return angle, (moves[0], moves[1]), scale, (turned[0], turned[1])

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        drawn = self.get_params(
            self.degrees, self.translate, self.scale, self.shear, (width, height)
        )
        return {"drawn": drawn}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        how = (self.interpolation, fill_of(inpt, self.fill), self.center)
        return geometry.affine(inpt, *params["drawn"], *how)

    def extra_repr(self) -> str:
        """The arguments."""
        given = [f"degrees={self.degrees}"]
        for name in ("translate", "scale", "shear"):
            if getattr(self, name) is not None:
                given.append(f"{name}={getattr(self, name)}")
        if self.interpolation is not InterpolationMode.NEAREST:
            given.append(f"interpolation={self.interpolation.value}")
        if self.fill != 0:
            given.append(f"fill={self.fill}")
        return ", ".join(given)


class RandomPerspective(RandomlyApplied):
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

    @staticmethod
    def get_params(
        width: int, height: int, distortion_scale: float
    ) -> tuple[list[list[int]], list[list[int]]]:
        """The corners (x, y) of an image, from the upper left clockwise, and what becomes of
        them."""
        x = int(distortion_scale * (width // 2))
        y = int(distortion_scale * (height // 2))
        ends = []
        for right, bottom in ((0, 0), (1, 0), (1, 1), (0, 1)):
            across = below(width, width - x - 1) if right else below(x + 1)
            down = below(height, height - y - 1) if bottom else below(y + 1)
            ends.append([across, down])
        return [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], ends

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        return {"corners": self.get_params(width, height, self.distortion_scale)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        fill = fill_of(inpt, self.fill)
        return geometry.perspective(inpt, *params["corners"], self.interpolation, fill)


class ElasticTransform(Transform):
    """Pixels taken from places moved at random: by up to `alpha` pixels along x and y, smoothed by
    a Gaussian of deviation `sigma`. Images have to be 4 `sigma` on a side at least."""

    def __init__(
        self,
        alpha: Any = 50.0,
        sigma: Any = 5.0,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.alpha, self.sigma = _two(alpha), _two(sigma)
        self.interpolation, self.fill = interpolation_of(interpolation), fill

    @staticmethod
    def get_params(alpha: list[float], sigma: list[float], size: Sequence[int]) -> Tensor:
        """(1, height, width, 2) for an image of `size` (height, width): what x and y are moved by,
        in half sides."""
        height, width = size
        fields = []
        for k, side in enumerate((width, height)):
            field = rand(1, 1, height, width) * 2 - 1
            if sigma[k] > 0:
                field = color.gaussian_blur(field, [int(8 * sigma[k] + 1) | 1] * 2, sigma)
            fields.append(field * alpha[k] / side)
        return cat(fields, 1).permute(0, 2, 3, 1)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"displacement": self.get_params(self.alpha, self.sigma, query_size(flat_inputs))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        fill = fill_of(inpt, self.fill)
        return geometry.elastic(inpt, params["displacement"], self.interpolation, fill)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"alpha={self.alpha}, sigma={self.sigma}, interpolation={self.interpolation}, "
            f"fill={self.fill}"
        )


def _two(value: Any) -> list[float]:
    """One number for x and y, or both."""
    numbers = [value] if isinstance(value, int | float) else list(value)
    return [float(n) for n in (numbers * 2)[:2]]


class _Scaled(Transform):
    """At a size drawn at random."""

    def __init__(self, interpolation: Any, antialias: bool | None) -> None:
        super().__init__()
        self.interpolation, self.antialias = interpolation_of(interpolation), antialias

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return geometry.resize(inpt, params["size"], self.interpolation, None, self.antialias)


class RandomResize(_Scaled):
    """The shorter side from `min_size` to `max_size` - 1."""

    def __init__(
        self,
        min_size: int,
        max_size: int,
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.min_size, self.max_size = min_size, max_size

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"size": [int(randint(self.min_size, self.max_size, ()))]}

    def extra_repr(self) -> str:
        """The arguments."""
        return f"min_size={self.min_size}, max_size={self.max_size}"


class RandomShortestSize(_Scaled):
    """The shorter side one of `min_size`, the longer one at most `max_size`."""

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int | None = None,
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.min_size = [min_size] if isinstance(min_size, int) else list(min_size)
        self.max_size = max_size

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        ratio = self.min_size[int(randint(len(self.min_size), ()))] / min(height, width)
        if self.max_size is not None:
            ratio = min(ratio, self.max_size / max(height, width))
        return {"size": (int(height * ratio), int(width * ratio))}

    def extra_repr(self) -> str:
        """The arguments."""
        return f"min_size={self.min_size}, max_size={self.max_size}"


class ScaleJitter(_Scaled):
    """As large as fits into `target_size`, times a factor in `scale_range`. Source:
    arXiv:2012.07177, section 3."""

    def __init__(
        self,
        target_size: tuple[int, int],
        scale_range: tuple[float, float] = (0.1, 2.0),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.target_size, self.scale_range = target_size, scale_range

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        low, high = self.scale_range
        scale = low + rand(1) * (high - low)
        ratio = min(self.target_size[1] / height, self.target_size[0] / width) * scale
        return {"size": (int(height * ratio), int(width * ratio))}

    def extra_repr(self) -> str:
        """The arguments."""
        return f"target_size={self.target_size}, scale_range={self.scale_range}"
