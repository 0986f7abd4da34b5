"""The names of torchvision's second interface, for images: those of the first, and its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import from_numpy, nn
from ...core.tensor import Tensor
from . import functional as functional
from .augmentation import *
from .chance import *
from .composition import *
from .conversion import InterpolationMode as InterpolationMode
from .conversion import convert_image_dtype, pil_to_tensor
from .fixed import *
from .mixing import *
from .policies import *


class ToImage(nn.Module):
    """A PIL image, an array (H, W, C) or a tensor -> (C, H, W) with its values as they are."""

    def forward(self, img: Any) -> Tensor:
        """An image -> a tensor."""
        if isinstance(img, Tensor):
            return img
        if isinstance(img, np.ndarray):
            return from_numpy(np.ascontiguousarray(np.atleast_3d(img).transpose(2, 0, 1)))
        return pil_to_tensor(img)


class ToDtype(nn.Module):
    """A tensor in another type; with `scale` its black and white with it."""

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        super().__init__()
        self.dtype, self.scale = dtype, scale

    def forward(self, img: Tensor) -> Tensor:
        """(..., C, H, W) -> the same."""
        return convert_image_dtype(img, self.dtype) if self.scale else img.to(self.dtype)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dtype={self.dtype}, scale={self.scale}"
