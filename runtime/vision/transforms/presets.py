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

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"crop_size={self.crop_size}, resize_size={self.resize_size}, mean={self.mean}, "
            f"std={self.std}, interpolation={self.interpolation}"
        )
