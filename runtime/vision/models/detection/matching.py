"""Which anchors answer for which objects, how boxes are measured from them, and which are learned
from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .... import cat, randperm, where, zeros_like
from ....core.tensor import Tensor

__all__ = ["BalancedPositiveNegativeSampler", "BoxCoder", "Matcher"]

LARGEST = math.log(1000 / 16)
"""The largest logarithm of sides by those of an anchor: images have 1000 pixels at most, anchors 16
at least."""


def centres_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(..., 4) -> (..., 2) twice."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * sides, sides


class BoxCoder:
    """Boxes as (tx, ty, tw, th) beside anchors: the distance of centres in sides of the anchor, the
    logarithms of sides by its own, times `weights`. Source: arXiv:1506.01497, equation 2."""

    def __init__(self, weights: Sequence[float], bbox_xform_clip: float = LARGEST) -> None:
        self.weights, self.bbox_xform_clip = tuple(weights), bbox_xform_clip

    def encode_single(self, reference_boxes: Tensor, proposals: Tensor) -> Tensor:
        """Boxes (K, 4) beside anchors (K, 4) -> (K, 4)."""
        at, sides = centres_and_sides(proposals)
        there, new = centres_and_sides(reference_boxes)
        weights = reference_boxes.new_tensor(self.weights)
        return cat(((there - at) / sides, (new / sides).log()), -1) * weights

    def encode(
        self, reference_boxes: Sequence[Tensor], proposals: Sequence[Tensor]
    ) -> list[Tensor]:
        """The same for each image."""
        whole = self.encode_single(cat(list(reference_boxes)), cat(list(proposals)))
        return list(whole.split([len(b) for b in reference_boxes]))

    def decode_single(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        """(K, 4 M) beside anchors (K, 4) -> boxes (K, 4 M)."""
        at, sides = (x[:, None] for x in centres_and_sides(boxes.to(rel_codes.dtype)))
        codes = rel_codes.unflatten(1, (-1, 4)) / rel_codes.new_tensor(self.weights)
        there = codes[..., :2] * sides + at
        half = 0.5 * (codes[..., 2:].clamp(max=self.bbox_xform_clip).exp() * sides)
        return cat((there - half, there + half), -1).flatten(1)

    def decode(self, rel_codes: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """(K, 4 M) beside the anchors of all images in turn -> (K, M, 4)."""
        whole = cat(list(boxes))
        codes = rel_codes.reshape(len(whole), -1) if len(whole) else rel_codes.reshape(0, 4)
        return self.decode_single(codes, whole).unflatten(1, (-1, 4))


class Matcher:
    """For each of A anchors the object that it overlaps most, if by `high_threshold` at least; else
    BELOW_LOW_THRESHOLD, or from `low_threshold` on BETWEEN_THRESHOLDS. With
    `allow_low_quality_matches` every object also gets the anchors that overlap it most."""

    BELOW_LOW_THRESHOLD = -1
    BETWEEN_THRESHOLDS = -2

    def __init__(
        self,
        high_threshold: float,
        low_threshold: float,
        allow_low_quality_matches: bool = False,
    ) -> None:
        if low_threshold > high_threshold:
            raise ValueError(
                f"Matcher: expected low <= high. Got {low_threshold} and {high_threshold}."
            )
        self.high_threshold, self.low_threshold = high_threshold, low_threshold
        self.allow_low_quality_matches = allow_low_quality_matches

    def __call__(self, match_quality_matrix: Tensor) -> Tensor:
        """Overlaps (M, A) of M > 0 objects -> (A,) int64."""
        best, owner = match_quality_matrix.max(0)
        found = where(best < self.high_threshold, self.BETWEEN_THRESHOLDS, owner)
        found = where(best < self.low_threshold, self.BELOW_LOW_THRESHOLD, found)
        if self.allow_low_quality_matches:
            most = match_quality_matrix.amax(1, keepdim=True)
            found = where((match_quality_matrix == most).any(0), owner, found)
        return found


class BalancedPositiveNegativeSampler:
    """Of each image `batch_size_per_image` places drawn at random: at most `positive_fraction` of
    them positive (labels of 1 and more), the others negative (labels of 0)."""

    def __init__(self, batch_size_per_image: int, positive_fraction: float) -> None:
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction

    def __call__(self, matched_idxs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Labels (A,) of each image -> truth values (A,): drawn as positive, drawn as negative."""
        positives, negatives = [], []
        for labels in matched_idxs:
            positive, negative = where(labels >= 1)[0], where(labels == 0)[0]
            most = int(self.batch_size_per_image * self.positive_fraction)
            taken = min(len(positive), most)
            positives.append(_drawn(labels, positive, taken))
            rest = self.batch_size_per_image - taken
            negatives.append(_drawn(labels, negative, min(len(negative), rest)))
        return positives, negatives


def _drawn(labels: Tensor, places: Tensor, count: int) -> Tensor:
    taken = places[randperm(len(places), device=places.device)[:count]]
    chosen = zeros_like(labels).bool()
    chosen[taken] = True
    return chosen
