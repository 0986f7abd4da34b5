"""Batches mixed with themselves: MixUp and CutMix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ... import float32, nn, randint
from ...core.tensor import Tensor
from ...distributions import Beta
from ...errors import ShapeError
from ...nn.functional import one_hot
from ...utils._pytree import tree_flatten, tree_unflatten
from .sanitizing import labels_in

__all__ = ["CutMix", "MixUp"]


class _Mix(nn.Module):
    """Images (N, C, H, W) and labels (N,) -> mixed images and shares of classes (N, num_classes):
    each sample with the one before it in the batch, by a share drawn from Beta(alpha, alpha).

    Labels may be shares (N, num_classes) already; `labels_getter` finds them in other batches than
    pairs and dicts with `labels`."""

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        labels_getter: Callable[[Any], Tensor] | str = "default",
    ) -> None:
        super().__init__()
        self.getter = labels_getter if callable(labels_getter) else None
        if alpha <= 0:
            raise ValueError(f"{type(self).__name__}: expected a positive alpha. Got {alpha}.")
        self.alpha, self.num_classes = float(alpha), num_classes

    def mixed(self, images: Tensor, share: float) -> tuple[Tensor, float]:
        """The images, and the share that is left of each."""
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:
        """A batch, as two arguments, a pair or with its labels in a dict -> the same of a mixed
        batch."""
        batch = inputs if len(inputs) > 1 else inputs[0]
        labels = labels_in(batch) if self.getter is None else self.getter(batch)
        leaves, spec = tree_flatten(batch)
        images = next((x for x in leaves if isinstance(x, Tensor) and x.ndim >= 4), None)
        if images is None or labels.ndim not in (1, 2) or len(labels) != len(images):
            shapes = [tuple(x.shape) for x in leaves if isinstance(x, Tensor)]
            raise ShapeError(
                f"{type(self).__name__}: expected images (N, C, H, W) and labels (N,). Got "
                f"{' and '.join(map(str, shapes)) or 'no tensors'}."
            )
        if labels.ndim == 1 and self.num_classes is None:
            raise ValueError(
                f"{type(self).__name__}: expected num_classes for labels that are numbers. Got "
                "None."
            )
        share = float(Beta(self.alpha, self.alpha).sample())
        mixed, share = self.mixed(images, share)
        classes = labels if labels.ndim == 2 else one_hot(labels, self.num_classes)
        shares = classes.to(images.dtype if images.dtype.is_floating_point else float32)
        shares = share * shares + (1 - share) * shares.roll(1, 0)
        new = {id(images): mixed, id(labels): shares}
        return tree_unflatten([new.get(id(x), x) for x in leaves], spec)

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
