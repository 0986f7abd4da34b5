"""Images of any sizes as one batch for a detector: normalized, resized, and filled with zeros."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .... import empty, nn
from ....core.tensor import Tensor
from ....errors import ShapeError
from ....nn.functional import interpolate
from .masks import paste_masks_in_image

__all__ = ["GeneralizedRCNNTransform", "ImageList"]

Target = Mapping[str, Tensor]
Size = tuple[int, int]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageList(NamedTuple):
    """A batch (N, C, H, W), and the (height, width) that each image has in it."""

    tensors: Tensor
    image_sizes: list[Size]


class GeneralizedRCNNTransform(nn.Module):
    """Images with their shorter side of `min_size` pixels (of several one, drawn at random in
    training), but the longer one at most `max_size`, or all of `fixed_size` (width, height); in a
    batch whose sides are multiples of `size_divisible`."""

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        size_divisible: int = 32,
        fixed_size: Size | None = None,
        _skip_resize: bool = False,
    ) -> None:
        super().__init__()
        self.min_size = (min_size,) if isinstance(min_size, int) else tuple(min_size)
        self.max_size, self.fixed_size = max_size, fixed_size
        self.image_mean, self.image_std = list(image_mean or MEAN), list(image_std or STD)
        self.size_divisible, self._skip_resize = size_divisible, _skip_resize

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Target] | None = None
    ) -> tuple[ImageList, list[dict[str, Tensor]] | None]:
        """Images (C, H, W), floats from 0 to 1, and their targets -> a batch, and the targets in
        its pixels. Raises: RuntimeError for other shapes, TypeError for other types."""
        resized: list[Tensor] = []
        placed: list[dict[str, Tensor]] = []
        for k, image in enumerate(images):
            new = self.resize(self.normalize(_checked(image)))
            resized.append(new)
            if targets is not None:
                placed.append(_resized_target(targets[k], image.shape[-2:], new.shape[-2:]))
        sizes = [(int(x.shape[-2]), int(x.shape[-1])) for x in resized]
        batch = self.batch_images(resized)
        return ImageList(batch, sizes), placed if targets is not None else None

    def normalize(self, image: Tensor) -> Tensor:
        """(x - mean) / std, channel by channel."""
        mean, std = (image.new_tensor(v)[:, None, None] for v in (self.image_mean, self.image_std))
        return (image - mean) / std

    def resize(self, image: Tensor) -> Tensor:
        """(C, H, W) -> (C, h, w)."""
        if self.training and self._skip_resize:
            return image
        if self.fixed_size is not None:
            size = [self.fixed_size[1], self.fixed_size[0]]
        else:
            least = self.min_size[-1]
            if self.training:
                least = self.min_size[int(empty(1).uniform_(0.0, float(len(self.min_size))))]
            sides = image.shape[-2:]
            scale = min(least / min(sides), self.max_size / max(sides))
            size = [math.floor(n * scale) for n in sides]
        return interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0]

    def batch_images(self, images: Sequence[Tensor]) -> Tensor:
        """Images (C, h, w) -> (N, C, H, W), zeros below and to the right of each."""
        step = self.size_divisible
        height, width = (math.ceil(max(x.shape[d] for x in images) / step) * step for d in (1, 2))
        batch = images[0].new_zeros((len(images), images[0].shape[0], height, width))
        for place, image in zip(batch, images, strict=True):
            place[:, : image.shape[1], : image.shape[2]].copy_(image)
        return batch

    def postprocess(
        self, result: list[dict[str, Tensor]], image_shapes: list[Size], original: list[Size]
    ) -> list[dict[str, Tensor]]:
        """Detections in pixels of the batch -> in those of the images, masks as large as they."""
        if self.training:
            return result
        for found, now, before in zip(result, image_shapes, original, strict=True):
            found["boxes"] = resize_boxes(found["boxes"], now, before)
            if "masks" in found:
                found["masks"] = paste_masks_in_image(found["masks"], found["boxes"], before)
        return result

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"min_size={self.min_size}, max_size={self.max_size}, mean={self.image_mean}, "
            f"std={self.image_std}"
        )


def _checked(image: Tensor) -> Tensor:
    if image.ndim != 3:
        raise ShapeError(
            f"detection: expected a list of images (C, H, W). Got shape {tuple(image.shape)}."
        )
    if not image.dtype.is_floating_point:
        raise TypeError(f"detection: expected floats from 0 to 1. Got {image.dtype}.")
    return image


def _resized_target(target: Target, before: Any, now: Any) -> dict[str, Tensor]:
    new = {**target, "boxes": resize_boxes(target["boxes"], before, now)}
    if "masks" in target and tuple(before) != tuple(now):
        masks = interpolate(target["masks"][:, None].float(), size=tuple(now))
        new["masks"] = masks[:, 0].byte()
    return new


def resize_boxes(boxes: Tensor, original_size: Sequence[int], new_size: Sequence[int]) -> Tensor:
    """(K, 4) in an image of `original_size` (height, width) -> in one of `new_size`."""
    down, across = (n / o for n, o in zip(new_size, original_size, strict=True))
    return boxes * boxes.new_tensor([across, down, across, down])
