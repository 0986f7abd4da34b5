"""Between PIL images, arrays and tensors, and between types of elements."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from PIL import Image as PIL

from ... import from_numpy, get_default_dtype
from ...core import dtypes
from ...core.tensor import Tensor
from ...errors import DTypeError, ShapeError
from ..tv_tensors import Image, TVTensor, Video
from .kinds import typed

__all__ = [
    "InterpolationMode",
    "convert_image_dtype",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "normalize",
    "pil_to_tensor",
    "to_dtype",
    "to_image",
    "to_pil_image",
    "to_tensor",
]


class InterpolationMode(Enum):
    """How pixels between pixels are made."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


PIL_MODES = {
    InterpolationMode.NEAREST: PIL.Resampling.NEAREST,
    InterpolationMode.NEAREST_EXACT: PIL.Resampling.NEAREST,
    InterpolationMode.BILINEAR: PIL.Resampling.BILINEAR,
    InterpolationMode.BICUBIC: PIL.Resampling.BICUBIC,
    InterpolationMode.BOX: PIL.Resampling.BOX,
    InterpolationMode.HAMMING: PIL.Resampling.HAMMING,
    InterpolationMode.LANCZOS: PIL.Resampling.LANCZOS,
}


def interpolation_of(mode: Any) -> InterpolationMode:
    """The mode itself, or the one that has this name or Pillow's number."""
    if isinstance(mode, int):
        return next(ours for ours, number in PIL_MODES.items() if number == mode)
    return InterpolationMode(mode)


def is_pil(image: Any) -> bool:
    """Whether `image` is Pillow's. Raises: TypeError for what is no image at all."""
    if isinstance(image, PIL.Image):
        return True
    if isinstance(image, Tensor) and image.ndim >= 2:
        return False
    kind = f"a tensor of shape {tuple(image.shape)}" if isinstance(image, Tensor) else type(image)
    raise TypeError(f"transforms: expected a PIL image or a tensor (..., C, H, W). Got {kind}.")


def get_dimensions(img: Any) -> list[int]:
    """Channels, height and width."""
    if is_pil(img):
        return [len(img.getbands()), img.height, img.width]
    return [1 if img.ndim == 2 else img.shape[-3], *img.shape[-2:]]


def get_image_num_channels(img: Any) -> int:
    """The channels."""
    return get_dimensions(img)[0]


def get_image_size(img: Any) -> list[int]:
    """Width and height."""
    return get_dimensions(img)[:0:-1]


def _array_of(image: Any) -> Any:
    """A PIL image as an array (H, W, C)."""
    array = np.array(image, np.uint8 if image.mode == "1" else None)
    if image.mode == "1":
        array = array * 255
    if array.dtype == np.uint16:
        array = array.astype(np.int32)
    return array.reshape(image.height, image.width, len(image.getbands()))


def pil_to_tensor(pic: Any) -> Tensor:
    """A PIL image -> (C, H, W) with its values as they are."""
    if not isinstance(pic, PIL.Image):
        raise TypeError(f"pil_to_tensor: expected a PIL image. Got {type(pic)}.")
    return from_numpy(np.ascontiguousarray(_array_of(pic).transpose(2, 0, 1)))


def to_tensor(pic: Any) -> Tensor:
    """A PIL image or an array (H, W, C) or (H, W) -> (C, H, W), bytes as floats from 0 to 1."""
    if isinstance(pic, PIL.Image):
        array = _array_of(pic)
    elif isinstance(pic, np.ndarray) and pic.ndim in (2, 3):
        array = pic.reshape(*pic.shape[:2], -1)
    else:
        raise TypeError(
            f"to_tensor: expected a PIL image or an array (H, W, C) or (H, W). Got {type(pic)}"
            + (f" of shape {pic.shape}." if isinstance(pic, np.ndarray) else ".")
        )
    image = from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
    if array.dtype != np.uint8:
        return image
    return image.to(get_default_dtype()).div_(255)


def most(dtype: Any) -> float:
    """The value that stands for white."""
    return 1.0 if dtype.is_floating_point else float(np.iinfo(dtype.name).max)


