"""Regions of feature maps at a fixed size: RoIAlign, RoIPool, and RoIAlign over a pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ... import arange, cat, float64, full_like, int64, nn, stack, where, zeros
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...nn.functional import embedding_bag
from .boxes import box_area

__all__ = ["MultiScaleRoIAlign", "RoIAlign", "RoIPool", "roi_align", "roi_pool"]

Size = int | Sequence[int]


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _numbered(name: str, input: Tensor, boxes: Any) -> Tensor:
    """(K, 5): the image and the corners of each region, from that or from boxes by image."""
    if input.ndim != 4:
        raise ShapeError(f"{name}: expected input (N, C, H, W). Got shape {tuple(input.shape)}.")
    if isinstance(boxes, Tensor):
        if boxes.ndim != 2 or boxes.shape[1] != 5:
            raise ShapeError(
                f"{name}: expected regions (K, 5), image and corners, or a list of boxes (L, 4) "
                f"for each image. Got shape {tuple(boxes.shape)}."
            )
        return boxes
    for one in boxes:
        if one.ndim != 2 or one.shape[1] != 4:
            raise ShapeError(f"{name}: expected boxes (L, 4). Got shape {tuple(one.shape)}.")
    return cat([cat((full_like(b[:, :1], k), b), 1) for k, b in enumerate(boxes)])


def _taps(start: Tensor, length: Tensor, bins: int, counts: Tensor, most: int, size: int) -> Any:
    """Along one side of K regions: the places (K, bins, 2 most) that each bin is a mean of, and
    their weights. `counts` (K) samples a bin, at most `most`; each lies between two places."""
    steps = arange(most, device=start.device)
    bin_size = (length / bins)[:, None, None]
    firsts = start[:, None, None] + arange(bins, device=start.device)[:, None] * bin_size
    at = firsts + (steps + 0.5) * bin_size / counts[:, None, None]
    used = (steps < counts[:, None, None]) & (at >= -1) & (at <= size)
    at = at.clamp(0, size - 1)
    low = at.floor()
    share = at - low
    weights = stack((1 - share, share), -1) * (used / counts[:, None, None].clamp(min=1))[..., None]
    low = low.to(int64)
    places = stack((low, (low + 1).clamp(max=size - 1)), -1)
    return places.flatten(2), weights.flatten(2)


def roi_align(
    input: Tensor,
    boxes: Any,
    output_size: Size,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """(N, C, H, W) and K regions -> (K, C, h, w): means of bilinear samples in h by w bins.

    `boxes` (K, 5), image and corners, or a list of (L, 4) for each image; times `spatial_scale`
    they are places in the maps. `sampling_ratio` samples a bin along each side; below 1 as many as
    a bin has pixels. `aligned` takes pixels by their centres, half a pixel from their corners.
    Source: arXiv:1703.06870, section 3.
    """
    rois = _numbered("roi_align", input, boxes)
    h, w = _pair(output_size)
    channels, height, width = input.shape[1:]
    if not rois.shape[0]:
        return input.new_zeros((0, channels, h, w))
    corners = rois[:, 1:].detach().to(float64) * spatial_scale - (0.5 if aligned else 0.0)
    axes = []
    for k, bins, size in ((1, h, height), (0, w, width)):
        start, length = corners[:, k], corners[:, k + 2] - corners[:, k]
        if not aligned:
            length = length.clamp(min=1)
        most = sampling_ratio
        counts = full_like(start, most)
        if sampling_ratio < 1:
            counts = (length / bins).ceil()
            most = max(int(counts.max()), 1)
        axes.append(_taps(start, length, bins, counts, most, size))
    (rows, row_weights), (columns, column_weights) = axes
    images = rois[:, 0].to(int64)[:, None, None, None, None] * height
    places = (images + rows[:, :, None, :, None]) * width + columns[:, None, :, None, :]
    weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
    pixels = input.permute(0, 2, 3, 1).reshape(-1, channels)
    weights = weights.to(input.dtype)
    out = embedding_bag(
        places.flatten(3).flatten(0, 2), pixels, mode="sum",
        per_sample_weights=weights.flatten(3).flatten(0, 2),
    )  # fmt: skip
    return out.reshape(-1, h, w, channels).permute(0, 3, 1, 2)


def _spans(start: int, length: int, bins: int, size: int) -> list[slice]:
    """The places of each of the bins of a region from `start` on."""
    ends = [
        (math.floor(k * length / bins) + start, math.ceil((k + 1) * length / bins) + start)
        for k in range(bins)
    ]
    return [slice(min(max(a, 0), size), min(max(b, 0), size)) for a, b in ends]


def _largest(x: Tensor, dim: int, spans: list[slice]) -> Tensor:
    """The largest element along `dim` of each span; 0 where it is empty."""
    parts = []
    for span in spans:
        part = x.narrow(dim, span.start, span.stop - span.start)
        shape = [n for k, n in enumerate(x.shape) if k != dim]
        parts.append(part.amax(dim) if span.stop > span.start else x.new_zeros(shape))
    return stack(parts, dim)


def roi_pool(input: Tensor, boxes: Any, output_size: Size, spatial_scale: float = 1.0) -> Tensor:
    """(N, C, H, W) and K regions, as in `roi_align` -> (K, C, h, w): the largest pixel of each bin
    of the region with its corners rounded to pixels, 0 in empty bins. Source: arXiv:1504.08083."""
    rois = _numbered("roi_pool", input, boxes)
    (h, w), (height, width) = _pair(output_size), input.shape[2:]
    found = []
    for image, *ends in rois.detach().to(float64).tolist():
        x1, y1, x2, y2 = (math.floor(abs(e * spatial_scale) + 0.5) * (1 if e >= 0 else -1)
                          for e in ends)  # fmt: skip
        rows = _spans(y1, max(y2 - y1 + 1, 1), h, height)
        columns = _spans(x1, max(x2 - x1 + 1, 1), w, width)
        found.append(_largest(_largest(input[int(image)], 1, rows), 2, columns))
    return stack(found) if found else input.new_zeros((0, input.shape[1], h, w))


class RoIAlign(nn.Module):
    """`roi_align` with arguments kept."""

    def __init__(
        self, output_size: Size, spatial_scale: float, sampling_ratio: int, aligned: bool = False
    ) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        """(N, C, H, W) and K regions -> (K, C, h, w)."""
        return roi_align(
            input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"
        )


class RoIPool(nn.Module):
    """`roi_pool` with arguments kept."""

    def __init__(self, output_size: Size, spatial_scale: float) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        """(N, C, H, W) and K regions -> (K, C, h, w)."""
        return roi_pool(input, rois, self.output_size, self.spatial_scale)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"output_size={self.output_size}, spatial_scale={self.spatial_scale}"


class MultiScaleRoIAlign(nn.Module):
    """`roi_align` of each region on the level of a pyramid that suits its size:
    floor(canonical_level + log2(sqrt(area) / canonical_scale)). Source: arXiv:1612.03144,
    equation 1."""

    def __init__(
        self,
        featmap_names: Sequence[str],
        output_size: Size,
        sampling_ratio: int,
        *,
        canonical_scale: int = 224,
        canonical_level: int = 4,
    ) -> None:
        super().__init__()
        self.featmap_names, self.output_size = featmap_names, _pair(output_size)
        self.sampling_ratio = sampling_ratio
        self.canonical_scale, self.canonical_level = canonical_scale, canonical_level

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Maps by name, boxes (L, 4) of each image and the images' (height, width) -> (K, C, h, w)
        for all boxes in turn."""
        maps = [value for name, value in x.items() if name in self.featmap_names]
        height = max(shape[0] for shape in image_shapes)
        scales = [2.0 ** round(math.log2(m.shape[-2] / height)) for m in maps]
        rois = _numbered("MultiScaleRoIAlign", maps[0], boxes)
        if len(maps) == 1:
            return roi_align(maps[0], rois, self.output_size, scales[0], self.sampling_ratio)
        sizes = box_area(rois[:, 1:]).sqrt() / self.canonical_scale
        levels = (self.canonical_level + sizes.log2() + 1e-6).floor()
        first, last = (-int(math.log2(s)) for s in (scales[0], scales[-1]))
        levels = levels.clamp(first, last).to(int64) - first
        result = zeros((len(rois), maps[0].shape[1], *self.output_size), dtype=maps[0].dtype,
                       device=rois.device)  # fmt: skip
        for level, (one, scale) in enumerate(zip(maps, scales, strict=True)):
            (places,) = where(levels == level)
            part = roi_align(one, rois[places], self.output_size, scale, self.sampling_ratio)
            result = result.index_copy(0, places, part)
        return result

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"featmap_names={self.featmap_names}, output_size={self.output_size}, "
            f"sampling_ratio={self.sampling_ratio}"
        )
