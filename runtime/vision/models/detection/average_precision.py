"""Mean average precision as the COCO benchmark defines it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....core.tensor import Tensor

THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""Overlaps from which on a box counts as found."""
RECALLS = np.linspace(0, 1, 101)
"""Shares of the objects at which precision is read."""
MOST_DETECTIONS = 100
"""Boxes of an image and a class that count, the best ones."""

Boxes = Mapping[str, Tensor]


def _overlaps(a: Any, b: Any) -> Any:
    """(N, 4), (M, 4) -> (N, M)."""
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - corner, 0, None)
    shared = sides.prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-300)


def _matched(overlaps: Any, thresholds: Any) -> Any:
    """(T, N) whether each of N boxes, best first, is the first to find an object: the one not yet
    found that it overlaps most, if by the threshold at least."""
    hits = np.zeros((len(thresholds), len(overlaps)), bool)
    for t, threshold in enumerate(thresholds):
        free = np.ones(overlaps.shape[1], bool)
        for k, row in enumerate(overlaps):
            open_row = np.where(free, row, -1.0)
            best = len(row) - 1 - int(open_row[::-1].argmax()) if len(row) else -1
            if best >= 0 and open_row[best] >= min(threshold, 1 - 1e-10):
                hits[t, k], free[best] = True, False
    return hits


def _precision(hits: Any, scores: Any, objects: int) -> Any:
    """(T,): the mean of the precisions at RECALLS, each the best at that recall or a higher one."""
    order = np.argsort(-scores, kind="mergesort")
    hits = hits[:, order]
    found = hits.cumsum(1)
    precision = found / np.arange(1, hits.shape[1] + 1)
    precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    means = []
    for row, level in zip(found / objects, precision, strict=True):
        places = np.searchsorted(row, RECALLS, side="left")
        inside = places < len(level)
        means.append(np.where(inside, level[np.minimum(places, len(level) - 1)], 0).mean()
                     if len(level) else 0.0)  # fmt: skip
    return np.array(means)


def _rows(side: Boxes, label: int, with_scores: bool) -> tuple[Any, Any]:
    chosen = side["labels"].cpu().numpy() == label
    boxes = side["boxes"].detach().cpu().numpy()[chosen].astype(np.float64).reshape(-1, 4)
    if not with_scores:
        return boxes, None
    scores = side["scores"].detach().cpu().numpy()[chosen]
    order = np.argsort(-scores, kind="mergesort")[:MOST_DETECTIONS]
    return boxes[order], scores[order]


def mean_average_precision(
    predictions: Sequence[Boxes],
    targets: Sequence[Boxes],
    iou_thresholds: Sequence[float] = THRESHOLDS,
) -> dict[str, Any]:
    """How well `predictions` (`boxes`, `labels`, `scores` of each image) find the `targets`
    (`boxes`, `labels`).

    Gives `map`, the mean over classes that have objects and over `iou_thresholds`; `map_50` and
    `map_75` at those overlaps, NaN if they are not among them; `map_per_class`, a dict by label.
    Precision is read at 101 recalls, of at most 100 boxes for each image and class. Source: COCO,
    detection evaluation. Raises: ValueError if the lists differ in length.
    """
    if len(predictions) != len(targets):
        raise ValueError(
            "mean_average_precision: expected predictions and targets of the same images. Got "
            f"{len(predictions)} and {len(targets)}."
        )
    labels = sorted({int(x) for t in targets for x in t["labels"].tolist()})
    table = np.zeros((len(labels), len(iou_thresholds)))
    for row, label in enumerate(labels):
        hits, scores, objects = [], [], 0
        for guess, truth in zip(predictions, targets, strict=True):
            boxes, chances = _rows(guess, label, True)
            true, _ = _rows(truth, label, False)
            hits.append(_matched(_overlaps(boxes, true), iou_thresholds))
            scores.append(chances)
            objects += len(true)
        table[row] = _precision(np.concatenate(hits, 1), np.concatenate(scores), objects)
    near = {t: k for k, t in enumerate(np.round(iou_thresholds, 6).tolist())}

    def mean(columns: Any) -> float:
        return float(columns.mean()) if columns.size else float("nan")

    return {
        "map": mean(table),
        "map_50": mean(table[:, near[0.5]]) if 0.5 in near else float("nan"),
        "map_75": mean(table[:, near[0.75]]) if 0.75 in near else float("nan"),
        "map_per_class": dict(zip(labels, table.mean(1).tolist(), strict=True)),
    }