@typed(moves=False)
def convert_image_dtype(image: Tensor, dtype: Any = dtypes.float32) -> Tensor:
    """The image in another type, with black and white as that type has them: floats from 0 to 1,
    integers from 0 to their largest."""
    if image.dtype == dtype:
        return image
    here, there = image.dtype.is_floating_point, dtype.is_floating_point
    if here and there:
        return image.to(dtype)
    if here:
        if (image.dtype.itemsize, dtype.itemsize) in ((4, 4), (4, 8), (8, 8)):
            raise DTypeError(
                f"convert_image_dtype: expected a type whose largest number {image.dtype} holds. "
                f"Got {dtype}."
            )
        return (image * (most(dtype) + 1.0 - 1e-3)).to(dtype)
    if there:
        return image.to(dtype) / most(image.dtype)
    old, new = int(most(image.dtype)), int(most(dtype))
    if old > new:
        return image.floor_divide((old + 1) // (new + 1)).to(dtype)
    return image.to(dtype) * ((new + 1) // (old + 1))


def to_dtype(inpt: Tensor, dtype: Any = dtypes.float32, scale: bool = False) -> Tensor:
    """A tensor of any kind in another type; with `scale` an image's black and white with it."""
    is_image = not isinstance(inpt, TVTensor) or isinstance(inpt, Image | Video)
    return convert_image_dtype(inpt, dtype) if scale and is_image else inpt.to(dtype)


def to_image(inpt: Any) -> Image:
    """A PIL image, an array (H, W, C) or a tensor (..., C, H, W) as an `Image`, its values as they
    are."""
    if isinstance(inpt, np.ndarray):
        array = inpt[..., None] if inpt.ndim == 2 else inpt
        inpt = from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
    elif not isinstance(inpt, Tensor | PIL.Image):
        raise TypeError(f"to_image: expected a PIL image, an array or a tensor. Got {type(inpt)}.")
    return Image(inpt)


MODES = {1: {"uint8": "L", "int16": "I;16", "int32": "I", "float32": "F"}, 2: {"uint8": "LA"},
         3: {"uint8": "RGB"}, 4: {"uint8": "RGBA"}}  # fmt: skip
"""Pillow's names by channels and type."""


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """(C, H, W) or (H, W) as a tensor, (H, W, C) or (H, W) as an array -> a PIL image; floats from
    0 to 1 become bytes unless `mode` is "F"."""
    if isinstance(pic, Tensor):
        array = pic.detach().cpu().numpy()
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    elif isinstance(pic, np.ndarray):
        array = pic
    else:
        raise TypeError(f"to_pil_image: expected a tensor or an array. Got {type(pic)}.")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in MODES):
        raise ShapeError(
            f"to_pil_image: expected 1 to 4 channels in two or three dimensions. Got shape "
            f"{tuple(pic.shape)}."
        )
    if array.dtype.kind == "f" and mode != "F":
        array = (array * 255).astype(np.uint8)
    channels = 1 if array.ndim == 2 else array.shape[2]
    found = mode or MODES[channels].get(array.dtype.name)
    if found is None:
        raise DTypeError(
            f"to_pil_image: expected a type that Pillow has for {channels} channels "
            f"({', '.join(MODES[channels])}). Got {array.dtype.name}."
        )
    array = np.ascontiguousarray(array[..., 0] if channels == 1 and array.ndim == 3 else array)
    if found in ("YCbCr", "HSV", "CMYK", "RGBX"):
        size = (array.shape[1], array.shape[0])
        return PIL.frombytes(found, size, array.tobytes())
    return PIL.fromarray(array)


@typed(moves=False)
def normalize(tensor: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """(..., C, H, W): (x - mean) / std, channel by channel, or by one number for all. Raises:
    TypeError for integers, ValueError for a deviation of 0."""
    if not isinstance(tensor, Tensor) or not tensor.dtype.is_floating_point:
        got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor)
        raise TypeError(
            f"normalize: expected a tensor of floats. Got {got}; use ToTensor() or "
            "ConvertImageDtype(torch.float32) first."
        )
    if tensor.ndim < 3:
        raise ShapeError(f"normalize: expected (..., C, H, W). Got {tuple(tensor.shape)}.")
    centre, spread = (tensor.new_tensor(v).reshape(-1, 1, 1) for v in (mean, std))
    if (spread == 0).any():
        raise ValueError(f"normalize: expected deviations other than 0. Got {std}.")
    if inplace:
        return tensor.sub_(centre).div_(spread)
    return (tensor - centre) / spread
