"""Images in files, by Pillow."""

from __future__ import annotations

import os
from enum import Enum
from io import BytesIO
from typing import Any

from PIL import Image, ImageOps

from ..core.tensor import Tensor
from ..errors import DTypeError
from .transforms.conversion import pil_to_tensor, to_pil_image

__all__ = [
    "ImageReadMode", "decode_image", "encode_jpeg", "encode_png", "read_file", "read_image",
    "write_file", "write_jpeg", "write_png",
]  # fmt: skip


class ImageReadMode(Enum):
    """The channels that an image is given; UNCHANGED those of the file."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


PIL_NAMES = {
    ImageReadMode.GRAY: "L", ImageReadMode.GRAY_ALPHA: "LA", ImageReadMode.RGB: "RGB",
    ImageReadMode.RGB_ALPHA: "RGBA",
}  # fmt: skip


def _tensor(file: Any, mode: Any, turns: bool) -> Tensor:
    mode = ImageReadMode[mode] if isinstance(mode, str) else mode
    with Image.open(file) as image:
        image = ImageOps.exif_transpose(image) if turns else image
        wanted = PIL_NAMES.get(mode, "RGB" if image.mode == "P" else image.mode)
        return pil_to_tensor(image.convert(wanted))


def read_image(
    path: str | os.PathLike[str],
    mode: Any = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = False,
) -> Tensor:
    """A file in any format that Pillow reads -> (C, H, W), uint8. `mode`: its channels, a member of
    ImageReadMode or its name; `apply_exif_orientation` turns it as the camera was held."""
    return _tensor(path, mode, apply_exif_orientation)


def decode_image(
    input: Any, mode: Any = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """The same of the bytes of a file, a tensor (n,) of uint8, or of a path."""
    if isinstance(input, Tensor):
        input = BytesIO(input.cpu().numpy().tobytes())
    return _tensor(input, mode, apply_exif_orientation)


def _encoded(input: Tensor, kind: str, **options: Any) -> bytes:
    if input.dtype.name != "uint8":
        raise DTypeError(f"encode_{kind}: expected bytes, torch.uint8. Got {input.dtype}.")
    file = BytesIO()
    to_pil_image(input).save(file, kind, **options)
    return file.getvalue()


def encode_png(input: Tensor, compression_level: int = 6) -> Tensor:
    """(C, H, W) of uint8 -> the bytes of a PNG file, (n,) of uint8."""
    return _bytes(_encoded(input, "png", compress_level=compression_level))


def encode_jpeg(input: Tensor, quality: int = 75) -> Tensor:
    """(C, H, W) of uint8 -> the bytes of a JPEG file, (n,) of uint8."""
    return _bytes(_encoded(input, "jpeg", quality=quality))


def _bytes(data: bytes) -> Tensor:
    import numpy as np

    from ..core.creation import from_numpy

    return from_numpy(np.frombuffer(data, np.uint8).copy())


def read_file(path: str | os.PathLike[str]) -> Tensor:
    """The bytes of a file, (n,) of uint8."""
    with open(path, "rb") as file:
        return _bytes(file.read())


def write_file(filename: str | os.PathLike[str], data: Tensor) -> None:
    """Write bytes (n,) of uint8 to a file."""
    with open(filename, "wb") as file:
        file.write(data.cpu().numpy().tobytes())


def write_png(input: Tensor, filename: str | os.PathLike[str], compression_level: int = 6) -> None:
    """Write (C, H, W) of uint8 as a PNG file."""
    write_file(filename, encode_png(input, compression_level))


def write_jpeg(input: Tensor, filename: str | os.PathLike[str], quality: int = 75) -> None:
    """Write (C, H, W) of uint8 as a JPEG file."""
    write_file(filename, encode_jpeg(input, quality))
