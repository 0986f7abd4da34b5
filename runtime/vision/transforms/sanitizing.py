"""Boxes and key points brought into their image, taken out with their labels, or in another
format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.tensor import Tensor
from ...utils._pytree import tree_flatten, tree_unflatten
from ..tv_tensors import BoundingBoxes, KeyPoints, Mask, TVTensor, box_format
from . import places
from .transform import Transform

__all__ = [
    "ClampBoundingBoxes",
    "ClampKeyPoints",
    "ConvertBoundingBoxFormat",
    "SanitizeBoundingBoxes",
    "SanitizeKeyPoints",
]


class ClampBoundingBoxes(Transform):
    """Boxes cut off at the border of the image."""

    takes = (BoundingBoxes,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return places.clamp_bounding_boxes(inpt)


class ClampKeyPoints(Transform):
    """Key points brought to the nearest pixel of the image."""

    takes = (KeyPoints,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return places.clamp_keypoints(inpt)


class ConvertBoundingBoxFormat(Transform):
    """Boxes in the format XYXY, XYWH or CXCYWH."""

    takes = (BoundingBoxes,)

    def __init__(self, format: Any) -> None:
        super().__init__()
        self.format = box_format(format)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return places.convert_bounding_box_format(inpt, new_format=self.format)

    def extra_repr(self) -> str:
        """The format."""
        return f"format={self.format.value}"


class _Sanitize(Transform):
    """What of a sample has no place in its image goes, with its labels: the tensors that
    `labels_getter` finds in the sample. By default they are the second of two arguments, or the
    entry of the sample's dict, or of its second element, that is called `labels` or the like.

    `labels_getter`: a function of the sample that gives a tensor or several, the name of an entry,
    or None.
    """

    kind: type[TVTensor]

    def __init__(self, labels_getter: Callable[[Any], Any] | str | None = "default") -> None:
        super().__init__()
        self.labels_getter = labels_getter

    def valid(self, found: Any) -> Tensor:
        """(N,) which of them stay."""
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:
        """A sample -> a sample."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        leaves, spec = tree_flatten(sample)
        several = [x for x in leaves if isinstance(x, self.kind)]
        if len(several) != 1:
            raise ValueError(
                f"{type(self).__name__}: expected one tv_tensors.{self.kind.__name__} in the "
                f"sample. Got {len(several)}."
            )
        valid = self.valid(several[0])
        labels = self._labels(sample)
        for label in labels:
            if len(label) != len(valid):
                raise ValueError(
                    f"{type(self).__name__}: expected a label for each of {len(valid)}. Got "
                    f"{len(label)}."
                )
        done = [self._kept(x, valid, any(x is label for label in labels)) for x in leaves]
        return tree_unflatten(done, spec)

    def _labels(self, sample: Any) -> list[Tensor]:
        getter = self.labels_getter
        if getter is None:
            return []
        found = getter(sample) if callable(getter) else labels_in(sample, getter)
        several = list(found) if isinstance(found, tuple | list) else [found]
        if not all(isinstance(x, Tensor) for x in several):
            raise ValueError(f"{type(self).__name__}: expected labels as tensors. Got {several}.")
        return several

    def _kept(self, x: Any, valid: Tensor, is_label: bool) -> Any:
        if is_label or isinstance(x, self.kind):
            return x._like(x.plain()[valid]) if isinstance(x, TVTensor) else x[valid]
        if isinstance(x, Mask) and x.ndim >= 3 and len(x) == len(valid):
            return x._like(x.plain()[valid])
        return x

    def extra_repr(self) -> str:
        """Where labels are."""
        return f"labels_getter={self.labels_getter}"


def labels_in(sample: Any, key: str = "default") -> Tensor:
    """The labels of a sample: the second of two if it is a tensor, else the entry `key` of the dict
    that the sample or its second element is; "default": the one called labels, or else the first
    that has "label" in its name. Raises: ValueError if there are none."""
    holder = sample[1] if isinstance(sample, tuple | list) and len(sample) > 1 else sample
    if isinstance(holder, Tensor) and not isinstance(holder, TVTensor):
        return holder
    names = [k for k in holder if isinstance(k, str)] if isinstance(holder, dict) else []
    if key != "default":
        names = [k for k in names if k == key]
    exact = [k for k in names if k.lower() == "labels" or k == key]
    near = exact or [k for k in names if "label" in k.lower()]
    if not near:
        raise ValueError(
            "transforms: expected labels in the sample, as the second of two tensors or as an "
            f"entry of a dict. Got {type(holder).__name__} with {names}; pass labels_getter, a "
            "function of the sample, or None."
        )
    labels: Tensor = holder[near[0]]
    return labels


class SanitizeBoundingBoxes(_Sanitize):
    """Boxes that are shorter than `min_size`, smaller than `min_area` or reach beyond the image go,
    with their masks (N, H, W) and their labels; see `_Sanitize` for `labels_getter`. Raises:
    ValueError for labels of another number."""

    kind = BoundingBoxes

    def __init__(
        self,
        min_size: float = 1.0,
        min_area: float = 1.0,
        labels_getter: Callable[[Any], Any] | str | None = "default",
    ) -> None:
        super().__init__(labels_getter)
        if min(min_size, min_area) < 1:
            raise ValueError(
                f"SanitizeBoundingBoxes: expected sizes of 1 at least. Got min_size={min_size}, "
                f"min_area={min_area}."
            )
        self.min_size, self.min_area = min_size, min_area

    def valid(self, found: BoundingBoxes) -> Tensor:
        """(N,) which of the boxes stay."""
        sizes = {"min_size": self.min_size, "min_area": self.min_area}
        return places.sanitize_bounding_boxes(found, **sizes)[1]

    def extra_repr(self) -> str:
        """The arguments."""
        return f"min_size={self.min_size}, min_area={self.min_area}, {super().extra_repr()}"


class SanitizeKeyPoints(_Sanitize):
    """Key points beyond the image go, with their labels; of (N, K, 2) the objects of which one lies
    beyond. See `_Sanitize` for `labels_getter`."""

    kind = KeyPoints

    def __init__(self, labels_getter: Callable[[Any], Any] | str | None = None) -> None:
        super().__init__(labels_getter)

    def valid(self, found: KeyPoints) -> Tensor:
        """(N,) which of the points or objects stay."""
        return places.sanitize_keypoints(found)[1]
