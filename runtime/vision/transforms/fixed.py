"""Transforms that leave nothing to chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image as PIL

from ...core.tensor import Tensor
from ..tv_tensors import Image, TVTensor
from . import color, conversion, geometry
from .conversion import InterpolationMode, interpolation_of
from .geometry import pair
from .transform import Transform, fill_of

__all__ = [
    "CenterCrop",
    "ConvertImageDtype",
    "FiveCrop",
    "Grayscale",
    "LinearTransformation",
    "Normalize",
    "PILToTensor",
    "Pad",
    "Resize",
    "TenCrop",
    "ToPILImage",
    "ToTensor",
]


class ToTensor(Transform):
    """A PIL image or an array (H, W, C) -> (C, H, W), bytes as floats from 0 to 1."""

    takes = (PIL.Image, np.ndarray)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return conversion.to_tensor(inpt)


class PILToTensor(Transform):
    """A PIL image -> (C, H, W) with its values as they are."""

    takes = (PIL.Image,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return conversion.pil_to_tensor(inpt)


class ToPILImage(Transform):
    """A tensor (C, H, W) or an array (H, W, C) -> a PIL image."""

    takes = (Tensor, np.ndarray)

    def __init__(self, mode: str | None = None) -> None:
        super().__init__()
        self.mode = mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        stays = isinstance(inpt, TVTensor) and not isinstance(inpt, Image)
        return inpt if stays else conversion.to_pil_image(inpt, self.mode)

    def extra_repr(self) -> str:
        """The mode."""
        return "" if self.mode is None else f"mode={self.mode}"


class ConvertImageDtype(Transform):
    """A tensor in another type, its black and white with it."""

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.dtype = dtype

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return conversion.convert_image_dtype(inpt, self.dtype)


class Normalize(Transform):
    """(x - mean) / std, channel by channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean, self.std, self.inplace = mean, std, inplace

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return conversion.normalize(inpt, self.mean, self.std, self.inplace)

    def extra_repr(self) -> str:
        """The mean and the deviation."""
        return f"mean={self.mean}, std={self.std}"


class Resize(Transform):
    """The image at another size, see `functional.resize`."""

    def __init__(
        self,
        size: Any,
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size, self.max_size, self.antialias = size, max_size, antialias
        self.interpolation = interpolation_of(interpolation)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return geometry.resize(inpt, self.size, self.interpolation, self.max_size, self.antialias)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"size={self.size}, interpolation={self.interpolation.value}, "
            f"max_size={self.max_size}, antialias={self.antialias}"
        )


class CenterCrop(Transform):
    """The middle of the image."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = pair(size)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return geometry.center_crop(inpt, self.size)

    def extra_repr(self) -> str:
        """The size."""
        return f"size={self.size}"


class FiveCrop(Transform):
    """The four corners and the middle."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = pair(size)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return geometry.five_crop(inpt, self.size)

    def extra_repr(self) -> str:
        """The size."""
        return f"size={self.size}"


class TenCrop(Transform):
    """The same, and of the flipped image."""

    def __init__(self, size: Any, vertical_flip: bool = False) -> None:
        super().__init__()
        self.size, self.vertical_flip = pair(size), vertical_flip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return geometry.ten_crop(inpt, self.size, self.vertical_flip)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"size={self.size}, vertical_flip={self.vertical_flip}"


class Pad(Transform):
    """The image with something around it, see `functional.pad`."""

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        super().__init__()
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return geometry.pad(inpt, self.padding, fill_of(inpt, self.fill), self.padding_mode)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode}"


class Grayscale(Transform):
    """Grey in one channel or three."""

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = num_output_channels

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return color.rgb_to_grayscale(inpt, self.num_output_channels)

    def extra_repr(self) -> str:
        """The channels."""
        return f"num_output_channels={self.num_output_channels}"


class LinearTransformation(Transform):
    """(x - mean) @ matrix of the flattened image, as for whitening."""

    def __init__(self, transformation_matrix: Tensor, mean_vector: Tensor) -> None:
        super().__init__()
        rows, columns = transformation_matrix.shape
        if rows != columns or len(mean_vector) != rows:
            raise ValueError(
                "LinearTransformation: expected a square matrix and a mean as long. Got shapes "
                f"{tuple(transformation_matrix.shape)} and {tuple(mean_vector.shape)}."
            )
        self.transformation_matrix, self.mean_vector = transformation_matrix, mean_vector

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        flat = inpt.reshape(-1, self.transformation_matrix.shape[0]) - self.mean_vector
        return (flat @ self.transformation_matrix).reshape(inpt.shape)
