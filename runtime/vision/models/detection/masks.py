"""Masks of objects: cut out of those that are known, chosen among classes, put back into images."""

from __future__ import annotations

from collections.abc import Sequence

from .... import arange, cat, stack
from ....core.tensor import Tensor
from ....nn.functional import binary_cross_entropy_with_logits, interpolate, pad
from ...ops.regions import roi_align

AROUND = 1
"""Pixels of nothing around a mask before it is enlarged, so that its border is smooth."""


def maskrcnn_loss(
    mask_logits: Tensor,
    proposals: Sequence[Tensor],
    gt_masks: Sequence[Tensor],
    gt_labels: Sequence[Tensor],
    mask_matched_idxs: Sequence[Tensor],
) -> Tensor:
    """The binary cross-entropy of logits (K, classes, S, S), of each region those of its class,
    with its object's mask (M, H, W) cut out at S by S. Source: arXiv:1703.06870, section 3."""
    side = mask_logits.shape[-1]
    rows = zip(gt_labels, mask_matched_idxs, strict=True)
    labels = cat([known[which] for known, which in rows])
    if not len(labels):
        return mask_logits.sum() * 0
    wanted = []
    for masks, boxes, which in zip(gt_masks, proposals, mask_matched_idxs, strict=True):
        regions = cat((which.to(boxes.dtype)[:, None], boxes), 1)
        wanted.append(roi_align(masks[:, None].to(boxes.dtype), regions, side, 1.0)[:, 0])
    chosen = mask_logits[arange(len(labels), device=labels.device), labels]
    return binary_cross_entropy_with_logits(chosen, cat(wanted))


def maskrcnn_inference(x: Tensor, labels: Sequence[Tensor]) -> list[Tensor]:
    """Logits (K, classes, S, S) -> for each image (L, 1, S, S), the probabilities of its classes'
    masks."""
    places = arange(len(x), device=x.device)
    chosen = x.sigmoid()[places, cat(list(labels))][:, None]
    return list(chosen.split([len(one) for one in labels]))


def paste_masks_in_image(masks: Tensor, boxes: Tensor, img_shape: tuple[int, int]) -> Tensor:
    """Masks (K, 1, S, S) at boxes (K, 4) -> (K, 1, H, W) of an image, 0 outside of their boxes."""
    height, width = img_shape
    side = masks.shape[-1]
    framed = pad(masks, (AROUND,) * 4)
    centres = (boxes[:, :2] + boxes[:, 2:]) * 0.5
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5 * ((side + 2 * AROUND) / side)
    places = cat((centres - half, centres + half), 1).long().tolist()
    pasted = [_pasted(mask, place, height, width)
              for mask, place in zip(framed, places, strict=True)]  # fmt: skip
    return stack(pasted) if pasted else masks.new_zeros((0, 1, height, width))


def _pasted(mask: Tensor, place: list[int], height: int, width: int) -> Tensor:
    """(1, S, S) -> (1, height, width), its first and last pixels at the corners of `place`."""
    left, top, right, bottom = place
    size = (max(bottom - top + 1, 1), max(right - left + 1, 1))
    large = interpolate(mask[None], size=size, mode="bilinear", align_corners=False)[0]
    whole = mask.new_zeros((1, height, width))
    x0, x1, y0, y1 = max(left, 0), min(right + 1, width), max(top, 0), min(bottom + 1, height)
    if x0 < x1 and y0 < y1:
        whole[:, y0:y1, x0:x1] = large[:, y0 - top : y1 - top, x0 - left : x1 - left]
    return whole
