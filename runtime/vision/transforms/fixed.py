"""Transforms that leave nothing to chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import nn
from ...core.tensor import Tensor
from . import color, conversion, geometry
from .conversion import InterpolationMode, interpolation_of
from .geometry import pair

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


class ToTensor:
    """A PIL image or an array (H, W, C) -> (C, H, W), bytes as floats from 0 to 1."""

    def __call__(self, pic: Any) -> Tensor:
        return conversion.to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PILToTensor:
    """A PIL image -> (C, H, W) with its values as they are."""

    def __call__(self, pic: Any) -> Tensor:
        return conversion.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ToPILImage:
    """A tensor (C, H, W) or an array (H, W, C) -> a PIL image."""

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return conversion.to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.mode is None else f'mode={self.mode}'})"


class ConvertImageDtype(nn.Module):
    """A tensor in another type, its black and white with it."""

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        """(..., C, H, W) -> the same."""
        return conversion.convert_image_dtype(image, self.dtype)


class Normalize(nn.Module):
    """(x - mean) / std, channel by channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean, self.std, self.inplace = mean, std, inplace

    def forward(self, tensor: Tensor) -> Tensor:
        """(..., C, H, W) -> the same."""
        return conversion.normalize(tensor, self.mean, self.std, self.inplace)

    def extra_repr(self) -> str:
        """The mean and the deviation."""
        return f"mean={self.mean}, std={self.std}"


class Resize(nn.Module):
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

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        return geometry.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"size={self.size}, interpolation={self.interpolation.value}, "
            f"max_size={self.max_size}, antialias={self.antialias}"
        )


class CenterCrop(nn.Module):
    """The middle of the image."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = pair(size)

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        return geometry.center_crop(img, self.size)

    def extra_repr(self) -> str:
        """The size."""
        return f"size={self.size}"


class FiveCrop(nn.Module):
    """The four corners and the middle."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = pair(size)

    def forward(self, img: Any) -> tuple[Any, ...]:
        """An image -> five."""
        return geometry.five_crop(img, self.size)

    def extra_repr(self) -> str:
        """The size."""
        return f"size={self.size}"


class TenCrop(nn.Module):
    """The same, and of the flipped image."""

    def __init__(self, size: Any, vertical_flip: bool = False) -> None:
        super().__init__()
        self.size, self.vertical_flip = pair(size), vertical_flip

    def forward(self, img: Any) -> tuple[Any, ...]:
        """An image -> ten."""
        return geometry.ten_crop(img, self.size, self.vertical_flip)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"size={self.size}, vertical_flip={self.vertical_flip}"


class Pad(nn.Module):
    """The image with something around it, see `functional.pad`."""

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        super().__init__()
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        return geometry.pad(img, self.padding, self.fill, self.padding_mode)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode}"


class Grayscale(nn.Module):
    """Grey in one channel or three."""

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = num_output_channels

    def forward(self, img: Any) -> Any:
        """An image -> an image."""
        return color.rgb_to_grayscale(img, self.num_output_channels)

    def extra_repr(self) -> str:
        """The channels."""
        return f"num_output_channels={self.num_output_channels}"


class LinearTransformation(nn.Module):
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

    def forward(self, tensor: Tensor) -> Tensor:
        """(..., C, H, W) -> the same."""
        flat = tensor.reshape(-1, self.transformation_matrix.shape[0]) - self.mean_vector
        return (flat @ self.transformation_matrix).reshape(tensor.shape)
