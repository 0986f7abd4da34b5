"""What prepares images for models with published weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import nn
from ...core import dtypes
from ...core.tensor import Tensor
from . import conversion, geometry

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the channels of ImageNet's images."""


class ImageClassification(nn.Module):
    """A PIL image or a tensor -> (C, crop_size, crop_size): resized, its middle, and normalized."""

    def __init__(
        self,
        *,
        crop_size: int,
        resize_size: int = 256,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        interpolation: Any = "bilinear",
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.crop_size, self.resize_size = [crop_size], [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation = conversion.interpolation_of(interpolation)
        self.antialias = antialias

    def forward(self, img: Any) -> Tensor:
        """An image -> (C, crop_size, crop_size)."""
        img = geometry.resize(img, self.resize_size, self.interpolation, None, self.antialias)
        img = geometry.center_crop(img, self.crop_size)
        if not isinstance(img, Tensor):
            img = conversion.pil_to_tensor(img)
        img = conversion.convert_image_dtype(img, dtypes.float32)
        return conversion.normalize(img, self.mean, self.std)

    def __repr__(self) -> str:
        return _told(self, "crop_size", "resize_size", "mean", "std", "interpolation")


class ObjectDetection(nn.Module):
    """A PIL image or a tensor -> (C, H, W), floats from 0 to 1."""

    def forward(self, img: Any) -> Tensor:
        """An image -> (C, H, W)."""
        img = img if isinstance(img, Tensor) else conversion.pil_to_tensor(img)
        return conversion.convert_image_dtype(img, dtypes.float32)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class SemanticSegmentation(nn.Module):
    """A PIL image or a tensor -> (C, h, w), its shorter side of `resize_size` pixels, and
    normalized."""

    def __init__(
        self,
        *,
        resize_size: int | None,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        interpolation: Any = "bilinear",
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.resize_size = None if resize_size is None else [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation = conversion.interpolation_of(interpolation)
        self.antialias = antialias

    def forward(self, img: Any) -> Tensor:
        """An image -> (C, h, w)."""
        if self.resize_size is not None:
            how = (self.interpolation, None, self.antialias)
            img = geometry.resize(img, self.resize_size, *how)
        return conversion.normalize(ObjectDetection()(img), self.mean, self.std)

    def __repr__(self) -> str:
        return _told(self, "resize_size", "mean", "std", "interpolation")


def _told(preset: Any, *names: str) -> str:
    lines = "".join(f"\n    {name}={getattr(preset, name)}" for name in names)
    return f"{type(preset).__name__}({lines}\n)"
