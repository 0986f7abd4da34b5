"""Boxes at every place of the maps, of several sizes and shapes, from which detectors measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .... import arange, as_tensor, cat, float32, meshgrid, nn, stack
from ....core.tensor import Tensor
from ....errors import ShapeError
from .images import ImageList

__all__ = ["AnchorGenerator"]


class AnchorGenerator(nn.Module):
    """For each level of the maps boxes of `sizes` (the root of their area, in pixels) and
    `aspect_ratios` (height by width), centred on every cell. Source: arXiv:1506.01497, section
    3.1."""

    def __init__(
        self,
        sizes: Sequence[Any] = ((128, 256, 512),),
        aspect_ratios: Sequence[Any] = ((0.5, 1.0, 2.0),),
    ) -> None:
        super().__init__()
        if not isinstance(sizes[0], tuple | list):
            sizes = tuple((size,) for size in sizes)
        if not isinstance(aspect_ratios[0], tuple | list):
            aspect_ratios = (aspect_ratios,) * len(sizes)
        self.sizes, self.aspect_ratios = sizes, aspect_ratios
        pairs = zip(sizes, aspect_ratios, strict=True)
        self.cell_anchors = [self.generate_anchors(*pair) for pair in pairs]

    def generate_anchors(
        self, scales: Any, aspect_ratios: Any, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """(ratios * sizes, 4): boxes around 0, in whole pixels."""
        heights = as_tensor(aspect_ratios, dtype=dtype or float32, device=device).sqrt()
        lengths = as_tensor(scales, dtype=heights.dtype, device=device)
        w = (lengths / heights[:, None]).flatten()
        h = (lengths * heights[:, None]).flatten()
        return (stack((-w, -h, w, h), 1) / 2).round()

    def num_anchors_per_location(self) -> list[int]:
        """How many boxes a cell has, for each level."""
        return [len(s) * len(a) for s, a in zip(self.sizes, self.aspect_ratios, strict=True)]

    def forward(self, image_list: ImageList, feature_maps: Sequence[Tensor]) -> list[Tensor]:
        """A batch of images and maps (N, C, H, W) of all levels -> for each image (A, 4). Raises:
        RuntimeError if there are more or fewer levels than sizes."""
        if len(feature_maps) != len(self.cell_anchors):
            raise ShapeError(
                f"AnchorGenerator: expected maps of {len(self.cell_anchors)} levels, as many as "
                f"there are sizes. Got {len(feature_maps)}."
            )
        height, width = image_list.tensors.shape[-2:]
        found = []
        for maps, cell in zip(feature_maps, self.cell_anchors, strict=True):
            rows, columns = maps.shape[-2:]
            y = arange(rows, device=maps.device) * (height // rows)
            x = arange(columns, device=maps.device) * (width // columns)
            y, x = (grid.flatten() for grid in meshgrid(y, x, indexing="ij"))
            corners = stack((x, y, x, y), 1)[:, None]
            found.append((corners + cell.to(maps.device, maps.dtype)).reshape(-1, 4))
        whole = cat(found)
        return [whole] * len(image_list.image_sizes)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"sizes={self.sizes}, aspect_ratios={self.aspect_ratios}"
