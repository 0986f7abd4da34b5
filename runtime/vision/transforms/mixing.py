"""Batches mixed with themselves: MixUp and CutMix."""

from __future__ import annotations

import math

from ... import nn, randint
from ...core.tensor import Tensor
from ...distributions import Beta
from ...errors import ShapeError
from ...nn.functional import one_hot

__all__ = ["CutMix", "MixUp"]


class _Mix(nn.Module):
    """Images (N, C, H, W) and labels (N,) -> mixed images and shares of classes (N, num_classes):
    each sample with the one before it in the batch, by a share drawn from Beta(alpha, alpha)."""

    def __init__(self, *, alpha: float = 1.0, num_classes: int) -> None:
        super().__init__()
        if alpha <= 0:
            raise ValueError(f"{type(self).__name__}: expected a positive alpha. Got {alpha}.")
        self.alpha, self.num_classes = float(alpha), num_classes

    def mixed(self, images: Tensor, share: float) -> tuple[Tensor, float]:
        """The images, and the share that is left of each."""
        raise NotImplementedError

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """A batch -> a batch."""
        if images.ndim != 4 or labels.shape != images.shape[:1]:
            raise ShapeError(
                f"{type(self).__name__}: expected images (N, C, H, W) and labels (N,). Got "
                f"{tuple(images.shape)} and {tuple(labels.shape)}."
            )
        share = float(Beta(self.alpha, self.alpha).sample())
        images, share = self.mixed(images, share)
        classes = one_hot(labels, self.num_classes).to(images.dtype)
        return images, share * classes + (1 - share) * classes.roll(1, 0)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"alpha={self.alpha}, num_classes={self.num_classes}"


class MixUp(_Mix):
    """Means of two images, weighted. Source: arXiv:1710.09412."""

    def mixed(self, images: Tensor, share: float) -> tuple[Tensor, float]:
        """See `_Mix`."""
        return share * images + (1 - share) * images.roll(1, 0), share


class CutMix(_Mix):
    """A rectangle of each image taken from another. Source: arXiv:1905.04899."""

    def mixed(self, images: Tensor, share: float) -> tuple[Tensor, float]:
        """See `_Mix`."""
        height, width = images.shape[2:]
        x, y = int(randint(width, (1,))), int(randint(height, (1,)))
        half = 0.5 * math.sqrt(1 - share)
        left, right = max(x - int(half * width), 0), min(x + int(half * width), width)
        top, bottom = max(y - int(half * height), 0), min(y + int(half * height), height)
        out = images.clone()
        out[..., top:bottom, left:right] = images.roll(1, 0)[..., top:bottom, left:right]
        return out, 1 - (right - left) * (bottom - top) / (height * width)
